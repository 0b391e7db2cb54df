"""The OpenAI dialect, streamed: cut anywhere, complete or not, and put together as the official types want it."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.chat import Answer, Usage
from jobs.failures import Failure, FailureKind
from routing.dialects.openai import OpenAIDialect
from routing.dialects.sse import MAX_EVENT_BYTES
from tests.routing.dialects.wire import (
    LOGPROBS,
    USAGE,
    answered,
    chunk,
    completion,
    official,
    official_chunk,
    sse,
    streamed,
)

STOP = chunk({}, choice={"finish_reason": "stop"})
STREAM = b": keep-alive\r\n\r\n" + sse(
    chunk({"role": "assistant", "content": "", "refusal": None}),
    chunk({"content": "caf\u00e9 \U0001f600"}, choice={"logprobs": {"content": LOGPROBS["content"][:1]}}),
    chunk({"content": "\u2028!"}, choice={"logprobs": {"content": LOGPROBS["content"][1:]}}),
    STOP,
    chunk(usage=USAGE, service_tier="on_demand"),
)
USAGE_END = STREAM.index(b"data: [DONE]") - len(b"\n\n")
"""Where the last chunk before the end marker ends: each choice has told how it ended, and usage came behind that."""


def kind(*pieces: bytes) -> FailureKind:
    outcome = streamed(*pieces)
    assert isinstance(outcome, Failure), outcome
    return outcome.kind


def message(*chunks: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(answered(sse(*chunks, STOP)).body)["choices"][0]["message"]
    return shown


def test_a_whole_stream_is_an_answer_that_the_official_types_accept():
    answer = answered(STREAM)
    assert answer.text == "caf\u00e9 \U0001f600\u2028!"
    assert (answer.finish_reason, answer.usage, answer.logprobs) == ("stop", Usage(41, 9), (-0.25, -1.5))
    whole = official(answer.body)
    assert whole.choices[0].message.content == answer.text
    assert (whole.id, whole.created, whole.service_tier) == ("chatcmpl-1", 1_790_000_000, None)
    assert whole.usage is not None
    assert whole.usage.total_tokens == 50
    assert json.loads(answer.body)["choices"][0]["logprobs"]["content"] == LOGPROBS["content"]


@pytest.mark.parametrize("offset", range(len(STREAM)))
def test_a_stream_cut_at_any_byte_succeeds_only_with_all_that_belongs_to_the_answer(offset):
    outcome = streamed(STREAM[:offset])
    if offset >= USAGE_END:
        assert isinstance(outcome, Answer)
    else:
        assert isinstance(outcome, Failure)
        assert outcome.kind is FailureKind.TRUNCATED


def test_a_stream_split_at_any_byte_reads_the_same():
    whole = streamed(STREAM)
    assert all(streamed(STREAM[:offset], STREAM[offset:]) == whole for offset in range(len(STREAM)))


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_a_stream_split_anyhow_reads_the_same(cuts):
    bounds = [0, *sorted(cuts), len(STREAM)]
    assert streamed(*(STREAM[a:b] for a, b in itertools.pairwise(bounds))) == streamed(STREAM)


def test_deltas_are_the_providers_chunks_and_tell_which_move_the_token_clock():
    decoder = OpenAIDialect().decode_stream()
    deltas = list(decoder.feed(STREAM))
    assert [delta.has_content for delta in deltas] == [False, True, True]
    assert official_chunk(deltas[1].chunk).choices[0].delta.content == "caf\u00e9 \U0001f600"
    last, usage = decoder.end()
    assert official_chunk(last.chunk).choices[0].finish_reason == "stop"
    assert official_chunk(usage.chunk).usage == official(answered(STREAM).body).usage


def test_a_chunk_over_several_data_lines_is_passed_on_as_one_line():
    pretty = "".join(f"data: {line}\n" for line in json.dumps(chunk({"content": "a\nb"}), indent=1).splitlines())
    (delta,) = OpenAIDialect().decode_stream().feed(pretty.encode() + b"\n")
    assert b"\n" not in delta.chunk
    assert official_chunk(delta.chunk).choices[0].delta.content == "a\nb"


def test_both_halves_of_the_end_marker_are_needed():
    text = chunk({"content": "x"})
    assert kind(sse(text)) is FailureKind.TRUNCATED
    assert kind(sse(text, STOP, done=False)) is FailureKind.TRUNCATED
    assert kind(sse(text, chunk(usage=USAGE), done=False)) is FailureKind.TRUNCATED
    assert kind(sse(chunk({"content": "x"}, usage=USAGE), STOP, done=False)) is FailureKind.TRUNCATED
    assert kind(sse()) is FailureKind.TRUNCATED
    assert kind(b"") is FailureKind.TRUNCATED
    assert kind(b": keep-alive\n\n" * 100) is FailureKind.TRUNCATED
    assert answered(sse(text, STOP)).text == "x"


def test_nothing_after_the_end_marker_counts():
    assert answered(STREAM, sse(chunk({"content": "late"})), b"data: {broken\n\n") == streamed(STREAM)


def test_an_empty_stream_that_ended_is_an_empty_answer():
    assert answered(sse(chunk({"role": "assistant"}), STOP)).is_empty


def tool(index: int | None, name: str | None, arguments: str | None, id_: str | None = None) -> dict[str, Any]:
    call = {"index": index, "id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
    return chunk({"tool_calls": [{key: value for key, value in call.items() if value is not None}]})


def calls(*chunks: dict[str, Any]) -> list[tuple[str, str, str]]:
    shown = message(*chunks)["tool_calls"]
    return [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in shown]


def test_parallel_tool_calls_are_gathered_by_index():
    pieces = [
        tool(0, "f", "", "c1"),
        tool(0, None, '{"a"'),
        tool(1, "g", "", "c2"),
        tool(0, None, ":1}"),
        tool(1, None, "{}"),
    ]
    assert calls(*pieces) == [("c1", "f", '{"a":1}'), ("c2", "g", "{}")]


def test_an_id_and_name_that_come_again_are_taken_once():
    assert calls(tool(0, "f", "{", "c1"), tool(0, "f", "}", "c1")) == [("c1", "f", "{}")]


def test_a_fresh_id_for_each_piece_makes_no_new_call():
    assert calls(tool(0, "f", "{", "r1"), tool(0, None, "}", "r2")) == [("r1", "f", "{}")]
    assert calls(tool(None, "f", "{", "r1"), tool(None, None, "}", "r2")) == [("r1", "f", "{}")]


def test_calls_without_an_index_are_told_apart_by_id_or_name():
    assert calls(tool(None, "f", "{}", "c1"), tool(None, "f", "[]", "c2")) == [("c1", "f", "{}"), ("c2", "f", "[]")]
    assert calls(tool(None, "f", "{"), tool(None, None, "}"), tool(None, "g", "[]")) == [
        ("call_0", "f", "{}"),
        ("call_1", "g", "[]"),
    ]


def test_whole_calls_under_one_index_are_told_apart_by_id():
    assert calls(tool(0, "f", "{}", "c1"), tool(0, "g", "[]", "c2")) == [("c1", "f", "{}"), ("c2", "g", "[]")]


def test_arguments_keep_every_byte_and_objects_become_text():
    odd = '{"a": 1.0,  "b":"\\u00e9"}'
    assert calls(tool(0, "f", odd[:9], "c"), tool(0, None, odd[9:]))[0][2] == odd
    whole = chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": {"a": [1]}}}]})
    assert json.loads(calls(whole)[0][2]) == {"a": [1]}


def test_a_call_without_a_name_is_malformed():
    assert kind(sse(tool(0, None, "{}", "c"), STOP)) is FailureKind.MALFORMED


def test_a_legacy_function_call_is_kept():
    shown = message(
        chunk({"function_call": {"name": "f", "arguments": "{"}}), chunk({"function_call": {"arguments": "}"}})
    )
    assert shown["function_call"] == {"name": "f", "arguments": "{}"}


def test_tool_arguments_and_reasoning_move_the_token_clock():
    pieces = [
        tool(0, "f", None, "c"),
        tool(0, None, "{}"),
        chunk({"reasoning_content": "hm"}),
        chunk({"reasoning": ""}),
    ]
    deltas = list(OpenAIDialect().decode_stream().feed(sse(*pieces)))
    assert [delta.has_content for delta in deltas] == [True, True, True]


def test_reasoning_is_kept_beside_the_content():
    shown = message(chunk({"reasoning_content": "h"}), chunk({"reasoning_content": "m"}), chunk({"content": "a"}))
    assert (shown["reasoning_content"], shown["content"]) == ("hm", "a")


def test_a_refusal_is_gathered():
    answer = answered(sse(chunk({"refusal": "I "}), chunk({"refusal": "can't"}), STOP))
    assert answer.has_refusal
    assert official(answer.body).choices[0].message.refusal == "I can't"


def test_several_choices_are_kept_apart():
    second = {"index": 1}
    pieces = [chunk({"content": "b"}, choice=second), chunk({"content": "a"}), STOP]
    assert kind(sse(*pieces)) is FailureKind.TRUNCATED
    answer = answered(sse(*pieces, chunk({}, choice={"index": 1, "finish_reason": "length"})))
    shown = official(answer.body).choices
    assert [(choice.message.content, choice.finish_reason) for choice in shown] == [("a", "stop"), ("b", "length")]
    assert (answer.text, answer.finish_reason) == ("a", "stop")


def test_usage_that_comes_more_than_once_is_replaced_never_added():
    first = chunk({"content": "x"}, usage={"prompt_tokens": 41, "completion_tokens": 1, "total_tokens": 42})
    assert answered(sse(first, STOP, chunk(usage=USAGE))).usage == Usage(41, 9)
    assert answered(sse(first, chunk({"content": "y"}, usage=None), STOP)).usage == Usage(41, 1)


def test_nonsense_usage_is_unknown_and_left_out():
    answer = answered(sse(STOP, chunk(usage={"prompt_tokens": -1, "completion_tokens": 2})))
    assert answer.usage is None
    assert "usage" not in json.loads(answer.body)


def test_logprobs_of_which_a_part_is_odd_are_unknown():
    odd = chunk({"content": "y"}, choice={"logprobs": {"content": [{"token": "y"}]}})
    fine = chunk({"content": "x"}, choice={"logprobs": LOGPROBS})
    assert answered(sse(fine, STOP)).logprobs == (-0.25, -1.5)
    assert isinstance(partly := streamed(sse(fine, odd, STOP)), Answer)
    assert partly.logprobs is None
    assert answered(sse(fine, chunk({"content": "y"}, choice={"logprobs": [7]}), STOP)).logprobs is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (b'data: {"error": {"code": 502, "message": "x"}, "choices": []}\n\n', FailureKind.TRANSIENT),
        (b'data: {"error": {"code": "rate_limit_exceeded"}}\n\n', FailureKind.RATE_LIMITED),
        (b'event: error\ndata: {"type": "overloaded_error"}\n\n', FailureKind.OVERLOADED),
        (b'data: {"choices": [{"error": {"code": 429}, "finish_reason": "error"}]}\n\n', FailureKind.RATE_LIMITED),
        (sse(chunk({}, choice={"finish_reason": "error"}), done=False), FailureKind.TRANSIENT),
        (sse(chunk({}, choice={"finish_reason": "insufficient_system_resource"}), done=False), FailureKind.OVERLOADED),
    ],
)
def test_an_error_in_mid_stream_is_classified_even_when_the_end_marker_follows(error, expected):
    assert kind(sse(chunk({"content": "x"}), done=False), error, b"data: [DONE]\n\n") is expected


@pytest.mark.parametrize(
    "garbage",
    [
        b"data: {\n\n",
        b"data: nonsense\n\n",
        b"data: []\n\n",
        b"data: \n\n",
        b'data: {"choices": [{"delta": {"content": 7}}]}\n\n',
        b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n',
        b'data: {"vendor": "\xff", "choices": []}\n\n',
        b'data: {"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n\n",
        b"data: " + b"x" * (MAX_EVENT_BYTES + 1),
    ],
)
def test_garbage_in_the_stream_is_malformed_though_all_else_is_there(garbage):
    assert kind(garbage, STREAM) is FailureKind.MALFORMED


def test_a_provider_that_ignores_stream_is_read_all_the_same():
    body = json.dumps(completion()).encode()
    assert answered(b"\n" + body[:30], body[30:]).text == "Hi!"
    assert kind(b'{"error": {"code": "rate_limit_exceeded"}}') is FailureKind.RATE_LIMITED
    assert kind(body[:-1]) is FailureKind.MALFORMED


@given(
    st.lists(
        st.binary(max_size=40) | st.sampled_from([b"data: ", b"\n\n", b'{"choices":', b"[DONE]", b"null}"]), max_size=30
    )
)
def test_no_bytes_make_the_decoder_raise_or_succeed_without_an_end(pieces):
    assert isinstance(streamed(*pieces), Failure)


def test_a_choice_without_a_delta_still_tells_how_it_ended():
    last = chunk({}, choice={"delta": None, "finish_reason": "length"})
    assert answered(sse(chunk({"content": "x"}), last)).finish_reason == "length"


def test_a_piece_of_a_call_without_a_function_adds_nothing():
    bare = chunk({"tool_calls": [{"index": 0, "id": "c1", "type": "function"}]})
    assert calls(bare, tool(0, "f", "{}")) == [("c1", "f", "{}")]


def test_what_the_provider_says_about_itself_is_kept_when_the_official_types_know_it():
    shown = official(answered(sse(chunk({}, system_fingerprint="fp_1", service_tier="flex"), STOP)).body)
    assert (shown.system_fingerprint, shown.service_tier) == ("fp_1", "flex")
