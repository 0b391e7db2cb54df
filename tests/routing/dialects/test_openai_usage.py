"""The ledger has what the chat-completions wire counts, in every known way of counting, or nothing and an alarm."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.chat import Answer, Usage
from routing.dialects.base import WireReply
from routing.dialects.openai import OpenAIDialect
from routing.dialects.openai_face import CompletionDetails, PromptDetails, read_official
from routing.dialects.openai_usage import WAYS, adds_up, is_odd, read_usage, shown_usage, usage_of
from tests.routing.dialects.wire import answered, chunk, completion, sse

STOP = chunk({"content": "Hi"}, choice={"finish_reason": "stop"})


def report(prompt: Any, completion: Any, total: Any = None, **more: Any) -> dict[str, Any]:
    told = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total, **more}
    return {name: part for name, part in told.items() if part is not None}


def cached(count: int, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens_details": {"cached_tokens": count, **more}}


def thought(count: int) -> dict[str, Any]:
    return {"completion_tokens_details": {"reasoning_tokens": count}}


READINGS = {
    "OpenAI": (report(41, 9, 50, **cached(7), **thought(5)), Usage(41, 9, cached_tokens=7, reasoning_tokens=5)),
    "no total": (report(41, 9), Usage(41, 9)),
    "a total that was not filled in": (report(41, 9, 0), Usage(41, 9)),
    "whole numbers written as 41.0": (report(41.0, 9.0, 50.0), Usage(41, 9)),
    "DeepSeek": (report(41, 9, 50, prompt_cache_hit_tokens=32), Usage(41, 9, cached_tokens=32)),
    "xAI: reasoning beside": (
        report(2640, 182, 3494, **cached(473), **thought(672)),
        Usage(2640, 854, cached_tokens=473, reasoning_tokens=672),
    ),
    "Google's face: reasoning in the total alone": (report(41, 9, 150), Usage(41, 109, reasoning_tokens=100)),
    "before Claude: cache beside": (
        report(12, 40, 15675, **cached(15623)),
        Usage(15635, 40, cached_tokens=15623),
    ),
    "before Claude: writes beside, too": (
        report(12, 40, 15775, **cached(15623), cache_creation_input_tokens=100),
        Usage(15735, 40, cached_tokens=15623, cache_write_tokens=100),
    ),
    "before Claude: all of the prompt cached": (report(0, 40, 540, **cached(500)), Usage(500, 40, cached_tokens=500)),
    "before Claude: an hour's cache": (
        report(
            112,
            40,
            152,
            cache_creation_input_tokens=100,
            cache_creation={"ephemeral_1h_input_tokens": 60, "ephemeral_5m_input_tokens": 40},
        ),
        Usage(112, 40, cache_write_tokens=40, cache_write_1h_tokens=60),
    ),
    "one kind under two names, one of them 0": (
        report(600, 40, 640, **cached(0), cache_read_input_tokens=500),
        Usage(600, 40, cached_tokens=500),
    ),
    "Perplexity's deep research": (
        report(33, 7163, 7196, citation_tokens=20016, num_search_queries=18, reasoning_tokens=73997),
        Usage(33, 81160, reasoning_tokens=73997, citation_tokens=20016, searches=18),
    ),
    "Perplexity's others": (report(9, 30, 39, search_context_size="low"), Usage(9, 30, searches=1)),
    "xAI's live search": (report(9, 30, 39, num_sources_used=4), Usage(9, 30, searches=4)),
    "sound and pictures": (
        report(
            50,
            60,
            110,
            prompt_tokens_details={"audio_tokens": 30, "image_tokens": 10},
            completion_tokens_details={"audio_tokens": 20, "image_tokens": 15},
        ),
        Usage(
            50,
            60,
            audio_input_tokens=30,
            image_input_tokens=10,
            audio_output_tokens=20,
            image_output_tokens=15,
        ),
    ),
    "only the total besides the prompt": (report(10, None, 30), Usage(10, 20)),
    "no prompt": (report(None, 40), Usage(None, 40)),
    "no completion": (report(41, None), Usage(41, None)),
}
UNEXPLAINED = {
    "Grok at Azure: more cached than there was": report(7, 3, 10, **cached(163)),
    "more reasoning than output": report(7, 18, 25, **thought(137)),
    "a total below its parts": report(10, 20, 25),
    "a rest that the reasoning does not explain": report(10, 20, 40, **thought(5)),
    "a rest that the cache and the reasoning both explain": report(10, 20, 35, **cached(5), **thought(5)),
    "nothing but zeros": report(0, 0, 0),
    "no prompt at all": report(0, 5, 5),
    "two counts of one kind": report(600, 40, 640, **cached(10), cache_read_input_tokens=500),
    "more of an hour's cache than was written": report(
        50, 40, 90, cache_creation_input_tokens=10, cache_creation={"ephemeral_1h_input_tokens": 20}
    ),
    "negative": report(-1, 40),
    "text": report("41", 40),
    "a fraction": report(1.5, 40),
    "a kind that is no count": report(41, 9, 50, **cached(-3)),
    "details that are no object": report(41, 9, 50, prompt_tokens_details=[3]),
    "too many": report(10**12, 40),
}


@pytest.mark.parametrize("name", READINGS)
def test_a_known_way_of_counting_is_read(name):
    told, usage = READINGS[name]
    assert read_usage(told) == usage
    assert is_odd(told, usage) is (usage.total_tokens is None)


@pytest.mark.parametrize("name", UNEXPLAINED)
def test_counts_that_fit_no_known_way_are_unknown_and_raise_an_alarm(name):
    told = UNEXPLAINED[name]
    assert read_usage(told) is None
    assert is_odd(told, None)


@pytest.mark.parametrize("told", [None, {}])
def test_a_report_that_says_nothing_is_unknown_and_no_alarm(told):
    assert read_usage(told) is None
    assert not is_odd(told, None)


def test_every_way_names_its_source():
    assert len({way.name for way in WAYS}) == len(WAYS)
    assert all(way.source for way in WAYS)


COUNT = st.one_of(st.none(), st.integers(0, 60), st.sampled_from([-1, "5", 2.5, True]))
REPORTS = st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": COUNT,
        "completion_tokens": COUNT,
        "total_tokens": st.one_of(COUNT, st.integers(0, 240)),
        "prompt_tokens_details": st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("cached_tokens", "audio_tokens"), COUNT)
        ),
        "completion_tokens_details": st.fixed_dictionaries(
            {}, optional={"reasoning_tokens": COUNT, "audio_tokens": COUNT}
        ),
        "cache_creation_input_tokens": COUNT,
        "cache_read_input_tokens": COUNT,
        "citation_tokens": COUNT,
        "num_search_queries": COUNT,
        "reasoning_tokens": COUNT,
    },
)


@given(REPORTS)
def test_what_is_read_adds_up_and_never_counts_less_than_was_told(told):
    usage = read_usage(told)
    if usage is None or usage.total_tokens is None:
        return
    assert adds_up(usage)
    assert (usage.input_tokens or 0) >= (told.get("prompt_tokens") or 0)
    assert (usage.output_tokens or 0) >= (told.get("completion_tokens") or 0)
    assert usage.total_tokens >= (told.get("total_tokens") or 0)


DETAIL = st.one_of(st.none(), st.integers(0, 9))


@given(
    st.integers(1, 60),
    st.integers(0, 60),
    st.fixed_dictionaries({}, optional=dict.fromkeys(PromptDetails.__struct_fields__, DETAIL)),
    st.fixed_dictionaries({}, optional=dict.fromkeys(CompletionDetails.__struct_fields__, DETAIL)),
)
def test_official_counts_are_read_as_the_first_way_of_counting_says(prompt, made, read, said):
    told = report(prompt, made, prompt + made, prompt_tokens_details=read, completion_tokens_details=said)
    official = read_official(json.dumps(completion(usage=told)).encode())
    assert (None if official is None else usage_of(official.usage)) == read_usage(told)


def ledger_of(answer: Answer) -> dict[str, int]:
    usage = answer.usage
    assert usage is not None
    return {
        "prompt_tokens": usage.input_tokens or 0,
        "completion_tokens": usage.output_tokens or 0,
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def body_of(answer: Answer) -> dict[str, int]:
    shown = json.loads(answer.body)["usage"]
    read, made = shown.get("prompt_tokens_details") or {}, shown.get("completion_tokens_details") or {}
    assert shown["total_tokens"] == shown["prompt_tokens"] + shown["completion_tokens"]
    return {
        "prompt_tokens": shown["prompt_tokens"],
        "completion_tokens": shown["completion_tokens"],
        "cached_tokens": read.get("cached_tokens") or 0,
        "cache_write_tokens": read.get("cache_write_tokens") or 0,
        "reasoning_tokens": made.get("reasoning_tokens") or 0,
    }


@given(REPORTS)
def test_body_and_ledger_agree_whole_and_streamed(told):
    whole = OpenAIDialect().decode(WireReply(200, {}, json.dumps(completion(usage=told)).encode()))
    assert isinstance(whole, Answer)
    streamed = answered(sse(STOP, chunk(usage=told)))
    assert (streamed.usage, streamed.has_odd_usage) == (whole.usage, whole.has_odd_usage)
    for answer in (whole, streamed):
        if answer.usage is not None and answer.usage.total_tokens is not None:
            assert body_of(answer) == ledger_of(answer)
        else:
            assert "usage" not in json.loads(answer.body) or json.loads(answer.body)["usage"] is None


@pytest.mark.parametrize("name", UNEXPLAINED)
def test_counts_that_are_not_shown_are_kept(name):
    whole = OpenAIDialect().decode(WireReply(200, {}, json.dumps(completion(usage=UNEXPLAINED[name])).encode()))
    assert isinstance(whole, Answer)
    assert whole.has_odd_usage
    assert json.loads(whole.body)["provider_fields"]["usage"] == UNEXPLAINED[name]


REAL = report(41, 9, 50, **cached(7))


@pytest.mark.parametrize(
    "chunks",
    [
        [chunk(usage=REAL), chunk(usage=report(0, 0, 0))],
        [chunk(usage=report(41, 1, 42)), chunk(usage=REAL)],
        [chunk(usage=report(41, 0, 41, **cached(7))), chunk(usage=report(41, 9, 50))],
        [chunk(usage=report(50, 0, 50)), chunk(usage=REAL)],
        [chunk(usage=report(41, None, None, **cached(7))), chunk(usage=report(None, 9, 50))],
        [chunk(usage=REAL), chunk(usage=None), chunk()],
        [chunk(usage=REAL), chunk(usage=REAL)],
    ],
    ids=["zeros after", "growing", "details first", "a correction", "in two halves", "null after", "twice"],
)
def test_a_stream_counts_what_its_fullest_report_says(chunks):
    assert answered(sse(STOP, *chunks)).usage == Usage(41, 9, cached_tokens=7)


def test_a_detail_of_0_is_shown_where_it_was_told():
    told = report(41, 9, 50, **cached(0, text_tokens=41))
    usage = read_usage(told)
    assert usage is not None
    assert shown_usage(usage, told)["prompt_tokens_details"] == {"cached_tokens": 0, "text_tokens": 41}
    assert "completion_tokens_details" not in shown_usage(usage, told)
