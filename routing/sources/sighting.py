"""What a price list says of one model at one provider, checked for what can't be true."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from routing.sources.makers import PLANS
from routing.sources.names import provider_named, read_name, unfit_name

SIXTH = Decimal("0.000001")
"""Prices have six decimals of a USD per million tokens."""
MOST_USD = Decimal(2_000)
"""Per million tokens. The dearest text model ever listed asked 600; above this a unit is wrong."""
MOST_SEARCH_USD = Decimal(200_000)
"""Per million searches."""
MOST_TOKENS = 20_000_000
"""Twice the largest window ever announced."""
FEWEST_TOKENS = 256
Json = dict[str, Any]


class ListError(ValueError):
    """The file is not what it was said to be; the message says where and what to do."""


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """One model at one provider, as a list has it."""

    maker: str
    name: str
    key: str
    fixed: str | None = None
    provider: str
    upstream: str
    source: str
    facts: Json
    """Fields of `routing.catalog.Model`."""
    here: Json
    """Fields of `routing.catalog.Deployment`, price apart."""
    price: Json
    """Fields of `routing.prices.Price`, amounts as text, without day and source."""


class Reading(msgspec.Struct, frozen=True):
    """A whole list: what it says, and what was left out, by reason."""

    source: str
    as_of: dt.date
    sightings: tuple[Sighting, ...]
    left_out: Mapping[str, int]


class Reader:
    """Collects the sightings of one list; each entry is taken or counted under its reason."""

    def __init__(self, source: str, as_of: dt.date) -> None:
        self._source = source
        self._as_of = as_of
        self._found: dict[tuple[str, str, str], Sighting] = {}
        self._left_out: Counter[str] = Counter()

    def leave_out(self, reason: str) -> None:
        """Count an entry that is not taken."""
        self._left_out[reason] += 1

    def take(self, provider: str, upstream: str, said: "Said") -> None:
        """Take an entry, or count why not."""
        if reason := complaint(provider, upstream, said):
            self.leave_out(reason)
            return
        name = read_name(said.spelling or upstream, provider)
        if name is None:
            self.leave_out("no name")
            return
        sighting = Sighting(
            maker=name.maker,
            name=name.name,
            key=name.key,
            fixed=name.fixed,
            provider=provider,
            upstream=upstream,
            source=said.source,
            facts=plausible(said.facts),
            here=said.here,
            price=said.price,
        )
        place = (name.maker, name.fixed or name.key, provider)
        if place in self._found:
            self.leave_out("the same model at the same provider again")
            if _preference(self._found[place]) <= _preference(sighting):
                return
        self._found[place] = sighting

    def reading(self) -> Reading:
        """What came together."""
        ordered = tuple(self._found[place] for place in sorted(self._found))
        return Reading(self._source, self._as_of, ordered, dict(self._left_out.most_common()))


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """An entry's facts before they are checked."""

    source: str
    facts: Json
    here: Json
    price: Json
    spelling: str | None = None
    """The name to read, where the upstream's own has more around it."""


def complaint(provider: str, upstream: str, said: Said) -> str | None:
    """Why an entry is not taken; None when it is."""
    if not provider or not upstream:
        return "no name"
    if any(word in provider for word in PLANS):
        return "a subscription's price is not a call's"
    return unfit_name(upstream) or _unfit_price(said.price)


def _unfit_price(price: Json) -> str | None:
    if "input" not in price or "output" not in price:
        return "no price per token"
    input_usd, output_usd = Decimal(price["input"]), Decimal(price["output"])
    if min(input_usd, output_usd) < 0 or max(input_usd, output_usd) > MOST_USD:
        return "an absurd price"
    if input_usd == output_usd == 0:
        return "a price of 0: a trial, a plan, or unknown"
    return None if output_usd else "no price of output: it answers with no text"


def plausible(facts: Json) -> Json:
    """The facts without those that can't be: such a cell is unknown."""
    kept = {name: value for name, value in facts.items() if value is not None}
    for name in ("context_tokens", "max_input_tokens", "max_output_tokens"):
        tokens = kept.get(name)
        if tokens is not None and not (_is_count(tokens) and FEWEST_TOKENS <= tokens <= MOST_TOKENS):
            del kept[name]
    window = kept.get("context_tokens") or kept.get("max_input_tokens")
    if window is not None and kept.get("max_output_tokens", 0) > window:
        del kept["max_output_tokens"]
    return kept


def amount(value: object, scale: int = 1) -> str | None:
    """A price as text with at most six decimals; None for what is no price. `scale`: to USD per million tokens."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        usd = Decimal(str(value)) * scale
    except ArithmeticError:
        return None
    if not usd.is_finite() or abs(usd) >= 10**9:
        return None
    text = format(usd.quantize(SIXTH).normalize(), "f")
    return "0" if text == "-0" else text


def kinds(price: Json) -> Json:
    """A price list without the kinds that can't be: unset ones, those at 0, and what is cheaper when it is not cached.

    Lists write 0 for what a provider has no price for; taken as a price it would make tokens free.
    """
    known = {name: text for name, text in price.items() if text is not None}
    for name in [name for name in known if name not in ("input", "output", "above_input_tokens", "long")]:
        usd = Decimal(known[name])
        is_dear_cache = name == "cached" and usd > Decimal(known.get("input", "0"))
        most_usd = MOST_SEARCH_USD if name == "search" else MOST_USD
        if usd <= 0 or usd > most_usd or is_dear_cache:
            del known[name]
    return known


def decoded(raw: bytes, what: str) -> Json:
    """A list's JSON object, numbers with a point as Decimal. Raises ListError."""
    try:
        read = msgspec.json.Decoder(float_hook=Decimal).decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        line = raw[: _offset_of(error)].count(b"\n") + 1
        raise ListError(f"{what}: line {line}: not JSON: {error}") from error
    if not isinstance(read, dict) or not read:
        raise ListError(f"{what}: not a list of models: it should be an object with entries in it")
    return read


def strings(value: object) -> list[str]:
    """The texts in what should be a list of texts."""
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def table(value: object) -> Json:
    """What should be an object; empty when it is something else."""
    return value if isinstance(value, dict) else {}


def flag(value: object) -> bool | None:
    """What should be true or false; None when it is something else."""
    return value if isinstance(value, bool) else None


def count(value: object) -> int | None:
    """What should be a whole number above 0, perhaps written as text or with a point; None when it is not."""
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        return None
    if isinstance(value, bool) or not number.is_finite() or number != number.to_integral_value():
        return None
    return int(number) if 0 < number <= MOST_TOKENS * 10 else None


def day(value: object) -> dt.date | None:
    """A date written as 2026-11-01; None when it is none."""
    try:
        return dt.date.fromisoformat(str(value))
    except ValueError:
        return None


def known_provider(spelling: object) -> str:
    """Our name of a provider; empty when there is none."""
    return provider_named(spelling) if isinstance(spelling, str) else ""


def _preference(sighting: Sighting) -> tuple[bool, int, int, str]:
    """Of two entries of one model at one provider: not the one about to go, then who says more, then the plainer."""
    leaves = "retires_on" in sighting.here
    return leaves, -len(sighting.price) - len(sighting.facts), len(sighting.upstream), sighting.upstream


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _offset_of(error: Exception) -> int:
    """Where msgspec says that it stopped: `... (byte 17)`; 0 when it does not say."""
    digits = "".join(letter for letter in str(error).rpartition("(byte ")[2] if letter.isdigit())
    return int(digits or 0)
