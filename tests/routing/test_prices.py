"""A price pays for each token once, at its own kind's price; its bound is one; its version names every figure."""

import datetime as dt
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.chat import Usage
from routing.catalog import Deployment
from routing.prices import KINDS, LongRates, Price

DAY = dt.date(2026, 11, 1)
USD = st.decimals(0, 200, places=6)
TOKENS = st.integers(0, 2_000_000)
ALONE = {
    "audio_input": "audio_input_tokens",
    "audio_output": "audio_output_tokens",
    "image_output": "image_output_tokens",
    "citation": "citation_tokens",
    "search": "searches",
}
"""Kinds that no other kind's price stands for, and what they are prices of."""
BESIDE = ("citation_tokens", "searches")
"""Counts that are not parts of a total."""
PARTS = {
    name: st.just(0) if name in BESIDE else st.one_of(st.just(0), st.integers(0, 900_000))
    for name in Usage.__struct_fields__[2:]
}
USAGES = st.builds(Usage, TOKENS, TOKENS, **PARTS)
CLOSED = [name for name in KINDS if name not in ("citation", "search")]
RATES = {"input": USD, "output": USD} | {name: USD if name in ALONE else st.one_of(st.none(), USD) for name in CLOSED}


@st.composite
def prices(draw: st.DrawFn) -> Price:
    steps = sorted(draw(st.sets(st.integers(0, 1_000_000), max_size=3)))
    longer = tuple(draw(st.builds(LongRates, above_input_tokens=st.just(step), **RATES)) for step in steps)
    return draw(st.builds(Price, valid_from=st.just(DAY), source=st.just("a test"), long=st.just(longer), **RATES))


def price(**fields: Any) -> Price:
    return msgspec.convert(
        {"input": "2", "output": "10", "valid_from": "2026-11-01", "source": "a test"} | fields, Price, strict=False
    )


def by_hand(price: Price, usage: Usage) -> Decimal:
    """Token by token as the documentation says it, for parts that are no more than their totals."""
    rates: Any = price
    for longer in price.long:
        if (usage.input_tokens or 0) > longer.above_input_tokens:
            rates = longer

    def of(name: str, other: Decimal) -> Decimal:
        known: Decimal | None = getattr(rates, name)
        return other if known is None else known

    write = of("cache_write", rates.input)
    assert usage.input_tokens is not None
    assert usage.output_tokens is not None
    plain_out = usage.output_tokens - usage.reasoning_tokens - usage.audio_output_tokens - usage.image_output_tokens
    plain = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
    plain -= usage.cache_write_1h_tokens + usage.audio_input_tokens + usage.image_input_tokens
    amounts = (
        plain * rates.input,
        usage.cached_tokens * of("cached", rates.input),
        usage.cache_write_tokens * write,
        usage.cache_write_1h_tokens * of("cache_write_1h", write),
        usage.audio_input_tokens * rates.audio_input,
        usage.image_input_tokens * of("image_input", rates.input),
        plain_out * rates.output,
        usage.reasoning_tokens * of("reasoning", rates.output),
        usage.audio_output_tokens * rates.audio_output,
        usage.image_output_tokens * rates.image_output,
    )
    return sum(amounts, Decimal(0)) / 1_000_000


@given(prices(), st.tuples(*[st.integers(0, 300_000)] * 10))
def test_every_token_is_paid_for_at_the_price_of_its_kind(price, drawn):
    plain_in, cached, write, hour, heard, seen, plain_out, thought, spoken, drawn_out = drawn
    usage = Usage(
        input_tokens=plain_in + cached + write + hour + heard + seen,
        output_tokens=plain_out + thought + spoken + drawn_out,
        cached_tokens=cached,
        cache_write_tokens=write,
        cache_write_1h_tokens=hour,
        reasoning_tokens=thought,
        audio_input_tokens=heard,
        audio_output_tokens=spoken,
        image_input_tokens=seen,
        image_output_tokens=drawn_out,
    )
    assert price.of(usage) == by_hand(price, usage)


@given(prices(), USAGES, st.integers(0, 10_000), st.integers(0, 10_000))
def test_no_usage_costs_less_than_nothing_or_more_than_the_bound(price, usage, more_in, more_out):
    bound = price.bound(
        usage.input_tokens + more_in, usage.output_tokens + more_out, has_cache_marks=True, has_sound=True
    )
    assert 0 <= price.of(usage) <= bound


@given(prices(), USAGES)
def test_what_a_request_cannot_cost_is_not_in_its_bound(price, usage):
    quiet = msgspec.structs.replace(usage, cache_write_1h_tokens=0, audio_input_tokens=0, audio_output_tokens=0)
    narrow = price.bound(quiet.input_tokens, quiet.output_tokens, has_cache_marks=False, has_sound=False)
    wide = price.bound(quiet.input_tokens, quiet.output_tokens, has_cache_marks=True, has_sound=True)
    assert price.of(quiet) <= narrow <= wide


@pytest.mark.parametrize(("kind", "count"), ALONE.items())
def test_a_kind_that_no_other_price_stands_for_makes_the_amount_unknown(kind, count):
    used = Usage(1_000_000, 1_000_000, **{count: 1_000_000})
    assert price().of(used) is None
    known = price(**{kind: "7"}).of(used)
    assert known is not None
    assert known == {"audio_input": 17, "audio_output": 9, "image_output": 9}.get(kind, 19)


@pytest.mark.parametrize("used", [Usage(None, 5), Usage(5, None)])
def test_a_total_that_nobody_told_makes_the_amount_unknown(used):
    assert price().of(used) is None


def test_what_the_providers_own_searches_read_is_paid_for_beside_the_prompt_and_has_no_bound():
    research = price(output="8", reasoning="3", citation="2", search="5000")
    told = Usage(33, 7163 + 73997, reasoning_tokens=73997, citation_tokens=20016, searches=18)
    assert research.of(told) == Decimal("0.409393")
    assert research.bound(33, 4096, has_cache_marks=False, has_sound=False) is None
    assert price(search="5000").bound(1, 1, has_cache_marks=False, has_sound=False) == Decimal("0.000012")


def test_parts_that_are_more_than_the_whole_are_paid_for_once():
    told = Usage(100, 10, cached_tokens=90, audio_input_tokens=50, reasoning_tokens=40)
    assert price(cached="1", audio_input="8", reasoning="20").of(told) == Decimal("0.000650")


def test_a_long_prompt_has_its_own_list_and_its_own_fallbacks():
    long = price(cached="0.5", long=[{"above_input_tokens": 200_000, "input": "4", "output": "15"}])
    assert long.of(Usage(200_000, 0, cached_tokens=200_000)) == Decimal("0.1")
    assert long.of(Usage(200_001, 0, cached_tokens=200_001)) == Decimal("0.800004")


def test_a_version_names_the_day_and_the_figures_and_nothing_else():
    one = price()
    assert one.version.startswith("2026-11-01.")
    assert one.version == price(input="2.00", source="another").version
    others = [price(input="2.1"), price(cached="2"), price(batch_output="1"), price(valid_from="2026-11-02")]
    others.append(price(long=[{"above_input_tokens": 1, "input": "2", "output": "10"}]))
    assert len({one.version, *(other.version for other in others)}) == 6


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": "-1"},
        {"cached": "-0.1"},
        {"output": "1000000"},
        {"batch_input": "-1"},
        {"long": [{"above_input_tokens": 5, "input": "1", "output": "1"}] * 2},
        {"long": [{"above_input_tokens": 5, "input": "-1", "output": "1"}]},
    ],
)
def test_a_price_that_cannot_be_is_refused(wrong):
    with pytest.raises(msgspec.ValidationError):
        price(**wrong)


def test_the_price_of_a_call_is_the_one_valid_on_its_day():
    newest, older = price(valid_from="2026-11-20"), price(valid_from="2026-11-01")
    served = Deployment("m/a", "p", "a", newest, earlier_prices=(older,))
    assert served.price_on(None) is newest
    found = [served.price_on(dt.date(2026, 11, day)) for day in (25, 20, 19, 1)]
    assert found == [newest, newest, older, older]
    assert served.price_on(dt.date(2026, 10, 31)) is None
    assert Deployment("m/a", "p", "a").price_on(DAY) is None
    with pytest.raises(ValueError, match="the newest comes first"):
        Deployment("m/a", "p", "a", older, earlier_prices=(newest,))
