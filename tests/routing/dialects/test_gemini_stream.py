"""Streams on Gemini's wire: cut anywhere, they give one answer, and chunks that add up to it."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.chat import Answer, Usage
from jobs.failures import Failure, FailureKind
from tests.routing.dialects.gemini_wire import DIALECT, USAGE, answered, response, sse
from tests.routing.dialects.judges import added_up, normal
from tests.routing.dialects.oracles import chunk_faults, completion_faults

HALF = {"promptTokenCount": 41, "totalTokenCount": 41}
EVENTS = [
    response({"text": "Hm\u2028.", "thought": True}, finish=None, usageMetadata=HALF),
    response({"text": "Sch\u00f6n "}, finish=None, usageMetadata=HALF),
    response({"text": "\U0001f600"}, {"text": "", "thoughtSignature": "dGV4dA=="}, finish=None, usageMetadata=HALF),
    response({"functionCall": {"name": "f", "id": "1", "args": {"a": 1.0}}, "thoughtSignature": "c2ln"}, finish=None),
    response({"functionCall": {"name": "g", "args": {}}}),
]


def streamed(*pieces: bytes) -> tuple[Answer | Failure, list[dict[str, Any]]]:
    decoder = DIALECT.decode_stream()
    deltas = [delta for piece in pieces for delta in decoder.feed(piece)]
    deltas += decoder.end()
    for delta in deltas:
        assert chunk_faults(delta.chunk) == []
    answer = decoder.finish()
    if isinstance(answer, Answer) and deltas:
        assert added_up(deltas) == normal(json.loads(answer.body))
    return answer, [json.loads(delta.chunk) for delta in deltas]


def joined(chunks: list[dict[str, Any]], index: int = 0) -> dict[str, Any]:
    """What a client puts together of one choice."""
    said: dict[str, Any] = {"content": "", "reasoning_content": "", "reasoning_details": [], "tool_calls": []}
    for choice in (choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index):
        for key, more in choice["delta"].items():
            if key != "role":
                said[key] += more
        said["finish_reason"] = choice["finish_reason"] or said.get("finish_reason")
    return said


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_cut_gives_the_same_answer(data):
    whole = sse(*EVENTS)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    answer, chunks = streamed(*pieces)
    assert isinstance(answer, Answer)
    assert completion_faults(answer.body) == []
    assert (answer, chunks) == streamed(whole)


def test_the_chunks_add_up_to_the_answer():
    answer, chunks = streamed(sse(*EVENTS))
    assert isinstance(answer, Answer)
    assert answer.usage == Usage(41, 9)
    choice = json.loads(answer.body)["choices"][0]
    said = joined(chunks)
    assert said.pop("finish_reason") == choice["finish_reason"] == "tool_calls"
    assert [{key: part for key, part in call.items() if key != "index"} for call in said["tool_calls"]] == choice[
        "message"
    ]["tool_calls"]
    for key in ("content", "reasoning_content", "reasoning_details"):
        assert said[key] == choice["message"][key]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 50


def test_a_stream_says_what_the_whole_reply_says():
    parts = [part for event in EVENTS for part in event["candidates"][0]["content"]["parts"]]
    answer, _ = streamed(sse(*EVENTS))
    assert answer == answered(response(*parts))


def test_without_a_finish_reason_it_is_truncated():
    for events in (EVENTS[:-1], []):
        answer, _ = streamed(sse(*events))
        assert isinstance(answer, Failure)
        assert answer.kind is FailureKind.TRUNCATED


def test_an_error_in_the_stream_ends_it():
    error = {"error": {"code": 503, "status": "UNAVAILABLE", "message": "overloaded"}}
    answer, _ = streamed(sse(EVENTS[1], error, EVENTS[-1]))
    assert isinstance(answer, Failure)
    assert answer.kind is FailureKind.OVERLOADED


def test_a_broken_event_ends_it():
    answer, _ = streamed(sse(EVENTS[1]) + b'data: {"candidates": [\n\n' + sse(EVENTS[-1]))
    assert isinstance(answer, Failure)
    assert answer.kind is FailureKind.MALFORMED


def test_a_blocked_prompt_is_a_filtered_answer():
    answer, chunks = streamed(sse({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": HALF}))
    assert isinstance(answer, Answer)
    assert (answer.text, answer.finish_reason) == ("", "content_filter")
    assert joined(chunks)["finish_reason"] == "content_filter"


def test_several_candidates_come_apart():
    def event(index: int, text: str, finish: str | None = None) -> dict[str, Any]:
        return response({"text": text}, finish=finish, candidate={"index": index})

    answer, chunks = streamed(sse(event(0, "A"), event(1, "B"), event(0, "a", "STOP"), event(1, "b", "MAX_TOKENS")))
    assert isinstance(answer, Answer)
    assert [choice["message"]["content"] for choice in json.loads(answer.body)["choices"]] == ["Aa", "Bb"]
    assert joined(chunks, 1) | {"finish_reason": "length"} == joined(chunks, 1)
    assert joined(chunks, 1)["content"] == "Bb"


def test_log_probabilities_are_gathered():
    def event(token: str, log: float, finish: str | None = None) -> dict[str, Any]:
        chosen = {"chosenCandidates": [{"token": token, "logProbability": log}]}
        return response({"text": token}, finish=finish, candidate={"logprobsResult": chosen})

    answer, chunks = streamed(sse(event("A", -0.5), event("B", -1.0, "STOP")))
    assert isinstance(answer, Answer)
    assert answer.logprobs == (-0.5, -1.0)
    tokens = [choice["logprobs"] for chunk in chunks for choice in chunk["choices"] if choice["logprobs"]]
    assert [token["content"][0]["token"] for token in tokens] == ["A", "B"]


def test_a_reply_that_is_no_stream_is_read_whole():
    raw = json.dumps(response({"text": "Hi"})).encode()
    answer, chunks = streamed(raw[:9], raw[9:])
    assert isinstance(answer, Answer)
    assert (answer.text, answer.usage, chunks) == ("Hi", Usage(USAGE["promptTokenCount"], 9), [])
    answer, _ = streamed(b'[{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}]')
    assert isinstance(answer, Failure)
    assert answer.kind is FailureKind.RATE_LIMITED
