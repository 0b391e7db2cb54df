"""Draws docs/dialects.md: gives each field of a body to each dialect; compares what leaves with and without it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from jobs.chat import ChatRequest
from routing.catalog import Deployment, Model, Target
from routing.dialects.accent_table import ACCENTS
from routing.dialects.accents import CORE, OFFICIAL, Accent
from routing.dialects.base import Asking, Dialect, Unsupported, WireRequest
from routing.dialects.gemini_models import FAMILIES, Family
from routing.dialects.openai_draft import DEFAULTS
from routing.dialects.openai_fields import ESSENTIAL
from routing.dialects.registry import ACCENTED, DIALECTS

HI = {"role": "user", "content": "Hi"}
PDF = "data:application/pdf;base64,JVBERi0="
PNG = "data:image/png;base64,iVBORw0KGgo="
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
OTHER = {"type": "function", "function": {"name": "g", "parameters": {"type": "object", "properties": {}}}}
NAMED = {"type": "function", "function": {"name": "f"}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "ok"}
DETAIL = {"type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0}
CALLED = [HI, {"role": "assistant", "content": None, "tool_calls": [CALL]}, RESULT]

Fields = Mapping[str, Any]


def _user(part: Fields) -> Fields:
    return {"role": "user", "content": [part]}


FIELDS: Mapping[str, tuple[Fields, Fields]] = {
    "max_tokens": ({}, {"max_tokens": 99}),
    "max_completion_tokens": ({}, {"max_completion_tokens": 99}),
    "temperature (0.5)": ({}, {"temperature": 0.5}),
    "temperature (1.7)": ({}, {"temperature": 1.7}),
    "top_p": ({}, {"top_p": 0.5}),
    "stop": ({}, {"stop": ["END"]}),
    "seed": ({}, {"seed": 7}),
    "n (2)": ({}, {"n": 2}),
    "frequency_penalty": ({}, {"frequency_penalty": 0.5}),
    "presence_penalty": ({}, {"presence_penalty": 0.5}),
    "logit_bias": ({}, {"logit_bias": {"50256": -100}}),
    "logprobs, top_logprobs": ({}, {"logprobs": True, "top_logprobs": 5}),
    "tools": ({}, {"tools": [TOOL]}),
    "tools, strict": ({"tools": [TOOL]}, {"tools": [{**TOOL, "function": {**TOOL["function"], "strict": True}}]}),  # type: ignore[dict-item]
    "tool_choice required": ({"tools": [TOOL]}, {"tools": [TOOL], "tool_choice": "required"}),
    "tool_choice none": ({"tools": [TOOL]}, {"tools": [TOOL], "tool_choice": "none"}),
    "tool_choice, a name": ({"tools": [TOOL, OTHER]}, {"tools": [TOOL, OTHER], "tool_choice": NAMED}),
    "tool_choice allowed_tools": (
        {"tools": [TOOL, OTHER]},
        {
            "tools": [TOOL, OTHER],
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}},
        },
    ),
    "parallel_tool_calls (false)": ({"tools": [TOOL]}, {"tools": [TOOL], "parallel_tool_calls": False}),
    "functions": ({}, {"functions": [TOOL["function"]]}),
    "response_format json_object": ({}, {"response_format": {"type": "json_object"}}),
    "response_format json_schema": (
        {},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA, "strict": True}}},
    ),
    "reasoning_effort": ({}, {"reasoning_effort": "high", "max_tokens": 9999}),
    "verbosity": ({}, {"verbosity": "low"}),
    "modalities with audio": ({}, {"modalities": ["text", "audio"], "audio": {"format": "mp3", "voice": "alloy"}}),
    "prediction": ({}, {"prediction": {"type": "content", "content": "x"}}),
    "web_search_options": ({}, {"web_search_options": {"search_context_size": "low"}}),
    "service_tier": ({}, {"service_tier": "priority"}),
    "user": ({}, {"user": "u-1"}),
    "metadata": ({}, {"metadata": {"ticket": "42"}}),
    "store": ({}, {"store": True}),
    "prompt_cache_key": ({}, {"prompt_cache_key": "k"}),
    "an unknown field": ({}, {"an_extension": 1}),
    "developer message": ({}, {"messages": [{"role": "developer", "content": "Be brief."}, HI]}),
    "system message later on": ({}, {"messages": [HI, {"role": "system", "content": "Be brief."}, HI]}),
    "message name": ({}, {"messages": [{**HI, "name": "alice"}]}),
    "image, data URI": ({}, {"messages": [_user({"type": "image_url", "image_url": {"url": PNG}})]}),
    "image, URL": ({}, {"messages": [_user({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}})]}),
    "PDF, data": ({}, {"messages": [_user({"type": "file", "file": {"file_data": PDF}})]}),
    "file by id": ({}, {"messages": [_user({"type": "file", "file": {"file_id": "file-1"}})]}),
    "sound": ({}, {"messages": [_user({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}})]}),
    "cache_control": (
        {"messages": [_user({"type": "text", "text": "Hi"})]},
        {"messages": [_user({"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}})]},
    ),
    "cache_control of the request": ({}, {"cache_control": {"type": "ephemeral"}}),
    "tool calls and results": ({}, {"messages": CALLED, "tools": [TOOL]}),
    "a call without its result": ({}, {"messages": CALLED[:2], "tools": [TOOL]}),
    "reasoning_content": (
        {"messages": [HI, {"role": "assistant", "content": "So"}, HI]},
        {"messages": [HI, {"role": "assistant", "content": "So", "reasoning_content": "Hm."}, HI]},
    ),
    "reasoning_details (Anthropic's)": (
        {"messages": [HI, {"role": "assistant", "content": "So"}, HI]},
        {"messages": [HI, {"role": "assistant", "content": "So", "reasoning_details": [DETAIL]}, HI]},
    ),
    "extra_content (Google's)": (
        {"messages": CALLED, "tools": [TOOL]},
        {
            "messages": [
                HI,
                {**CALLED[1], "tool_calls": [{**CALL, "extra_content": {"google": {"thought_signature": "c2ln"}}}]},
                RESULT,
            ],
            "tools": [TOOL],
        },
    ),
}
"""By what is asked: the rest of the body without it, and with it."""

ABILITIES: tuple[tuple[str, str], ...] = (
    ("has_json_mode", "JSON"),
    ("has_json_schema", "schemas"),
    ("has_strict_tools", "strict tools"),
    ("has_custom_tools", "custom tools"),
    ("has_names", "names"),
    ("has_developer", "developer"),
    ("has_cache_marks", "cache_control"),
    ("has_signatures", "Google's signatures"),
)


INTRODUCTION = """# Dialects and accents

Drawn by `python docs/draw.py` from the code: each field is encoded by each dialect, and what leaves is compared with
what leaves without it. A test holds this page to it.

A request is an OpenAI chat-completions body, whatever the provider speaks. Four things can become of a field:

- it leaves **as it is**, or in the wire's equal form (`as ...`): nothing is lost, nothing is told;
- it leaves **changed**, told in the job's `adaptations[]` with its reason;
- it is **left out**, told likewise, where the question stays the same without it;
- the candidate is **refused** before anything is sent, because the question would be another: another one must carry
  it.

Answers of every dialect are bodies of `chat.completion` (and `chat.completion.chunk`) that OpenAI's own types accept.
Reasoning comes as `message.reasoning_content`, what must be sent back unchanged as `message.reasoning_details` or
`tool_calls[].extra_content`, everything else that a provider says beyond those types as `provider_fields`. Bytes that
are official already are handed out as they came.

## What becomes of a field

With a model of which nothing is known; what the catalogue knows of a model decides more (see below).
"""
ON_ACCENTS = """
## The accents of `openai`

`[providers.NAME] accent = "..."`; a provider called like an accent has it, and one without any is sent what OpenAI
takes. A field that an accent does not take is left out and told, or refused if the answer would be another
({essential}). A field that no accent knows is passed on: the provider says what it thinks of it.

The facts are those of the source on its day. Correct one by a pull request: they are a table
(`routing/dialects/accent_table.py`). What no dated source forbids is tried: every field at an accent without a day,
the fields named "tried" below, fields of a model of which the catalogue does not know. Where a 400 names such a
field (`error.param`), or its code says outright that the field is not taken, the running yard corrects the fact:
for an hour that deployment is not sent the field (left out and told, or another candidate is asked), the job that
taught it is sent there once more, and `tokenyard providers` and `GET /v1/providers` (`refuted`) show it. Then it is
tried again. A complaint about a value teaches nothing, and what was answered with 200 within the hour is given up
only for such a code.

The core, taken by all: {core}.
"""
ON_FAMILIES = """
## The families of `gemini`

One wire, but what one of Google's models takes another answers with status 400. The family follows from the model's
name at the provider, else from its name in the catalogue; any other name is sent all of it. What a family lacks is told
or refused as everywhere. A provider whose name has `vertex` in it gives log-probabilities of all of them, and fetches
`gs://` addresses. The facts and their sources are a table (`routing/dialects/gemini_models.py`).
"""
FAMILY_FACTS: Mapping[str, Callable[[Family], Any]] = {
    "thoughts": lambda family: family.thinking,
    "JSON Schema of functions": lambda family: family.takes_json_schema,
    "of answers": lambda family: family.takes_response_schema,
    "functions with JSON": lambda family: family.mixes_tools_and_json,
    "ids of calls": lambda family: family.has_call_ids,
    "signatures demanded": lambda family: family.demands_signatures,
    "images in results": lambda family: family.takes_media_in_results,
    "addresses": lambda family: family.takes_urls,
    "penalties": lambda family: family.takes_penalties,
    "log-probabilities": lambda family: family.takes_logprobs,
    "instructions": lambda family: family.takes_system,
}
ON_SCHEMAS = """
## References in schemas

A schema of a tool or of the answer may refer to its parts in any way of JSON Schema: `$defs` or `definitions`, a
JSON Pointer to any place, the root, an anchor, an inner `$id`. Providers follow fewer, so where one could misread a
reference the schema leaves in an equal form: each part that is referred to stands once in `$defs` of the root, and
a root that was only a reference is what it referred to. Nothing is lost, nothing is told. A reference that leads
nowhere is left out and told: any value may stand there. Old Gemini models get the parts written out, strict schemas
of Anthropic with a part that refers to itself go as a tool's schema.
"""
ON_MODELS = """
## What the model decides

Where the catalogue knows that a model lacks something: sampling parameters, log-probabilities, reasoning and strict
tools are left out and told; `reasoning_effort` moves to the nearest word that the model takes; a cap on the answer
goes down to what the model can write; a schema or JSON mode is asked for in the system prompt, and the answer is
checked; images, sound, documents, tools and forced calls are refused.

## What says nothing

Values that hold anyway (OpenAI's reference says so) may be left out without a word, as may `null` and a choice among
no tools:
"""


def page() -> str:
    """The page."""
    names = list(DIALECTS)
    essential = ", ".join(f"`{field}`" for field in ESSENTIAL)
    silent = {field: values for field, values in DEFAULTS.items() if values}
    lines = [
        INTRODUCTION,
        _head("asked", names),
        *(_row(asked, DIALECTS.values()) for asked in FIELDS),
        ON_ACCENTS.format(essential=essential, core=_listed(CORE)),
        _head(
            "accent", ["takes beside the core", "in another form", "parts beside text", "also", "source"], code=False
        ),
        *(_accent(name, accent) for name, accent in ACCENTS.items()),
        "",
        _head("asked", list(_NARROW)),
        *(_row(asked, (ACCENTED["openai"][name] for name in _NARROW)) for asked in _TELLING),
        ON_FAMILIES,
        _head("name like", list(FAMILY_FACTS), code=False),
        *(_family(pattern.pattern.replace("|", " or "), family) for pattern, family in FAMILIES),
        ON_SCHEMAS,
        ON_MODELS,
        *(f"- `{field}`: {', '.join(f'`{_json(value)}`' for value in values)}" for field, values in silent.items()),
    ]
    return "\n".join(lines) + "\n"


def _family(name: str, family: Family) -> str:
    facts = (told(family) for told in FAMILY_FACTS.values())
    shown = ({True: "yes", False: "no"}.get(fact, fact) for fact in facts)
    return f"| `{name}` | {' | '.join(shown)} |"


def _head(first: str, names: list[str], *, code: bool = True) -> str:
    shown = [f"`{name}`" if code else name for name in names]
    return f"| {first} | {' | '.join(shown)} |\n|---|{'---|' * len(names)}"


_NARROW = (
    "mistral",
    "deepseek",
    "dashscope",
    "together",
    "groq",
    "openrouter",
    "xai",
    "vllm",
    "ollama",
    "google",
    "anthropic",
)
_TELLING = (
    "max_tokens",
    "seed",
    "n (2)",
    "logit_bias",
    "logprobs, top_logprobs",
    "tool_choice required",
    "tool_choice, a name",
    "functions",
    "response_format json_schema",
    "reasoning_effort",
    "user",
    "cache_control of the request",
    "PDF, data",
    "sound",
    "image, URL",
    "reasoning_content",
    "reasoning_details (Anthropic's)",
    "extra_content (Google's)",
)


def _row(asked: str, voices: Iterable[Dialect]) -> str:
    return f"| {asked} | {' | '.join(outcome(voice, *FIELDS[asked]) for voice in voices)} |"


def outcome(voice: Dialect, without: Fields, given: Fields) -> str:
    """One cell."""
    before, after = _spoken(voice, without), _spoken(voice, given)
    if isinstance(after, Unsupported):
        return "**refused**"
    assert isinstance(before, WireRequest)
    told = {adaptation.action for adaptation in after.adaptations if adaptation not in before.adaptations}
    old, new = msgspec.json.decode(before.body), msgspec.json.decode(after.body)
    if told:
        return "changed" if old != new and "dropped" not in told else "left out"
    if old == new:
        return "says nothing here"
    names = set(given) - {"max_tokens"} if len(given) > 1 else set(given)
    if all(new.get(name) == given[name] for name in names if name != "messages") and "messages" not in given:
        return "as it is"
    if "messages" in given and new.get("messages") == given["messages"]:
        return "as it is"
    places = sorted(_differing(old, new))
    return "as " + ", ".join(f"`{place}`" for place in places[:2])


def _differing(old: Any, new: Any, where: str = "", depth: int = 0) -> set[str]:
    """Names of what is new, outermost first and at most two deep."""
    if not isinstance(old, dict) or not isinstance(new, dict) or depth > 1:
        return {where}
    names = {name for name in new if new[name] != old.get(name)}
    found: set[str] = set()
    for name in names:
        path = f"{where}.{name}" if where else name
        found |= _differing(old[name], new[name], path, depth + 1) if name in old else _added(new[name], path, depth)
    return found or {where}


def _added(part: Any, path: str, depth: int) -> set[str]:
    deep = isinstance(part, dict) and depth == 0 and len(part) == 1
    return {f"{path}.{name}" for name in part} if deep else {path}


def _spoken(voice: Dialect, fields: Fields) -> WireRequest | Unsupported:
    body = {"messages": [HI], **fields}
    request = ChatRequest.of(msgspec.json.encode(body), body)
    return voice.encode(request, Target(Deployment("maker/model", "provider", "model"), Model("maker/model")), Asking())


def _accent(name: str, accent: Accent) -> str:
    takes = accent.takes & OFFICIAL
    beside = accent.takes - OFFICIAL
    lacking = (OFFICIAL - CORE) - takes
    shown = (
        f"all but {_listed(lacking)}" if len(lacking) < len(takes) and lacking else _listed(takes) if lacking else "all"
    )
    if beside:
        shown += f"; its own: {_listed(beside)}"
    able = [word for field, word in ABILITIES if getattr(accent, field)]
    also = [f"thoughts back as `{accent.thoughts}`"] if accent.thoughts else []
    also += [f"no {'schemas' if accent.has_json_mode else 'JSON mode'}"] if not accent.has_json_schema else []
    source = f"{accent.source} ({accent.as_of.isoformat()})" if accent.as_of else accent.source
    parts = _listed(accent.parts) or "none"
    return f"| `{name}` | {shown} | {_forms(accent)} | {parts} | {', '.join([*able, *also]) or '-'} | {source} |"


def _forms(accent: Accent) -> str:
    forms = [f"`{field}` as `{name}`" for field, name in accent.renames.items()]
    if accent.max_tokens_field:
        forms.append(f"the cap as `{accent.max_tokens_field}`")
    forms += [f"`{field}` `{old}` as `{new}`" for field, words in accent.words.items() for old, new in words.items()]
    forms += [f"effort `{word}` as `{_json(fields)}`" for word, fields in accent.effort_fields.items()]
    if accent.counts_logprobs:
        forms.append("`logprobs` as a number")
    if accent.tried:
        forms.append(f"tried: {_listed(accent.tried)}")
    if accent.string_roles:
        forms.append(f"text parts of {', '.join(sorted(accent.string_roles))} as one string")
    if accent.demands_thoughts:
        whose = "answers that call tools" if accent.demands_thoughts == "calls" else "answers, once there are tools,"
        forms.append(f"{whose} with blank thoughts where none came back")
    if accent.forced_ends_thinking:
        forms.append("a forced call with thinking off")
    if accent.tools_end_thinking:
        forms.append("tools of GPT-5.4 and later with effort `none`")
    return ", ".join(forms) or "-"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
