"""Whatever pieces a stream comes in, the chunks that are shown add up to the stored answer, in the official client."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.chat import Answer
from jobs.failures import Failure
from tests.routing.dialects.judges import added_up, normal
from tests.routing.dialects.mutations import WIRES, call, chunks_of, mutated
from tests.routing.dialects.oracles import chunk_faults, completion_faults
from tests.routing.dialects.wire import chunk, completion, sse


@pytest.mark.parametrize("name", WIRES)
@given(data=st.data())
def test_the_official_client_adds_the_chunks_up_to_the_stored_answer(name: str, data: st.DataObject):
    wire = WIRES[name]
    deltas, outcome = chunks_of(wire, data.draw(mutated(wire)))
    assert [fault for delta in deltas for fault in chunk_faults(delta.chunk)] == []
    if isinstance(outcome, Failure):
        assert all(choice.get("finish_reason") is None for choice in choices_of(deltas))
        return
    assert completion_faults(outcome.body) == []
    assert added_up(deltas) == normal(json.loads(outcome.body))


@pytest.mark.parametrize("name", WIRES)
@given(data=st.data())
def test_names_ids_roles_endings_and_usage_are_told_once(name: str, data: st.DataObject):
    wire = WIRES[name]
    deltas, outcome = chunks_of(wire, data.draw(mutated(wire)))
    if isinstance(outcome, Failure):
        return
    told: list[tuple[Any, ...]] = []
    for choice in choices_of(deltas):
        place = choice["index"]
        told += [(place, "role")] if "role" in choice["delta"] else []
        told += [(place, "end")] if choice.get("finish_reason") is not None else []
        for call_ in choice["delta"].get("tool_calls", ()):
            told += [(place, call_["index"], "id")] if call_.get("id") else []
            told += [(place, call_["index"], "name")] if call_["function"].get("name") else []
    assert len(told) == len(set(told))
    assert sum(bool(json.loads(delta.chunk).get("usage")) for delta in deltas) <= 1
    assert len({json.loads(delta.chunk)["id"] for delta in deltas}) == 1


def choices_of(deltas: list[Any]) -> list[dict[str, Any]]:
    return [choice for delta in deltas for choice in json.loads(delta.chunk)["choices"]]


def shown(*events: dict[str, Any], done: bool = True) -> tuple[Answer, dict[str, Any]]:
    """The answer of a stream of OpenAI's wire, and its first message; the client must add its chunks up to the same."""
    deltas, outcome = chunks_of(WIRES["openai"], sse(*events, done=done))
    assert isinstance(outcome, Answer), outcome
    whole = json.loads(outcome.body)
    assert added_up(deltas) == normal(whole)
    return outcome, whole["choices"][0]["message"]


STOP = chunk({}, choice={"finish_reason": "stop"})
USED = chunk(usage={"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7})


def functions(message: dict[str, Any]) -> list[tuple[str, str]]:
    return [(call_["function"]["name"], call_["function"]["arguments"]) for call_ in message["tool_calls"]]


def test_a_name_in_every_piece_of_a_call_is_told_once():
    pieces = [call(0, part, "read_file", "c1") for part in ('{"pa', 'th":', ' "x"', "}")]
    assert functions(shown(*pieces, STOP)[1]) == [("read_file", '{"path": "x"}')]


@pytest.mark.parametrize("names", [("weather", "news"), ("weather", "weather")])
def test_parallel_calls_under_one_index_without_ids_are_two_calls(names: tuple[str, str]):
    pieces = [call(0, '{"city":"Riga"}', names[0]), call(0, '{"city":"Oslo"}', names[1])]
    message = shown(*pieces, STOP)[1]
    assert functions(message) == [(names[0], '{"city":"Riga"}'), (names[1], '{"city":"Oslo"}')]
    assert [call_["id"] for call_ in message["tool_calls"]] == ["call_0", "call_1"]


def test_the_head_is_that_of_the_first_chunk_that_has_one():
    empty = {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": [{"x": 1}]}
    first = chunk({"role": "assistant", "content": "Hi"}, system_fingerprint="fp_1", service_tier="default")
    answer, _ = shown(empty, first, STOP)
    whole = json.loads(answer.body)
    assert (whole["id"], whole["model"], whole["created"]) == ("chatcmpl-1", "gpt-4o", 1_790_000_000)
    assert (whole["system_fingerprint"], whole["service_tier"]) == ("fp_1", "default")
    assert whole["provider_fields"]["prompt_filter_results"] == [{"x": 1}]


def test_a_stream_without_done_is_an_answer_where_usage_came_behind_its_end():
    assert shown(chunk({"content": "Hi"}), STOP, USED, done=False)[0].text == "Hi"
    _, cut = chunks_of(WIRES["openai"], sse(chunk({"content": "Hi"}), STOP, done=False))
    assert isinstance(cut, Failure)


def test_a_finish_reason_that_comes_before_the_last_text_is_told_at_the_end():
    answer, message = shown(chunk({"content": "H"}, choice={"finish_reason": "stop"}), chunk({"content": "i"}), STOP)
    assert (answer.text, message["content"], answer.finish_reason) == ("Hi", "Hi", "stop")


def test_pictures_reach_the_caller_whole_and_streamed():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}
    answer, message = shown(chunk({"role": "assistant", "content": "", "images": [{**picture, "index": 0}]}), STOP)
    assert message["images"] == [picture]
    assert not answer.is_empty
    raw = json.dumps(completion(message={"content": "", "images": [picture]})).encode()
    decoder = WIRES["openai"].dialect.decode_stream()
    list(decoder.feed(raw))
    whole = decoder.finish()
    assert isinstance(whole, Answer)
    assert not whole.is_empty
    assert json.loads(whole.body)["choices"][0]["message"]["images"] == [picture]


def test_calls_of_custom_tools_are_streamed():
    begin = {"index": 0, "id": "c1", "type": "custom", "custom": {"name": "shell", "input": "ls"}}
    more = {"index": 0, "custom": {"input": " -l"}}
    deltas, outcome = chunks_of(
        WIRES["openai"], sse(chunk({"tool_calls": [begin]}), chunk({"tool_calls": [more]}), STOP)
    )
    assert isinstance(outcome, Answer)
    (made,) = json.loads(outcome.body)["choices"][0]["message"]["tool_calls"]
    assert made == {"id": "c1", "type": "custom", "custom": {"name": "shell", "input": "ls -l"}}
    pieces = [piece for choice in choices_of(deltas) for piece in choice["delta"].get("tool_calls", ())]
    assert [piece["custom"]["input"] for piece in pieces] == ["ls", " -l"]


@pytest.mark.parametrize(
    "first",
    [
        chunk({"role": "assistant", "content": "", "refusal": ""}),
        {**chunk({"role": "assistant", "content": ""}), "id": ""},
        chunk({"role": "assistant", "content": None, "reasoning_content": ""}),
        chunk({"role": "assistant"}),
    ],
    ids=["an empty refusal", "an empty content before the head", "an empty thought", "nothing"],
)
def test_a_first_piece_that_says_nothing_adds_nothing(first: dict[str, Any]):
    _, message = shown(first, call(0, "{}", "f", "c1"), STOP)
    assert not message["content"]
    assert message["refusal"] is None
    assert "reasoning_content" not in message
