"""Prices: USD per million tokens of each kind, from a day on, and above a length of prompt others."""

import datetime as dt
import hashlib
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cached_property

import msgspec
from msgspec.structs import asdict, astuple

from jobs.chat import Usage

MILLION = Decimal(1_000_000)
AMOUNT = Decimal("0.000000000001")
"""Amounts are kept to 12 decimals: NUMERIC(20,12)."""
KINDS = (
    "cached",
    "cache_write",
    "cache_write_1h",
    "reasoning",
    "audio_input",
    "audio_output",
    "image_input",
    "image_output",
    "citation",
    "search",
)
"""What a price list may leave out."""


class Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True, kw_only=True):
    """A price list, in USD per million tokens (`search`: per million searches).

    | left out | costs as |
    |---|---|
    | `cached`, `cache_write`, `image_input` | `input` |
    | `cache_write_1h` | `cache_write` |
    | `reasoning` | `output` |
    | `audio_input`, `audio_output`, `image_output`, `citation`, `search` | unknown: so is the cost of the call |

    The last row holds what providers bill at another price than text, mostly at a multiple of it.
    Weakness: where a provider asks more for one of the others (writing to a cache, say), the amount is too low.
    """

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    """Prompt that was read from a cache."""
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    reasoning: Decimal | None = None
    audio_input: Decimal | None = None
    audio_output: Decimal | None = None
    image_input: Decimal | None = None
    image_output: Decimal | None = None
    citation: Decimal | None = None
    """Tokens that the provider's own searches read."""
    search: Decimal | None = None
    """A million searches."""

    def __post_init__(self) -> None:
        """Refuse a price below 0, or so high that a unit must be wrong. Raises ValueError."""
        for name in ("input", "output", *KINDS):
            usd = getattr(self, name)
            if usd is not None and not 0 <= usd < MILLION:
                raise ValueError(f"{name}: a price can't be below 0, nor a million USD for a million tokens")

    @cached_property
    def of_input(self) -> tuple[Decimal, Decimal, Decimal, Decimal, Decimal]:
        """Prices of `cache_write_1h`, `cache_write`, `audio_input`, `image_input`, `cached`.

        What stands in for a kind that is left out is `input`, of `cache_write_1h` `cache_write`.
        """
        write = self.input if self.cache_write is None else self.cache_write
        return (
            write if self.cache_write_1h is None else self.cache_write_1h,
            write,
            self.input if self.audio_input is None else self.audio_input,
            self.input if self.image_input is None else self.image_input,
            self.input if self.cached is None else self.cached,
        )

    @cached_property
    def of_output(self) -> tuple[Decimal, Decimal, Decimal]:
        """The same of `image_output`, `audio_output` and `reasoning`, with `output` for what is left out."""
        return (
            self.output if self.image_output is None else self.image_output,
            self.output if self.audio_output is None else self.audio_output,
            self.output if self.reasoning is None else self.reasoning,
        )

    @cached_property
    def dearest(self) -> tuple[Decimal, Decimal]:
        """The dearest kind of input and of output that any call may have. Models that draw do so unasked."""
        _, write, _, seen, cached = self.of_input
        drawn, _, thought = self.of_output
        return max(self.input, write, seen, cached), max(self.output, drawn, thought)

    def lacks(self, usage: Usage) -> bool:
        """Whether the call used a kind that has no price here and that no other kind's price stands for."""
        return bool(
            (usage.audio_input_tokens and self.audio_input is None)
            or (usage.audio_output_tokens and self.audio_output is None)
            or (usage.image_output_tokens and self.image_output is None)
            or (usage.citation_tokens and self.citation is None)
            or (usage.searches and self.search is None)
        )

    def total(self, usage: Usage) -> Decimal | None:
        """What so much costs, times a million and exact; None when a total or the price of a kind is unknown.

        The kinds are parts of the totals. Where a report's parts are more than its total, the dearest go first and
        the rest is cut, so that as many tokens are paid for as the total says.
        """
        if usage.input_tokens is None or usage.output_tokens is None:
            return None
        if not has_kinds(usage):
            return self.input * usage.input_tokens + self.output * usage.output_tokens
        if self.lacks(usage):
            return None
        read = (
            usage.cache_write_1h_tokens,
            usage.cache_write_tokens,
            usage.audio_input_tokens,
            usage.image_input_tokens,
            usage.cached_tokens,
        )
        made = (usage.image_output_tokens, usage.audio_output_tokens, usage.reasoning_tokens)
        beside = (self.citation or 0) * usage.citation_tokens + (self.search or 0) * usage.searches
        return (
            _parted(usage.input_tokens, self.input, zip(read, self.of_input, strict=True))
            + _parted(usage.output_tokens, self.output, zip(made, self.of_output, strict=True))
            + beside
        )

    def most(self, input_tokens: int, output_tokens: int, *, has_cache_marks: bool, has_sound: bool) -> Decimal:
        """What so many tokens can cost at most, times a million, whatever their kinds turn out to be.

        An hour's cache is written to only where the request asks for it, and sound billed where there is any.
        """
        dearest_in, dearest_out = self.dearest
        if has_cache_marks:
            dearest_in = max(dearest_in, self.of_input[0])
        if has_sound:
            dearest_in, dearest_out = max(dearest_in, self.of_input[2]), max(dearest_out, self.of_output[1])
        return dearest_in * input_tokens + dearest_out * output_tokens


class LongRates(Rates, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The price list of long prompts: what it leaves out costs what stands beside it *here*."""

    above_input_tokens: int
    """All tokens of a call with more input than this cost so."""


class Price(Rates, frozen=True, forbid_unknown_fields=True):
    """What a deployment asks from a day on, and who says so."""

    input: Decimal
    output: Decimal
    valid_from: dt.date
    source: str
    batch_input: Decimal | None = None
    """In a provider's own batch; left out: as outside of one."""
    batch_output: Decimal | None = None
    long: tuple[LongRates, ...] = ()
    """By ascending `above_input_tokens`; the last that a prompt exceeds is its price list."""

    def __post_init__(self) -> None:
        """Refuse lists that contradict themselves. Raises ValueError."""
        Rates.__post_init__(self)
        steps = [rates.above_input_tokens for rates in self.long]
        if steps != sorted(set(steps)) or (steps and steps[0] < 0):
            raise ValueError("long: the price lists must stand by ascending above_input_tokens, each once")
        if any(usd is not None and not 0 <= usd < MILLION for usd in (self.batch_input, self.batch_output)):
            raise ValueError("batch_input, batch_output: a price can't be below 0, nor a million USD")

    @property
    def is_open_ended(self) -> bool:
        """Whether a call may cost any amount: its provider bills what its own searches read, which nothing bounds."""
        return self.citation is not None

    def of(self, usage: Usage) -> Decimal | None:
        """What so much costs, in USD to 12 decimals (half to even), exact before that; None when it is unknown.

        >>> price = Price(Decimal(3), Decimal(15), dt.date(2026, 1, 1), "docs", cached=Decimal("0.3"))
        >>> price.of(Usage(1000, 10, cached_tokens=900))
        Decimal('0.000720000000')
        """
        rates: Rates = self
        for longer in self.long:
            if (usage.input_tokens or 0) > longer.above_input_tokens:
                rates = longer
        amount = rates.total(usage)
        return None if amount is None else (amount / MILLION).quantize(AMOUNT, ROUND_HALF_EVEN)

    def bound(self, input_tokens: int, output_tokens: int, *, has_cache_marks: bool, has_sound: bool) -> Decimal | None:
        """What a call costs at most that has no more tokens than these, in USD to 12 decimals.

        It may have fewer: then a cheaper list is its own, or a dearer one (a list of long prompts need not be dearer).
        None where nothing bounds it (`is_open_ended`).
        """
        if self.is_open_ended:
            return None
        worst = self.most(input_tokens, output_tokens, has_cache_marks=has_cache_marks, has_sound=has_sound)
        for longer in self.long:
            if input_tokens > longer.above_input_tokens:
                most = longer.most(input_tokens, output_tokens, has_cache_marks=has_cache_marks, has_sound=has_sound)
                worst = max(worst, most)
        return (worst / MILLION).quantize(AMOUNT, ROUND_HALF_EVEN)

    @cached_property
    def version(self) -> str:
        """What the ledger keeps beside each amount: the day, and eight digits that stand for every figure."""
        figures = {name: value for name, value in asdict(self).items() if name not in ("valid_from", "source")}
        digest = hashlib.sha256(msgspec.json.encode(_plain(figures), order="sorted")).hexdigest()
        return f"{self.valid_from.isoformat()}.{digest[:8]}"


def has_kinds(usage: Usage) -> bool:
    """Whether any of it costs something else than plain input or output may."""
    return any(astuple(usage)[2:])


def _parted(total: int, plain: Decimal, parts: Iterable[tuple[int, Decimal]]) -> Decimal:
    """So many tokens, of which these parts have prices of their own, dearest kind first; no more than there are."""
    amount, left = Decimal(0), total
    for tokens, price in parts:
        if tokens:
            billed = min(tokens, left)
            amount += price * billed
            left -= billed
    return amount + plain * left


def _plain(value: object) -> object:
    """Figures without their spelling: 2.50 and 2.5 are one price."""
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items() if each is not None}
    if isinstance(value, tuple):
        return [_plain(asdict(each)) for each in value]
    return value
