"""One id for one set of weights, however a provider spells it; what is doubtful stays apart."""

import re

import msgspec

from routing.sources.makers import FAMILIES, MAKER_OF, NAMED, NAMED_AT, OWN_PROVIDERS, PROVIDERS

HOSTING = re.compile(r"^(accounts/[^/]+/(models|routers)/|workers-ai/|hf:|@)+")
"""Paths of a host's own around the names of others' models."""
FILLERS = frozenset({"models", "completion", "chat-completion", "main", "cf", "hf", "pro", "tee", "public"})
"""Parts of paths that are nobody's name."""
VARIANT = re.compile(r":(free|thinking|extended|nitro|exacto|beta|online|floor|batch|\w*k)$")
MODE = re.compile(r"(claude|gemini|gpt)\S*[-:](no)?think(ing)?([-:]\w+)?$")
"""Gateways sell each length of thought of a closed model under a name of its own; of open models it is a name."""
REGIONAL = re.compile(
    r"^(us|eu|apac|jp|au|ca|in|sa|global|us-gov)\.|^(?:[a-z]{2}|us-gov)-[a-z]+-\d/|commitment/|(claude|gemini|gpt)\S*-(eu|us)$"
)
ROUTER = re.compile(r"^auto\b|\brouter$")
NOT_TEXT = re.compile(r"^(flux|stable-diffusion|sdxl|whisper|seedream|seedance)\b|^together-ai-|-up-to-\d+b$")
"""Pictures and sound that a list calls chat, and classes of prices by size."""
SHORT_DIGITS = re.compile(r"(?<=\d)p(?=\d)")
"""Fireworks writes 3.1 as 3p1."""
UPSTREAM_VERSION = re.compile(r"-v\d+(:\d+)?$")
"""Bedrock's version of its own wrapping: -v1:0."""
AT_VERSION = re.compile(r"@(default|latest)$|-maas$|-bf16$")
"""Words that change nothing of the weights: Vertex's versions, a hosting, the precision of the original."""
WORDS = re.compile(r"[a-z]+|\d+|\+")
VERSION_SIGN = re.compile(r"(?<![a-z0-9])v(?=\d)")
"""llama-v3 and llama-3 are one; the v of glm-4.5v is a word."""
WRAPPERS = ("fw", "databricks")
"""What a host writes before the names of others' models: Azure for those that Fireworks serves it, and Databricks."""
LONGEST_FIRST = sorted((*MAKER_OF, *WRAPPERS), key=len, reverse=True)
REGION_OF_PROVIDER = re.compile(r"-(eu|us)$")
O_SERIES = re.compile(r"o\d")
UNSAFE = re.compile(r"[^a-z0-9.+_-]+")


class Name(msgspec.Struct, frozen=True):
    """What a spelling means: whose model it is, its name, and the key under which other spellings find it."""

    maker: str
    name: str
    key: str
    """The words and numbers of the name, however they are joined: `qwen2.5-72b` and `Qwen-2.5-72B` have one key."""
    fixed: str | None = None
    """An id given by hand."""


def provider_named(spelling: str) -> str:
    """Our name for a provider."""
    slug = UNSAFE.sub("-", spelling.strip().lower().replace("_", "-")).strip("-.")
    return PROVIDERS.get(slug, slug)


def key_of(name: str) -> str:
    """What all spellings of a name have in common. A date counts as one number, however it is written.

    >>> key_of("Meta-Llama-3.1-8B"), key_of("gpt-4o-2024-08-06")
    ('meta-llama-3-1-8-b', 'gpt-4-o-20240806')
    """
    words = WORDS.findall(VERSION_SIGN.sub("", name.lower()))
    joined: list[str] = []
    while words:
        if re.fullmatch("20[2-3][0-9]", words[0]) and len(words) > 2 and all(len(each) == 2 for each in words[1:3]):
            joined.append("".join(words[:3]))
            words = words[3:]
        else:
            joined.append("plus" if words[0] == "+" else words[0])
            words = words[1:]
    return "-".join(joined)


def read_name(spelling: str, provider: str) -> Name | None:
    """Whose model a provider's spelling means; None when there is no name in it.

    >>> read_name("accounts/fireworks/models/llama-v3p1-8b-instruct", "fireworks").key
    'llama-3-1-8-b-instruct'
    >>> read_name("us.anthropic.claude-sonnet-4-20250514-v1:0", "bedrock").name
    'claude-sonnet-4-20250514'
    """
    *orgs, last = [part for part in HOSTING.sub("", spelling.strip()).split("/") if part] or [""]
    name = last.lower()
    if provider == "fireworks":
        name = SHORT_DIGITS.sub(".", name)
    if provider.startswith("bedrock"):
        name = UPSTREAM_VERSION.sub("", name)
    name = AT_VERSION.sub("", name).replace("@", "-")
    maker, name = _without_maker(name, _maker_in(orgs))
    family = family_of(name)
    maker = maker or family or _maker_by_place(orgs, provider)
    name = UNSAFE.sub("-", name).strip("-._")
    key = key_of(name)
    if not key:
        return None
    fixed = NAMED.get((maker, key)) or NAMED_AT.get((provider, name))
    return Name(maker, name, key, fixed)


def family_of(name: str) -> str | None:
    """The maker that a name's first word tells; None when several use it, or nobody known."""
    words = WORDS.findall(name)
    if not words:
        return None
    return "openai" if O_SERIES.match(name) else FAMILIES.get(words[0])


def unfit_name(spelling: str) -> str | None:
    """Why a spelling names no model of its own; None when it does."""
    low = spelling.lower()
    name = low.rpartition("/")[2]
    if REGIONAL.search(low):
        return "a regional twin"
    if VARIANT.search(low) or MODE.search(name):
        return "the same model under other terms"
    if ROUTER.search(name):
        return "a router or an alias, not a model"
    return "not a chat model" if NOT_TEXT.search(name) else None


def _maker_in(orgs: list[str]) -> str | None:
    """The known maker nearest to the name."""
    return next((MAKER_OF[org.lower()] for org in reversed(orgs) if org.lower() in MAKER_OF), None)


def _without_maker(name: str, maker: str | None) -> tuple[str | None, str]:
    """A name may begin with its maker, as `anthropic.claude-...`, `databricks-claude-...`, `meta-llama-3`."""
    head, dot, rest = name.partition(".")
    while dot and head in MAKER_OF and rest[:1].isalpha():
        maker, name = MAKER_OF[head], rest
        head, dot, rest = name.partition(".")
    return _without_prefix(maker, name)


def _without_prefix(maker: str | None, name: str) -> tuple[str | None, str]:
    for head in LONGEST_FIRST:
        rest = name.removeprefix(f"{head}-")
        if rest == name:
            continue
        if head in WRAPPERS and (_without_prefix(None, rest)[0] or family_of(rest)):
            return _without_prefix(None, rest)
        if family_of(rest) == MAKER_OF.get(head, ""):
            return MAKER_OF[head], rest
    return maker, name


def _maker_by_place(orgs: list[str], provider: str) -> str:
    """Nothing tells the maker: the organisation in the path, else a provider that sells its own, else the provider."""
    named = [slug for org in orgs if (slug := UNSAFE.sub("-", org.lower()).strip("-._")) and slug not in FILLERS]
    if named and named[-1] != provider:
        return named[-1]
    return OWN_PROVIDERS.get(provider) or REGION_OF_PROVIDER.sub("", provider)
