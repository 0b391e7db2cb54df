"""Anthropic's streams: chunks of OpenAI's, the same answer as unstreamed, and no success without `message_stop`."""

import functools
import itertools
from typing import Any

import msgspec
import pytest
from anthropic.types import RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from jobs.chat import Answer, Usage
from jobs.failures import Failure, FailureKind
from routing.dialects.anthropic import AnthropicDialect
from routing.dialects.base import Delta
from tests.routing.dialects.judges import added_up, normal
from tests.routing.dialects.oracles import chunk_faults, completion_faults
from tests.routing.dialects.test_anthropic_reply import error, message, read, text, use

DIALECT = AnthropicDialect()
OFFICIAL: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
Event = dict[str, Any]


def start(**usage: Any) -> Event:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": []}
    counts = {"input_tokens": 10, "output_tokens": 1, **usage}
    return {
        "type": "message_start",
        "message": {**head, "stop_reason": None, "stop_sequence": None, "usage": counts},
    }


def block(index: int, opened: Event, *deltas: Event) -> list[Event]:
    pieces = [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    return [
        {"type": "content_block_start", "index": index, "content_block": opened},
        *pieces,
        {"type": "content_block_stop", "index": index},
    ]


def end(reason: str = "end_turn", **more: Any) -> list[Event]:
    usage = {"output_tokens": 5, **more.pop("usage", {})}
    delta = {"stop_reason": reason, "stop_sequence": None, **more}
    return [{"type": "message_delta", "delta": delta, "usage": usage}, {"type": "message_stop"}]


def words(piece: str) -> Event:
    return {"type": "text_delta", "text": piece}


def arguments(piece: str) -> Event:
    return {"type": "input_json_delta", "partial_json": piece}


def wire(*events: Event, ended: str = "\n") -> bytes:
    """The events as they are sent; all but unknown ones and pings and errors are the SDK's."""
    for event in events:
        if event["type"].startswith(("message", "content_block")):
            OFFICIAL.validate_python(event)
    framed = [
        f"event: {event['type']}{ended}data: {msgspec.json.encode(event).decode()}{ended}{ended}" for event in events
    ]
    return "".join(framed).encode()


def streamed(*pieces: bytes) -> tuple[list[Delta], Answer | Failure]:
    decoder = DIALECT.decode_stream()
    deltas = [delta for piece in pieces for delta in decoder.feed(piece)]
    deltas += decoder.end()
    answer = decoder.finish()
    if isinstance(answer, Answer) and deltas:
        assert added_up(deltas) == normal(msgspec.json.decode(answer.body))
    return deltas, answer


def answered(*pieces: bytes) -> tuple[list[Event], Answer]:
    deltas, answer = streamed(*pieces)
    assert isinstance(answer, Answer), answer
    assert completion_faults(answer.body) == []
    assert [fault for delta in deltas for fault in chunk_faults(delta.chunk)] == []
    return [msgspec.json.decode(delta.chunk) for delta in deltas], answer


def joined(chunks: list[Event]) -> dict[str, Any]:
    """What a client of OpenAI's puts together."""
    whole: dict[str, Any] = {"content": "", "reasoning_content": "", "calls": {}, "details": [], "finish": None}
    for shown in chunks:
        for choice in shown["choices"]:
            delta = choice["delta"]
            whole["content"] += delta.get("content") or ""
            whole["reasoning_content"] += delta.get("reasoning_content") or ""
            whole["details"] += delta.get("reasoning_details", [])
            whole["finish"] = choice["finish_reason"] or whole["finish"]
            for call in delta.get("tool_calls", []):
                known = whole["calls"].setdefault(call["index"], {"id": "", "name": "", "arguments": ""})
                known["id"] += call.get("id", "")
                known["name"] += call["function"].get("name", "")
                known["arguments"] += call["function"].get("arguments", "")
    return whole


RICH = [
    start(cache_read_input_tokens=7),
    {"type": "ping"},
    *block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "Hm"},
        {"type": "thinking_delta", "thinking": ". \u2028"},
        {"type": "signature_delta", "signature": "c2ln"},
    ),
    *block(1, {"type": "redacted_thinking", "data": "cmVk"}),
    *block(2, {"type": "text", "text": ""}, words("Caf\u00e9 "), words("\U0001f600")),
    {"type": "hologram", "index": 2},
    *block(3, use("f", named="toolu_1"), arguments(""), arguments('{"a":'), arguments("  1.0, "), arguments('"b":2}')),
    *block(4, use("tyx_files_2e_read", named="toolu_2")),
    *end("tool_use", usage={"output_tokens_details": {"thinking_tokens": 2}}),
]


def test_a_stream_of_everything():
    chunks, answer = answered(wire(*RICH))
    whole = joined(chunks)
    assert whole["content"] == answer.text == "Caf\u00e9 \U0001f600"
    assert whole["reasoning_content"] == "Hm. \u2028"
    assert whole["calls"] == {
        0: {"id": "toolu_1", "name": "f", "arguments": '{"a":  1.0, "b":2}'},
        1: {"id": "toolu_2", "name": "files.read", "arguments": "{}"},
    }
    assert whole["finish"] == answer.finish_reason == "tool_calls"
    said = msgspec.json.decode(answer.body)["choices"][0]["message"]
    assert said["reasoning_details"] == whole["details"]
    assert [detail["index"] for detail in whole["details"]] == [0, 1]
    assert [call["function"]["arguments"] for call in said["tool_calls"]] == ['{"a":  1.0, "b":2}', "{}"]
    assert answer.usage == Usage(17, 5, cached_tokens=7, reasoning_tokens=2)
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "reasoning_content": "Hm"}
    assert chunks[-1]["usage"]["total_tokens"] == 22


def test_the_token_clock_moves_with_content_only():
    deltas, _ = streamed(wire(*RICH))
    assert deltas[0].has_content
    assert not deltas[-1].has_content


@functools.cache
def uncut(ended: str) -> tuple[list[Delta], Answer | Failure]:
    return streamed(wire(*RICH, ended=ended))


@given(cuts=st.lists(st.integers(0, 4000), max_size=30), ended=st.sampled_from(["\n", "\r\n", "\r"]))
def test_case_36_wherever_the_bytes_are_cut_the_answer_is_the_same(cuts: list[int], ended: str):
    data = wire(*RICH, ended=ended)
    marks = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    pieces = [data[first:last] for first, last in itertools.pairwise(marks)]
    deltas, answer = streamed(*pieces)
    assert (deltas, answer) == uncut(ended)


def test_byte_by_byte():
    data = wire(*RICH)
    assert streamed(*(data[place : place + 1] for place in range(len(data)))) == uncut("\n")


def test_case_37_usage_is_replaced_never_added():
    usage = {"input_tokens": 12, "cache_read_input_tokens": 3, "output_tokens": 9}
    _, answer = answered(wire(start(), *block(0, text("a")), *end(usage=usage)))
    assert answer.usage == Usage(15, 9, cached_tokens=3)


@pytest.mark.parametrize("name", ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"])
def test_a_count_never_shrinks(name: str):
    _, answer = answered(wire(start(**{name: 5000}), *block(0, text("a")), *end(usage={name: 0, "output_tokens": 12})))
    _, same = answered(wire(start(**{name: 5000}), *block(0, text("a")), *end(usage={"output_tokens": 12})))
    assert answer.usage == same.usage
    assert answer.usage is not None
    assert (answer.usage.input_tokens or 0) >= 5000
    assert answer.usage.output_tokens == 12


def test_deltas_that_do_not_belong_to_their_block_say_nothing():
    thought = {"type": "thinking_delta", "thinking": "hm"}
    chunks, answer = answered(
        wire(
            start(),
            *block(0, text("Hi"), thought, arguments("{}")),
            *block(1, use("f", named="toolu_1"), arguments('{"city":"Ri'), words("hm"), thought, arguments('ga"}')),
            *end("tool_use"),
        )
    )
    whole = joined(chunks)
    assert (whole["content"], whole["reasoning_content"]) == ("Hi", "")
    assert whole["calls"][0]["arguments"] == '{"city":"Riga"}'
    assert answer.text == "Hi"


SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}


def test_blocks_of_the_providers_own_tools_are_kept_and_no_content():
    chunks, answer = answered(
        wire(
            start(),
            *block(0, SEARCH, arguments('{"query":'), arguments('"Riga"}')),
            *block(1, FOUND),
            *block(2, text("Hi")),
            *end(),
        )
    )
    assert joined(chunks)["content"] == answer.text == "Hi"
    assert joined(chunks)["calls"] == {}
    kept = msgspec.json.decode(answer.body)["provider_fields"]["content"]
    assert kept == [{**SEARCH, "input": {"query": "Riga"}}, FOUND]
    same = read(message({**SEARCH, "input": {"query": "Riga"}}, FOUND, text("Hi")))
    assert isinstance(same, Answer)
    assert msgspec.json.decode(same.body)["provider_fields"]["content"] == kept


def test_citations_are_kept():
    cited = {"type": "char_location", "cited_text": "x", "document_index": 0, "document_title": None}
    place = {"start_char_index": 0, "end_char_index": 1, "file_id": None}
    delta = {"type": "citations_delta", "citation": cited | place}
    _, answer = answered(wire(start(), *block(0, text("Hi"), delta), *end()))
    assert msgspec.json.decode(answer.body)["provider_fields"]["citations"] == [cited | place]


def test_the_answer_tool_streams_as_content():
    chunks, answer = answered(
        wire(
            start(),
            *block(0, use("tokenyard_answer"), arguments('{"city":'), arguments(' "Rome"}')),
            *block(1, use("f", named="toolu_2"), arguments("{}")),
            *end("tool_use"),
        )
    )
    whole = joined(chunks)
    assert whole["content"] == answer.text == '{"city": "Rome"}'
    assert whole["calls"] == {0: {"id": "toolu_2", "name": "f", "arguments": "{}"}}
    assert answer.finish_reason == whole["finish"] == "tool_calls"
    _, alone = answered(wire(start(), *block(0, use("tokenyard_answer"), arguments("{}")), *end("tool_use")))
    assert (alone.finish_reason, alone.text) == ("stop", "{}")


def test_case_35_a_call_may_bring_its_arguments_at_once():
    chunks, answer = answered(wire(start(), *block(0, use("f", {"a": 1})), *end("tool_use")))
    assert joined(chunks)["calls"][0]["arguments"] == '{"a":1}'
    assert '\\"a\\":1' in answer.body.decode()


def test_a_text_may_begin_in_its_start():
    chunks, answer = answered(wire(start(), *block(0, text("Hel"), words("lo")), *end()))
    assert joined(chunks)["content"] == answer.text == "Hello"


def test_refusals_and_stop_sequences():
    details = {"type": "refusal", "category": None, "explanation": "No."}
    chunks, answer = answered(wire(start(), *end("refusal", stop_details=details)))
    assert (answer.finish_reason, answer.has_refusal) == ("content_filter", True)
    assert [choice["delta"].get("refusal") for chunk in chunks for choice in chunk["choices"]] == ["No.", None]
    _, answer = answered(wire(start(), *block(0, text("a")), *end("stop_sequence", stop_sequence="END")))
    assert msgspec.json.decode(answer.body)["provider_fields"]["stop_sequence"] == "END"


@pytest.mark.parametrize("kept", range(1, len(RICH)))
def test_without_its_end_a_stream_is_truncated(kept: int):
    _, failure = streamed(wire(*RICH[:kept]))
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.code) == (FailureKind.TRUNCATED, "no_message_stop")


def test_the_last_event_may_lack_its_blank_line():
    _, answer = answered(wire(*RICH).rstrip(b"\n"))
    assert answer.finish_reason == "tool_calls"


def test_an_end_without_a_reason_is_truncated():
    _, failure = streamed(wire(start(), *block(0, text("a")), {"type": "message_stop"}))
    assert isinstance(failure, Failure)
    assert failure.code == "no_stop_reason"


def test_case_36_an_error_in_mid_stream():
    broken = wire(start(), *block(0, text("a"))) + b"event: error\ndata: " + error("overloaded_error") + b"\n\n"
    deltas, failure = streamed(broken, wire(*end()))
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.code) == (FailureKind.OVERLOADED, "overloaded_error")
    assert [delta.has_content for delta in deltas] == [True]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"data: {broken\n\n", "bad_event"),
        (b'data: {"type": "ping", "x": "\xff"}\n\n', "bad_event"),
        (wire(start(), {"type": "content_block_delta", "index": 5, "delta": words("a")}), "delta_without_block"),
        (wire(*end()), "end_without_start"),
        (wire(start(), *block(0, use("")), *end("tool_use")), "tool_call_without_name"),
        (b"data: " + b"x" * 8_100_000, "event_too_large"),
    ],
)
def test_what_is_no_stream_of_a_message(data: bytes, code: str):
    _, failure = streamed(data)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.code) == (FailureKind.MALFORMED, code)


def test_a_plain_body_where_a_stream_was_asked_for():
    deltas, answer = streamed(b"\n", message(text("Hi")))
    assert deltas == []
    assert answer == read(message(text("Hi")))
    _, failure = streamed(error("api_error"))
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.TRANSIENT


def test_an_empty_stream_is_truncated():
    _, failure = streamed(b"")
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.TRUNCATED


@given(
    events=st.lists(
        st.sampled_from([*RICH, {"type": "message_delta"}, {"type": "content_block_start"}, {"type": "message_start"}]),
        max_size=12,
    )
)
def test_no_order_of_events_raises(events: list[Event]):
    _, result = streamed(b"".join(b"data: " + msgspec.json.encode(event) + b"\n\n" for event in events))
    assert isinstance(result, Answer | Failure)
