"""The ledger has what Anthropic counts, with its caches and rounds, or nothing and an alarm."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.chat import Usage
from routing.dialects.anthropic_usage import is_odd, read_usage

COMPACTION = {
    "type": "compaction",
    "input_tokens": 100,
    "output_tokens": 20,
    "cache_read_input_tokens": 30,
    "cache_creation_input_tokens": 0,
}
READINGS: dict[str, tuple[dict[str, Any], Usage]] = {
    "plain": ({"input_tokens": 10, "output_tokens": 5}, Usage(10, 5)),
    "caches beside the input": (
        {"input_tokens": 10, "cache_read_input_tokens": 700, "cache_creation_input_tokens": 90, "output_tokens": 5},
        Usage(800, 5, cached_tokens=700, cache_write_tokens=90),
    ),
    "an hour's cache": (
        {
            "input_tokens": 10,
            "cache_creation_input_tokens": 90,
            "cache_creation": {"ephemeral_1h_input_tokens": 60},
            "output_tokens": 5,
        },
        Usage(100, 5, cache_write_tokens=30, cache_write_1h_tokens=60),
    ),
    "thoughts within the output": (
        {"input_tokens": 10, "output_tokens": 5, "output_tokens_details": {"thinking_tokens": 3}},
        Usage(10, 5, reasoning_tokens=3),
    ),
    "searches": (
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
        },
        Usage(10, 5, searches=2),
    ),
    "a compaction beside the totals": (
        {"input_tokens": 10, "output_tokens": 5, "iterations": [{"type": "message"}, COMPACTION]},
        Usage(140, 25, cached_tokens=30),
    ),
    "no input": ({"output_tokens": 5}, Usage(None, 5)),
    "no output": ({"input_tokens": 5}, Usage(5, None)),
}
UNEXPLAINED: dict[str, dict[str, Any]] = {
    "zeros": {"input_tokens": 0, "output_tokens": 0},
    "negative": {"input_tokens": -1, "output_tokens": 5},
    "more thoughts than output": {
        "input_tokens": 10,
        "output_tokens": 5,
        "output_tokens_details": {"thinking_tokens": 6},
    },
    "more of an hour's cache than was written": {
        "input_tokens": 10,
        "output_tokens": 5,
        "cache_creation": {"ephemeral_1h_input_tokens": 60},
    },
    "rounds of another model": {"input_tokens": 10, "output_tokens": 5, "iterations": [{"type": "advisor_message"}]},
}


@pytest.mark.parametrize("name", READINGS)
def test_a_known_way_of_counting_is_read(name):
    told, usage = READINGS[name]
    assert read_usage(told) == usage
    assert is_odd(told, usage) is (usage.total_tokens is None)


@pytest.mark.parametrize("name", UNEXPLAINED)
def test_counts_that_fit_no_known_way_are_unknown_and_raise_an_alarm(name):
    assert read_usage(UNEXPLAINED[name]) is None
    assert is_odd(UNEXPLAINED[name], None)


COUNT = st.one_of(st.none(), st.integers(0, 60), st.sampled_from([-1, "5"]))
NAMES = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, COUNT)))
def test_what_is_read_adds_up(told):
    usage = read_usage(told)
    if usage is None or usage.total_tokens is None:
        return
    assert usage.input_tokens == sum(told.get(name) or 0 for name in NAMES if name != "output_tokens")
    assert usage.cached_tokens + usage.cache_write_tokens + usage.cache_write_1h_tokens <= (usage.input_tokens or 0)
