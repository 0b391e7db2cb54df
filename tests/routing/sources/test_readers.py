"""The three lists are read as they mean it; odd files are refused with a place, odd entries are counted."""

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.sources import litellm, models_dev, openrouter
from routing.sources.sighting import ListError, Reading, Sighting
from tests.routing.sources import lists

DAY = dt.date(2026, 11, 25)
READERS = (litellm.read, models_dev.read, openrouter.read)
Read = Callable[[bytes, dt.date], Reading]


def only(reading: Reading) -> Sighting:
    (sighting,) = reading.sightings
    return sighting


def test_litellm_prices_are_per_token_and_by_kind():
    entry = {
        "input_cost_per_token": 2.5e-06,
        "output_cost_per_token": 1e-05,
        "cache_read_input_token_cost": 1.25e-06,
        "cache_creation_input_token_cost": 3.125e-06,
        "cache_creation_input_token_cost_above_1hr": 5e-06,
        "output_cost_per_reasoning_token": 1.1e-05,
        "input_cost_per_audio_token": 4e-05,
        "output_cost_per_audio_token": 8e-05,
        "input_cost_per_token_batches": 1.25e-06,
        "output_cost_per_token_batches": 5e-06,
        "input_cost_per_token_above_200k_tokens": 5e-06,
        "output_cost_per_token_above_200k_tokens": 1.5e-05,
        "input_cost_per_token_priority": 9e-06,
        "source": "https://openai.example/pricing",
    }
    seen = only(litellm.read(lists.litellm(**{"gpt-x": entry}), DAY))
    assert seen.price == {
        "input": "2.5",
        "output": "10",
        "cached": "1.25",
        "cache_write": "3.125",
        "cache_write_1h": "5",
        "reasoning": "11",
        "audio_input": "40",
        "audio_output": "80",
        "batch_input": "1.25",
        "batch_output": "5",
        "long": [{"input": "5", "output": "15", "above_input_tokens": 200_000}],
    }
    assert (seen.source, seen.here["has_batch"]) == ("litellm: https://openai.example/pricing", True)


def test_litellm_ranges_are_long_prompts_too():
    tiers = [
        {"range": [0, 32e3], "input_cost_per_token": 1e-06, "output_cost_per_token": 3e-06},
        {"range": [32e3, 128e3], "input_cost_per_token": 2e-06, "output_cost_per_token": 6e-06},
    ]
    entry = {"litellm_provider": "dashscope", "input_cost_per_token": None, "tiered_pricing": tiers}
    seen = only(litellm.read(lists.litellm(**{"dashscope/qwen-x": entry | {"output_cost_per_token": None}}), DAY))
    assert (seen.price["input"], seen.price["long"][0]["above_input_tokens"]) == ("1", 32_000)


def test_litellm_abilities_are_facts_only_where_they_are_said():
    flags = {"supports_function_calling": True, "supports_vision": False, "supports_tool_choice": True}
    limits = {"max_input_tokens": 100_000, "max_output_tokens": 100_000, "supports_forced_tool_use": False}
    facts = only(litellm.read(lists.litellm(**{"gpt-x": flags | limits}), DAY)).facts
    assert facts == {
        "has_tools": True,
        "has_vision": False,
        "has_forced_tools": False,
        "max_input_tokens": 100_000,
    }


@pytest.mark.parametrize(
    ("key", "change", "reason"),
    [
        ("gpt-x", {"mode": "embedding"}, "not a chat model"),
        ("ft:gpt-x", {}, "a fine-tune"),
        ("gpt-x", {"deprecation_date": "2026-11-25"}, "taken away by its provider"),
        ("gpt-x", {"input_cost_per_request": 0.01}, "has a price per request, too"),
        ("gpt-x", {"input_cost_per_token": 0, "output_cost_per_token": 0}, "a price of 0: a trial, a plan, or unknown"),
        ("gpt-x", {"output_cost_per_token": 0}, "no price of output: it answers with no text"),
        ("gpt-x", {"output_cost_per_token": None}, "no price per token"),
        ("gpt-x", {"input_cost_per_token": 0.1}, "an absurd price"),
        ("gpt-x", {"input_cost_per_token": -1e-06}, "an absurd price"),
        ("github_copilot/gpt-x", {"litellm_provider": "github_copilot"}, "a subscription's price is not a call's"),
        ("eu.anthropic.claude-x", {"litellm_provider": "bedrock_converse"}, "a regional twin"),
    ],
)
def test_what_is_left_out_is_counted_under_its_reason(key, change, reason):
    reading = litellm.read(lists.litellm(**{key: change}), DAY)
    assert (reading.sightings, reading.left_out) == ((), {reason: 1})


def test_a_second_entry_of_one_model_at_one_provider_is_counted_and_the_fuller_one_taken():
    poor, rich = {"litellm_provider": "bedrock"}, {"litellm_provider": "bedrock_converse", "supports_vision": True}
    reading = litellm.read(lists.litellm(**{"meta.llama3-8b-v1:0": poor, "meta.llama-3-8b": rich}), DAY)
    assert only(reading).facts == {"has_vision": True}
    assert reading.left_out == {"the same model at the same provider again": 1}


def test_a_region_that_is_taken_apart_is_a_provider_of_its_own():
    seen = only(litellm.read(lists.litellm(**{"azure/eu/gpt-x": {"litellm_provider": "azure"}}), DAY))
    assert (seen.provider, seen.upstream, seen.here["region"]) == ("azure-eu", "gpt-x", "eu")


def test_models_dev_is_read():
    cost: dict[str, Any] = {"input": 3, "output": 15, "cache_read": 0.3, "cache_write": 0, "input_audio": 7}
    cost["tiers"] = [{"input": 6, "output": 22.5, "tier": {"type": "context", "size": 200_000}}]
    model = {
        "id": "gpt-x",
        "tool_call": True,
        "temperature": False,
        "modalities": {"input": ["text", "image"], "output": ["text"]},
        "limit": {"context": 400_000, "input": 272_000, "output": 128_000},
        "cost": cost,
    }
    seen = only(models_dev.read(lists.models_dev(model), DAY))
    assert seen.price == {
        "input": "3", "output": "15", "cached": "0.3", "audio_input": "7",
        "long": [{"input": "6", "output": "22.5", "above_input_tokens": 200_000}],
    }  # fmt: skip
    assert (seen.facts["context_tokens"], seen.facts["max_input_tokens"]) == (400_000, 272_000)
    assert (seen.facts["has_vision"], seen.facts["has_audio"], seen.facts["has_sampling"]) == (True, False, False)


def test_openrouter_is_read():
    model = {
        "id": "openai/gpt-x",
        "supported_parameters": ["tools"],
        "pricing": {"prompt": "0.0000025", "completion": "0.00001"},
    }
    seen = only(openrouter.read(lists.openrouter(model, {"id": "openrouter/auto"}), DAY))
    assert (seen.provider, seen.price) == ("openrouter", {"input": "2.5", "output": "10"})
    assert (seen.facts["has_tools"], seen.facts["has_json_schema"], seen.facts["context_tokens"]) == (
        True,
        False,
        8_000,
    )


@pytest.mark.parametrize("read", READERS)
def test_a_file_that_is_no_such_list_is_refused_with_its_place(read: Read):
    with pytest.raises(ListError, match="line 2: not JSON"):
        read(b'{"a":\n nonsense}', DAY)
    for raw in (b"[]", b"{}", b"7"):
        with pytest.raises(ListError):
            read(raw, DAY)


JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)
LITELLM_KEYS = (
    "mode", "litellm_provider", "input_cost_per_token", "output_cost_per_token", "max_input_tokens", "source",
    "max_output_tokens", "supports_vision", "deprecation_date", "tiered_pricing", "supported_endpoints",
    "reasoning_effort_levels", "input_cost_per_token_above_200k_tokens", "output_cost_per_token_above_200k_tokens",
)  # fmt: skip
OF_KEYS = dict.fromkeys(LITELLM_KEYS, JUNK) | {"mode": st.sampled_from(["chat", "responses", 3])}
ENTRY = st.fixed_dictionaries({}, optional=OF_KEYS)
DEV_KEYS = ("id", "cost", "limit", "modalities", "status", "family", "tool_call", "reasoning")
MODEL = st.fixed_dictionaries({}, optional=dict.fromkeys(DEV_KEYS, JUNK))
ROUTED_KEYS = ("id", "pricing", "architecture", "top_provider", "context_length", "supported_parameters")
ROUTED = st.fixed_dictionaries({}, optional=dict.fromkeys(ROUTED_KEYS, JUNK))


@settings(max_examples=150)
@given(st.dictionaries(st.text(max_size=20), st.one_of(JUNK, ENTRY), min_size=1, max_size=4))
def test_no_odd_litellm_file_breaks_the_reader(file: dict[str, Any]):
    sound(litellm.read, file)


@settings(max_examples=150)
@given(
    st.dictionaries(
        st.text(max_size=8),
        st.fixed_dictionaries({"models": st.dictionaries(st.text(max_size=8), st.one_of(JUNK, MODEL), max_size=3)}),
        max_size=3,
    )
)
def test_no_odd_models_dev_file_breaks_the_reader(file: dict[str, Any]):
    sound(models_dev.read, file)


@settings(max_examples=150)
@given(st.lists(st.one_of(JUNK, ROUTED), max_size=3))
def test_no_odd_openrouter_file_breaks_the_reader(models: list[Any]):
    sound(openrouter.read, {"data": models})


def sound(read: Read, file: object) -> None:
    """Read or refused; and what is read has a price that a Price takes."""
    try:
        reading = read(json.dumps(file).encode(), DAY)
    except ListError:
        return
    for sighting in reading.sightings:
        assert float(sighting.price["output"]) > 0
        assert sighting.provider
        assert sighting.key
