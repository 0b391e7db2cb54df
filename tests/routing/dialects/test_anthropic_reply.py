"""Anthropic's replies as chat completions: blocks, usage, stop reasons, refusals, and what each error means."""

from typing import Any, get_args

import msgspec
import pytest
from anthropic.types import Message
from anthropic.types.shared import ErrorType
from hypothesis import given
from hypothesis import strategies as st

from jobs.chat import Answer, Usage
from jobs.failures import Failure, FailureKind
from routing.dialects.anthropic import AnthropicDialect
from routing.dialects.base import WireReply
from routing.dialects.error_facts import Sign
from routing.dialects.errors import FACTS
from tests.routing.dialects.oracles import completion_faults

DIALECT = AnthropicDialect()
USAGE = {"input_tokens": 10, "output_tokens": 5}


def message(*content: dict[str, Any], **more: Any) -> bytes:
    """A reply that the official types accept."""
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "stop_sequence": None}
    body = {**head, "content": content, "stop_reason": "end_turn", "usage": USAGE, **more}
    Message.model_validate(body)
    return msgspec.json.encode(body)


def read(body: bytes, status: int = 200, **headers: str) -> Answer | Failure:
    return DIALECT.decode(WireReply(status, {name.replace("_", "-"): text for name, text in headers.items()}, body))


def answered(body: bytes) -> tuple[Answer, dict[str, Any]]:
    answer = read(body)
    assert isinstance(answer, Answer), answer
    assert completion_faults(answer.body) == []
    return answer, msgspec.json.decode(answer.body)


def failed(body: bytes, status: int = 200, **headers: str) -> Failure:
    failure = read(body, status, **headers)
    assert isinstance(failure, Failure), failure
    return failure


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def use(name: str = "f", given: Any = None, named: str = "toolu_1") -> dict[str, Any]:
    return {"type": "tool_use", "id": named, "name": name, "input": given or {}}


def test_texts_are_joined():
    answer, body = answered(message(text("Hel"), text("lo")))
    assert (answer.text, answer.finish_reason, answer.usage) == ("Hello", "stop", Usage(10, 5))
    assert (body["id"], body["model"]) == ("msg_1", "claude-x")
    assert "provider_fields" not in body


def test_tool_calls_keep_their_arguments_byte_for_byte():
    given = b'{"a":  1.0, "big": 12345678901234567890123, "t": "\\u00e9 \\n"}'
    raw = message(text("Let me"), use(), use("tyx_files_2e_read", named="toolu_2"), stop_reason="tool_use")
    answer, body = answered(raw.replace(b'"input":{}', b'"input": ' + given, 1))
    calls = body["choices"][0]["message"]["tool_calls"]
    assert [call["function"] for call in calls] == [
        {"name": "f", "arguments": given.decode()},
        {"name": "files.read", "arguments": "{}"},
    ]
    assert [call["id"] for call in calls] == ["toolu_1", "toolu_2"]
    assert (answer.finish_reason, answer.has_tool_calls, answer.text) == ("tool_calls", True, "Let me")


def test_the_answer_tool_s_call_is_the_answer():
    answer, body = answered(message(use("tokenyard_answer", {"city": "Rome"}), stop_reason="tool_use"))
    assert (answer.text, answer.finish_reason, answer.has_tool_calls) == ('{"city":"Rome"}', "stop", False)
    assert "tool_calls" not in body["choices"][0]["message"]


def test_case_27_thoughts_come_out_readable_and_as_they_must_go_back():
    thoughts = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    _, body = answered(message(thoughts, {"type": "redacted_thinking", "data": "cmVk"}, text("So")))
    said = body["choices"][0]["message"]
    assert (said["reasoning_content"], said["content"]) == ("Hm.", "So")
    assert said["reasoning_details"] == [
        {"type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "cmVk", "format": "anthropic-claude-v1", "index": 1},
    ]


@pytest.mark.parametrize(
    ("reason", "finish", "kept"),
    [
        ("end_turn", "stop", None),
        ("stop_sequence", "stop", "stop_sequence"),
        ("pause_turn", "length", "pause_turn"),
        ("max_tokens", "length", None),
        ("model_context_window_exceeded", "length", "model_context_window_exceeded"),
        ("refusal", "content_filter", None),
    ],
)
def test_case_33_stop_reasons(reason: str, finish: str, kept: str | None):
    answer, body = answered(message(text("a"), stop_reason=reason))
    assert answer.finish_reason == finish
    assert body.get("provider_fields", {}).get("finish_reason") == kept


@pytest.mark.parametrize("word", [b"compaction", b"something_new"])
def test_case_33_an_unknown_reason_is_kept_and_never_hides_a_cut_answer(word: bytes):
    answer, body = answered(message(text("a")).replace(b"end_turn", word))
    assert answer.finish_reason == "length"
    assert body["provider_fields"] == {"finish_reason": word.decode()}


def test_refusals_and_what_stopped_it():
    details = {"type": "refusal", "category": "bio", "explanation": "I can't help with that."}
    answer, body = answered(message(stop_reason="refusal", stop_details=details))
    assert answer.has_refusal
    assert body["choices"][0]["message"]["refusal"] == "I can't help with that."
    assert body["provider_fields"] == {"refusal_category": "bio"}
    _, body = answered(message(text("a"), stop_reason="stop_sequence", stop_sequence="END"))
    assert body["provider_fields"]["stop_sequence"] == "END"


@pytest.mark.parametrize(
    ("given", "usage"),
    [
        (USAGE, Usage(10, 5)),
        (
            {
                **USAGE,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 30,
                "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
                "output_tokens_details": {"thinking_tokens": 3},
            },
            Usage(140, 5, cached_tokens=100, cache_write_tokens=10, cache_write_1h_tokens=20, reasoning_tokens=3),
        ),
        ({**USAGE, "cache_creation_input_tokens": 7, "cache_read_input_tokens": None},
         Usage(17, 5, cache_write_tokens=7)),
    ],
)  # fmt: skip
def test_usage_is_summed_and_told_apart(given: dict[str, Any], usage: Usage):
    answer, body = answered(message(text("a"), usage=given))
    assert answer.usage == usage
    assert body["usage"]["total_tokens"] == usage.total_tokens


NONSENSE: list[Any] = [
    None,
    {},
    {"input_tokens": -1, "output_tokens": 5},
    {"input_tokens": 1.5, "output_tokens": 5},
    {"input_tokens": True, "output_tokens": 1},
]


@pytest.mark.parametrize("usage", NONSENSE)
def test_nonsense_of_usage_is_unknown(usage: Any):
    raw = msgspec.json.decode(message(text("a")))
    answer = read(msgspec.json.encode({**raw, "usage": usage}))
    assert isinstance(answer, Answer)
    assert answer.usage is None


def test_server_tools_and_tiers_are_kept():
    usage = {
        **USAGE,
        "service_tier": "priority",
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
    }
    _, body = answered(message(text("a"), usage=usage))
    assert body["provider_fields"] == {
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
        "service_tier": "priority",
    }


def test_blocks_of_unknown_types_are_passed_over():
    answer, _ = answered(message(text("a")).replace(b'"content":[', b'"content":[{"type":"hologram","x":1},'))
    assert answer.text == "a"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (message(text("a")).replace(b'"end_turn"', b"null"), FailureKind.TRUNCATED),
        (message(use()).replace(b'"name":"f"', b'"name":""'), FailureKind.MALFORMED),
        (b"{}", FailureKind.MALFORMED),
        (b"<html>", FailureKind.MALFORMED),
        (b"", FailureKind.MALFORMED),
        (b"[" * 100_000, FailureKind.MALFORMED),
        (b'{"content": [{"type": "text", "text": "\xff"}]}', FailureKind.MALFORMED),
    ],
)
def test_what_is_no_message(body: bytes, kind: FailureKind):
    assert failed(body).kind is kind


def error(kind: str, words: str = "secret prompt", **more: Any) -> bytes:
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": words, **more}, "request_id": "r"})


@pytest.mark.parametrize(
    ("status", "word", "kind"),
    [
        (400, "invalid_request_error", FailureKind.BAD_REQUEST),
        (401, "authentication_error", FailureKind.BAD_KEY),
        (402, "billing_error", FailureKind.NO_CREDIT),
        (403, "permission_error", FailureKind.BAD_KEY),
        (404, "not_found_error", FailureKind.MODEL_NOT_FOUND),
        (413, "request_too_large", FailureKind.OVER_LIMIT),
        (429, "rate_limit_error", FailureKind.RATE_LIMITED),
        (500, "api_error", FailureKind.TRANSIENT),
        (504, "timeout_error", FailureKind.TRANSIENT),
        (529, "overloaded_error", FailureKind.OVERLOADED),
        (200, "overloaded_error", FailureKind.OVERLOADED),
        (200, "hologram_error", FailureKind.TRANSIENT),
        (529, "hologram_error", FailureKind.OVERLOADED),
    ],
)
def test_case_38_errors_by_their_type(status: int, word: str, kind: FailureKind):
    failure = failed(error(word), status)
    assert (failure.kind, failure.status, failure.code) == (kind, status, word)
    assert "secret" not in failure.message


OF_OTHER_ROUTES = {"memory_precondition_failed_error", "memory_path_conflict_error"}


@pytest.mark.parametrize("word", sorted(set(get_args(ErrorType)) - OF_OTHER_ROUTES))
def test_every_type_of_the_sdk_is_known_without_a_status(word: str):
    assert FACTS.meaning(Sign(status=200, words=(word,))) is not None


@pytest.mark.parametrize(
    ("word", "code", "kind"),
    [
        ("invalid_request_error", "enforced_spend_limit_reached", FailureKind.NO_CREDIT),
        ("rate_limit_error", "ramp_limit_exceeded", FailureKind.RATE_LIMITED),
        ("permission_error", "organization_on_hold", FailureKind.BAD_KEY),
        ("invalid_request_error", "thread_not_found", FailureKind.BAD_REQUEST),
    ],
)
def test_the_code_of_the_details_goes_before_the_type(word: str, code: str, kind: FailureKind):
    failure = failed(error(word, details={"error_code": code}), 400)
    assert (failure.kind, failure.code) == (kind, code)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("prompt is too long: 213462 tokens > 200000 maximum", FailureKind.CONTEXT_TOO_LONG),
        ("input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000", FailureKind.CONTEXT_TOO_LONG),
        ("Your credit balance is too low to access the Anthropic API.", FailureKind.NO_CREDIT),
        ("messages.0: the prompt is too long, says the user", FailureKind.BAD_REQUEST),
    ],
)
def test_prose_is_read_only_where_the_wire_gives_nothing_else(words: str, kind: FailureKind):
    assert failed(error("invalid_request_error", words), 400).kind is kind
    assert failed(error("api_error", words), 500).kind is FailureKind.TRANSIENT
    coded = failed(error("invalid_request_error", words, details={"error_code": "thread_not_found"}), 400)
    assert coded.kind is FailureKind.BAD_REQUEST


def test_case_39_waits():
    assert failed(error("rate_limit_error"), 429, retry_after="7").retry_after_s == 7.0
    reset = {"anthropic_ratelimit_requests_reset": "2026-11-25T06:00:30Z", "date": "Wed, 25 Nov 2026 06:00:00 GMT"}
    assert failed(error("rate_limit_error"), 429, **reset).retry_after_s == 30.0
    assert failed(error("overloaded_error"), 529, **reset).retry_after_s is None


@pytest.mark.parametrize("body", [b"<html>502</html>", b"", b"null", b'{"error": "words"}', b'{"error": ["x"]}'])
def test_errors_of_proxies_are_told_by_the_status(body: bytes):
    assert failed(body, 502).kind is FailureKind.TRANSIENT
    assert failed(body, 429).kind is FailureKind.RATE_LIMITED


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "error", "content", "text", "input", "usage", "details", "message", "stop_reason"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(body=JSON.map(msgspec.json.encode) | st.binary(max_size=60), status=st.sampled_from([200, 400, 429, 500, 302]))
def test_nothing_that_a_provider_sends_raises(body: bytes, status: int):
    result = read(body, status)
    assert isinstance(result, Answer | Failure)
    assert status == 200 or isinstance(result, Failure)
