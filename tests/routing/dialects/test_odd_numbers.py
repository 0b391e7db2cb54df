"""A number that no machine can hold, anywhere in a reply, makes it malformed at the worst; nothing raises."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from jobs.chat import Answer
from jobs.failures import Failure, FailureKind
from routing.dialects.base import WireReply
from tests.routing.dialects import anthropic_wire, gemini_wire, wire
from tests.routing.dialects.mutations import RICH, WIRES, chunks_of

HUGE = ["1e400", "-1e400", "1" + "0" * 400]
MARK = "@number@"
SERVER_TOOL = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"n": 1}}
WHOLE: dict[str, Any] = {
    "openai": wire.completion(
        logprobs=1, choice={"logprobs": wire.LOGPROBS}, message={"reasoning_details": [{"index": 0}]}
    ),
    "anthropic": {
        "type": "message",
        "id": "msg_1",
        "model": "claude-x",
        "role": "assistant",
        "content": [anthropic_wire.text("Hi"), SERVER_TOOL],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 10, "output_tokens": 5},
    },
    "gemini": gemini_wire.response({"text": "Hi"}, candidate={"avgLogprobs": -0.1, "safetyRatings": [{"score": 0.1}]}),
}


def with_mark(value: Any) -> Iterator[Any]:
    """The value with each of its numbers, one at a time, replaced by a mark."""
    places = range(len(value)) if isinstance(value, list) else list(value) if isinstance(value, dict) else ()
    for place in places:
        if isinstance(value[place], int | float) and not isinstance(value[place], bool):
            made = copy.copy(value)
            made[place] = MARK
            yield made
        else:
            for inner in with_mark(value[place]):
                made = copy.copy(value)
                made[place] = inner
                yield made


def bodies(value: Any, number: str) -> list[str]:
    return [json.dumps(marked).replace(f'"{MARK}"', number) for marked in with_mark(value)]


@pytest.mark.parametrize("number", HUGE, ids=["high", "low", "long"])
@pytest.mark.parametrize("name", WIRES)
def test_whole_replies(name: str, number: str):
    found = bodies(WHOLE[name], number)
    assert found
    for body in found:
        outcome = WIRES[name].dialect.decode(WireReply(200, {}, body.encode()))
        assert isinstance(outcome, Answer) or outcome.kind is FailureKind.MALFORMED, body


@pytest.mark.parametrize("number", HUGE, ids=["high", "low", "long"])
@pytest.mark.parametrize("name", WIRES)
def test_streams(name: str, number: str):
    for events in WIRES[name].streams:
        for event in events:
            for body in bodies(event, number):
                raw = WIRES[name].frame(events).replace(json.dumps(event).encode(), body.encode())
                _, outcome = chunks_of(WIRES[name], raw)
                assert isinstance(outcome, Answer | Failure)


def test_a_creation_time_out_of_range_is_malformed():
    body = json.dumps(wire.completion(created=MARK)).replace(f'"{MARK}"', "1e400").encode()
    outcome = WIRES["openai"].dialect.decode(WireReply(200, {}, body))
    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.MALFORMED
    events = json.dumps({**RICH[0], "created": MARK}).replace(f'"{MARK}"', "1e400")
    _, streamed = chunks_of(WIRES["openai"], f"data: {events}\n\n".encode())
    assert isinstance(streamed, Failure)
    assert streamed.kind is FailureKind.MALFORMED


def test_a_creation_time_that_is_a_fraction_is_read():
    body = json.dumps(wire.completion(created=1_790_000_000.5)).encode()
    outcome = WIRES["openai"].dialect.decode(WireReply(200, {}, body))
    assert isinstance(outcome, Answer)
    assert json.loads(outcome.body)["created"] == 1_790_000_000


def test_a_filtered_answer_of_azure_without_a_message_is_an_answer():
    filtered = wire.completion()
    filtered["choices"] = [{"index": 0, "finish_reason": "content_filter", "content_filter_results": {"x": 1}}]
    outcome = WIRES["openai"].dialect.decode(WireReply(200, {}, json.dumps(filtered).encode()))
    assert isinstance(outcome, Answer)
    assert (outcome.finish_reason, outcome.text) == ("content_filter", "")
    wire.official(outcome.body)
    silent = wire.completion()
    silent["choices"] = [{"index": 0, "finish_reason": "stop"}]
    missing = WIRES["openai"].dialect.decode(WireReply(200, {}, json.dumps(silent).encode()))
    assert isinstance(missing, Failure)
