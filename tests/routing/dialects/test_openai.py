"""The OpenAI dialect, unstreamed: what leaves, and what is made of what comes."""

import json

import msgspec
import pytest

from jobs.chat import Adaptation, Answer, ChatRequest, Usage
from jobs.failures import Failure, FailureKind
from routing.catalog import Deployment, Model, Target
from routing.dialects.base import Asking, Dialect, WireReply, WireRequest
from routing.dialects.openai import OpenAIDialect
from routing.dialects.openai_fields import LOGPROBS_ADDED, USAGE_ADDED
from routing.dialects.registry import DIALECTS
from tests.routing.dialects.wire import LOGPROBS, completion, official

DEPLOYMENT = Deployment(model="openai/gpt-4o", provider="openai", upstream="gpt-4o-2024-08-06")
TARGET = Target(DEPLOYMENT, Model("openai/gpt-4o"))
ARGUMENTS = '{"a": 1.0,  "b":"\\u00e9\\n", "c": 12345678901234567890123}'
BODY = {
    "model": "auto",
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "caf\u00e9 \U0001f600"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": ARGUMENTS}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "\u2028"},
    ],
    "temperature": 0.7,
    "seed": 42,
    "an_extension": {"kept": True},
}


def request(**changes: object) -> ChatRequest:
    return ChatRequest.parse(json.dumps({**BODY, **changes}).encode())


def reply(body: object, status: int = 200, **headers: str) -> WireReply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WireReply(status=status, headers=headers, body=raw)


def decode(body: object, status: int = 200, **headers: str) -> Answer | Failure:
    return OpenAIDialect().decode(reply(body, status, **headers))


def answer(body: object) -> Answer:
    decoded = decode(body)
    assert isinstance(decoded, Answer), decoded
    return decoded


def kind(body: object, status: int = 200) -> FailureKind:
    decoded = decode(body, status)
    assert isinstance(decoded, Failure), decoded
    return decoded.kind


def encoded(asked: ChatRequest, asking: Asking = Asking()) -> WireRequest:  # noqa: B008 - frozen
    wire = OpenAIDialect().encode(asked, TARGET, asking)
    assert isinstance(wire, WireRequest), wire
    return wire


def test_the_registry_knows_the_dialect():
    dialect: Dialect = DIALECTS["openai"]
    assert dialect.key_headers("sk-1") == {"authorization": "Bearer sk-1"}


def test_only_the_model_changes_on_the_way_out():
    asked = request()
    wire = encoded(asked)
    assert json.loads(wire.body) == {**BODY, "model": "gpt-4o-2024-08-06"}
    assert (wire.path, wire.is_stream, wire.adaptations) == ("/chat/completions", False, ())
    assert wire.headers == {"content-type": "application/json", "accept": "application/json"}
    assert asked.body["model"] == "auto"


def test_logprobs_are_added_only_when_judging_needs_them_and_said():
    needs = Asking(needs_logprobs=True)
    wire = encoded(request(), needs)
    assert json.loads(wire.body)["logprobs"] is True
    assert wire.adaptations == (Adaptation("logprobs", "added", LOGPROBS_ADDED),)
    changed = encoded(request(logprobs=False), needs)
    assert changed.adaptations == (Adaptation("logprobs", "changed", LOGPROBS_ADDED),)
    assert encoded(request(logprobs=True), needs).adaptations == ()


def test_a_stream_always_asks_for_its_usage():
    wire = encoded(request(stream=True))
    assert json.loads(wire.body)["stream_options"] == {"include_usage": True}
    assert wire.adaptations == (Adaptation("stream_options", "added", USAGE_ADDED),)
    assert wire.is_stream
    assert wire.headers["accept"] == "text/event-stream"


def test_other_stream_options_are_kept():
    options = {"include_usage": False, "include_obfuscation": False}
    asked = request(stream=True, stream_options=options)
    wire = encoded(asked)
    assert json.loads(wire.body)["stream_options"] == {"include_usage": True, "include_obfuscation": False}
    assert [adaptation.action for adaptation in wire.adaptations] == ["changed"]
    assert asked.body["stream_options"] == options
    satisfied = request(stream=True, stream_options={"include_usage": True})
    assert encoded(satisfied).adaptations == ()


def test_a_completion_becomes_an_answer_with_the_providers_own_bytes():
    raw = json.dumps(completion(choice={"logprobs": LOGPROBS}), indent=1).encode()
    decoded = answer(raw)
    assert decoded == Answer(raw, "Hi!", "stop", Usage(41, 9), (-0.25, -1.5))
    official(decoded.body)


def test_tool_calls_refusals_and_emptiness_are_told_apart():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    calls = answer(completion(message={"content": None, "tool_calls": [call]}, choice={"finish_reason": "tool_calls"}))
    assert (calls.text, calls.has_tool_calls, calls.is_empty) == ("", True, False)
    legacy = answer(completion(message={"content": None, "function_call": {"name": "f", "arguments": ""}}))
    assert legacy.has_tool_calls
    refusal = answer(completion(message={"content": None, "refusal": "I can't."}))
    assert (refusal.has_refusal, refusal.is_empty) == (True, False)
    for blank in ("", "  \n", None):
        assert answer(completion(message={"content": blank})).is_empty
    assert not answer(completion(message={"content": ""}, choice={"finish_reason": "length"})).is_empty


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("function_call", "tool_calls"),
        ("model_length", "length"),
        ("eos", "stop"),
    ],
)
def test_finish_reasons_are_told_in_openais_words(sent, read):
    assert answer(completion(choice={"finish_reason": sent})).finish_reason == read


def test_content_in_parts_gives_its_text():
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}, 7]
    assert answer(completion(message={"content": parts})).text == "ab"


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        7,
        [],
        {"prompt_tokens": -1, "completion_tokens": 1},
        {"prompt_tokens": "41", "completion_tokens": 9},
        {"prompt_tokens": 1.5, "completion_tokens": 9},
        {"prompt_tokens": True, "completion_tokens": 9},
        {"prompt_tokens": 10**30, "completion_tokens": 9},
        {"prompt_tokens": None, "completion_tokens": None},
    ],
)
def test_nonsense_usage_is_unknown_never_zero(usage):
    assert answer(completion(usage=usage)).usage is None
    without = completion()
    del without["usage"]
    assert answer(without).usage is None


def test_tokens_that_only_the_total_counts_are_output():
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 115}
    assert answer(completion(usage=usage)).usage == Usage(10, 105, reasoning_tokens=100)
    assert answer(completion(usage={**usage, "total_tokens": 3})).usage is None
    assert answer(completion(usage={**usage, "total_tokens": None})).usage == Usage(10, 5)


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        7,
        [],
        {"content": None},
        {"content": []},
        {"tokens": ["a"], "token_logprobs": []},
        {"content": [{"token": "a"}]},
        {"content": [{"logprob": "-1"}]},
        {"content": [{"logprob": 0.5}]},
    ],
)
def test_logprobs_in_another_shape_are_unknown(logprobs):
    assert answer(completion(choice={"logprobs": logprobs})).logprobs is None


def test_rounding_above_zero_is_a_certain_token():
    tokens = [{"token": "a", "logprob": 1e-7}, {"token": "b", "logprob": -9999.0}]
    assert answer(completion(choice={"logprobs": {"content": tokens}})).logprobs == (0.0, -9999.0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b'"text"',
        b"{}",
        b"not json",
        b"<html><body>502 Bad Gateway</body></html>",
        json.dumps(completion()).encode()[:-1],
        json.dumps(completion(vendor="?")).encode().replace(b"?", b"\xff"),
        b'{"choices": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b', "choices": []}',
        b"\x1f\x8b\x08\x00compressed",
    ],
)
def test_what_is_no_completion_is_malformed(body):
    assert kind(body) is FailureKind.MALFORMED


@pytest.mark.parametrize(
    "changes",
    [
        {"choices": None},
        {"choices": []},
        {"choices": {}},
        {"choices": [7]},
        {"choices": [{"index": 0, "finish_reason": "stop"}]},
        {"message": {"content": 7}},
        {"message": {"tool_calls": {}}},
        {"choice": {"finish_reason": 7}},
    ],
)
def test_a_wrong_shape_is_malformed(changes):
    assert kind(completion(**changes)) is FailureKind.MALFORMED


def test_an_answer_that_does_not_say_how_it_ended_is_truncated():
    assert kind(completion(choice={"finish_reason": None})) is FailureKind.TRUNCATED
    without = completion()
    del without["choices"][0]["finish_reason"]
    assert kind(without) is FailureKind.TRUNCATED


def test_each_of_several_choices_must_have_ended():
    choices = [completion()["choices"][0], completion(choice={"index": 1, "finish_reason": None})["choices"][0]]
    assert kind(completion(choices=choices)) is FailureKind.TRUNCATED


def test_an_error_inside_a_200_counts_as_what_it_says():
    assert kind({"error": {"message": "no", "code": 429}}) is FailureKind.RATE_LIMITED
    assert kind({"error": {"code": "context_length_exceeded"}}) is FailureKind.CONTEXT_TOO_LONG
    assert kind({"error": {"type": "invalid_request_error"}}) is FailureKind.BAD_REQUEST
    assert kind({"error": "something"}) is FailureKind.TRANSIENT
    assert kind([{"error": {"status": "RESOURCE_EXHAUSTED"}}]) is FailureKind.RATE_LIMITED
    assert kind(completion(choice={"error": {"code": 502}, "finish_reason": "error"})) is FailureKind.TRANSIENT
    assert kind(completion(choice={"finish_reason": "error"})) is FailureKind.TRANSIENT
    assert kind(completion(choice={"finish_reason": "insufficient_system_resource"})) is FailureKind.OVERLOADED


def test_a_null_error_is_none():
    assert answer(completion(error=None)).text == "Hi!"


def test_an_error_status_is_a_failure_whatever_the_body_claims():
    assert kind(completion(), status=500) is FailureKind.TRANSIENT
    assert OpenAIDialect().classify(reply(b"", 402)).kind is FailureKind.NO_CREDIT


def test_decoding_is_a_pure_function_of_the_reply():
    raw = msgspec.json.encode(completion())
    assert decode(raw) == decode(raw)
