"""The ledger has what Gemini counts, thoughts beside or among the candidates, or nothing and an alarm."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.chat import Usage
from routing.dialects.gemini_usage import is_odd, read_usage
from tests.routing.dialects.gemini_wire import answered, response


def report(prompt: Any, said: Any, total: Any = None, **more: int) -> dict[str, Any]:
    told = {"promptTokenCount": prompt, "candidatesTokenCount": said, "totalTokenCount": total}
    told |= {f"{name}TokenCount": count for name, count in more.items()}
    return {name: part for name, part in told.items() if part is not None}


READINGS: dict[str, tuple[dict[str, Any], Usage]] = {
    "plain": (report(10, 5, 15), Usage(10, 5)),
    "thoughts beside the candidates": (report(10, 5, 22, thoughts=7), Usage(10, 12, reasoning_tokens=7)),
    "Vertex: thoughts among the candidates": (report(10, 12, 22, thoughts=7), Usage(10, 12, reasoning_tokens=7)),
    "no total": (report(10, 5, None, thoughts=7), Usage(10, 12, reasoning_tokens=7)),
    "results of tools": (report(10, 5, 18, toolUsePrompt=3), Usage(13, 5)),
    "no candidates": (report(10, None, 17, thoughts=7), Usage(10, 7, reasoning_tokens=7)),
    "a prompt that follows from the total": (report(None, 5, 22, thoughts=7), Usage(10, 12, reasoning_tokens=7)),
    "no prompt": (report(None, 5, None, thoughts=7), Usage(None, 12)),
    "pictures": (
        {**report(10, 1290, 1300), "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}]},
        Usage(10, 1290, image_output_tokens=1290),
    ),
}
UNEXPLAINED: dict[str, dict[str, Any]] = {
    "a total above its parts": report(10, 5, 19),
    "a total below its parts": report(10, 5, 12),
    "more cached than there was": report(10, 5, 15, cachedContent=11),
    "negative": report(-1, 5, 4),
    "zeros": report(0, 0, 0),
}


@pytest.mark.parametrize("name", READINGS)
def test_a_known_way_of_counting_is_read(name):
    told, usage = READINGS[name]
    assert read_usage(told) == usage
    assert is_odd(told, usage) is (usage.total_tokens is None)


@pytest.mark.parametrize("name", UNEXPLAINED)
def test_counts_that_fit_no_known_way_are_unknown_kept_and_an_alarm(name):
    told = UNEXPLAINED[name]
    answer = answered(response({"text": "Hi"}, usageMetadata=told))
    assert answer.usage is None
    assert answer.has_odd_usage
    assert json.loads(answer.body)["provider_fields"]["usageMetadata"] == told


COUNT = st.one_of(st.none(), st.integers(0, 60), st.sampled_from([-1, "5"]))


@given(COUNT, COUNT, st.one_of(COUNT, st.integers(0, 200)), st.integers(0, 9), st.integers(0, 9))
def test_what_is_read_adds_up_to_the_total(prompt, said, total, thoughts, tools):
    usage = read_usage(report(prompt, said, total, thoughts=thoughts, toolUsePrompt=tools))
    if usage is None or usage.total_tokens is None:
        return
    assert usage.reasoning_tokens <= (usage.output_tokens or 0)
    assert total in (None, 0, usage.total_tokens)
