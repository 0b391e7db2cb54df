"""Replies on Gemini's wire, whole and failed; completions are judged by OpenAI's own types."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.chat import Answer, Usage
from jobs.failures import FailureKind
from routing.dialects.base import WireReply
from tests.routing.dialects.anthropic_wire import assistant, call, result, user
from tests.routing.dialects.gemini_wire import DIALECT, answered, config, decoded, failed, message, response, sent
from tests.routing.dialects.test_gemini import CALLED


def test_text():
    answer = answered(response({"text": "Hel"}, {"text": "lo"}))
    assert (answer.text, answer.finish_reason) == ("Hello", "stop")
    assert answer.usage == Usage(41, 9)
    body = json.loads(answer.body)
    assert (body["id"], body["model"]) == ("r1", "gemini-3-flash")
    assert "provider_fields" not in body


def test_calls_come_back_byte_for_byte():
    args = '{ "n": 12345678901234567890.10,\n "t": "\\u00e9" }'
    raw = json.dumps(response({"functionCall": {"name": "f", "args": {}}})).replace("{}", args, 1)
    answer = answered(raw.encode())
    assert answer.finish_reason == "tool_calls"
    [found] = message(answer)["tool_calls"]
    assert found["function"] == {"name": "f", "arguments": args}
    assert found["id"] == "call_r1_0_0"
    assert message(answer)["content"] is None


def test_ids_and_names_come_back_as_the_caller_knows_them():
    parts: list[dict[str, Any]] = [
        {"functionCall": {"name": "tyx_9lives", "id": "x1", "args": {}}},
        {"functionCall": {"name": "g"}},
    ]
    calls = message(answered(response(*parts)))["tool_calls"]
    assert [(found["id"], found["function"]["name"]) for found in calls] == [("x1", "9lives"), ("call_r1_0_1", "g")]
    assert calls[1]["function"]["arguments"] == "{}"


def test_case_27_signatures_survive_the_way_there_and_back():
    parts: list[dict[str, Any]] = [
        {"text": "Let me see.", "thought": True},
        {"text": "Looking.", "thoughtSignature": "dGV4dA=="},
        {"functionCall": {"name": "f", "id": "call_1", "args": {}}, "thoughtSignature": "c2ln-_A"},
    ]
    said = message(answered(response(*parts)))
    assert said["reasoning_content"] == "Let me see."
    left, notes = sent(messages=[user(), said, result()])
    assert left["contents"][1]["parts"] == [
        {"text": "Looking.", "thoughtSignature": "dGV4dA=="},
        {"functionCall": {"id": "call_1", "name": "f", "args": {}}, "thoughtSignature": "c2ln-_A"},
    ]
    assert [field for field, _ in notes] == ["messages[1].reasoning_content"]


def test_case_27_a_signature_on_an_empty_text_part_is_kept():
    said = message(answered(response({"text": "Yes."}, {"text": "", "thoughtSignature": "c2ln"})))
    detail = {"type": "reasoning.encrypted", "data": "c2ln", "format": "google-gemini-v1", "index": 0}
    assert said["reasoning_details"] == [detail]
    assert sent(messages=[user(), said, user()])[0]["contents"][1]["parts"][0]["thoughtSignature"] == "c2ln"


@pytest.mark.parametrize(
    ("finish", "told"),
    [
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("BLOCKLIST", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
        ("OTHER", "length"),
        ("SOMETHING_NEW", "length"),
    ],
)
def test_case_33_finish_reasons(finish, told):
    answer = answered(response({"text": "Hi"}, finish=finish))
    assert answer.finish_reason == told
    kept = json.loads(answer.body).get("provider_fields")
    assert kept == (None if finish == "MAX_TOKENS" else {"finish_reason": finish})


@pytest.mark.parametrize(
    ("finish", "kind"),
    [
        ("MALFORMED_FUNCTION_CALL", FailureKind.INVALID_ANSWER),
        ("UNEXPECTED_TOOL_CALL", FailureKind.INVALID_ANSWER),
        ("MALFORMED_RESPONSE", FailureKind.MALFORMED),
        ("MISSING_THOUGHT_SIGNATURE", FailureKind.BAD_REQUEST),
        (None, FailureKind.TRUNCATED),
    ],
)
def test_case_33_finish_reasons_that_are_failures(finish, kind):
    assert failed(response(finish=finish)).kind is kind


def test_case_34_a_blocked_prompt_is_a_filtered_answer():
    answer = answered(
        {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4}}
    )
    assert (answer.text, answer.finish_reason, answer.usage) == ("", "content_filter", Usage(4, 0))
    assert json.loads(answer.body)["provider_fields"] == {"block_reason": "SAFETY"}


def test_case_34_all_tokens_went_into_thoughts():
    usage = {"promptTokenCount": 4, "thoughtsTokenCount": 60, "totalTokenCount": 64}
    answer = answered(response(finish="MAX_TOKENS", usageMetadata=usage))
    assert (answer.text, answer.finish_reason, answer.is_empty) == ("", "length", False)
    assert answer.usage == Usage(4, 60, reasoning_tokens=60)
    assert answered(response()).is_empty


@pytest.mark.parametrize("body", [{}, {"candidates": []}, [], {"candidates": "x"}, b"<html>", b"\xff", {"text": "hi"}])
def test_what_is_no_response_is_malformed(body):
    assert failed(body).kind is FailureKind.MALFORMED


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}, Usage(10, 5)),
        (
            {"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 7, "totalTokenCount": 22},
            Usage(10, 12, reasoning_tokens=7),
        ),
        (
            {"promptTokenCount": 10, "toolUsePromptTokenCount": 3, "candidatesTokenCount": 5, "totalTokenCount": 18},
            Usage(13, 5),
        ),
        (
            {"promptTokenCount": 10, "cachedContentTokenCount": 8, "candidatesTokenCount": 5, "totalTokenCount": 15},
            Usage(10, 5, cached_tokens=8),
        ),
        ({"promptTokenCount": 10, "totalTokenCount": 10}, Usage(10, 0)),
        ({"promptTokenCount": 10, "totalTokenCount": 19}, Usage(10, 9)),
        (
            {
                "promptTokenCount": 10,
                "candidatesTokenCount": 5,
                "totalTokenCount": 15,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 4}, {"modality": "AUDIO", "tokenCount": 6}],
                "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 5}],
            },
            Usage(10, 5, audio_input_tokens=6, audio_output_tokens=5),
        ),
        ({"promptTokenCount": 10}, Usage(10, None)),
        ({"totalTokenCount": 10}, None),
        ({}, None),
        ({"promptTokenCount": -1, "candidatesTokenCount": 5, "totalTokenCount": 4}, None),
        ({"promptTokenCount": "10", "candidatesTokenCount": 5}, None),
        ({"promptTokenCount": 10, "candidatesTokenCount": 10**12}, None),
        (None, None),
    ],
)
def test_usage(usage, read):
    assert answered(response({"text": "Hi"}, usageMetadata=usage)).usage == read


def test_log_probabilities():
    chosen = [{"token": "Hi", "logProbability": -0.25}, {"token": "!", "logProbability": -1.5}]
    tops = [{"candidates": [chosen[0], {"token": "Ho", "logProbability": -2.0}]}, {"candidates": [chosen[1]]}]
    told = {"logprobsResult": {"chosenCandidates": chosen, "topCandidates": tops}}
    answer = answered(response({"text": "Hi!"}, candidate=told))
    assert answer.logprobs == (-0.25, -1.5)
    shown = json.loads(answer.body)["choices"][0]["logprobs"]["content"]
    assert [other["token"] for other in shown[0]["top_logprobs"]] == ["Hi", "Ho"]
    assert shown[1]["bytes"] == [33]
    odd = {"logprobsResult": {"chosenCandidates": [{"token": "Hi", "logProbability": "x"}]}}
    assert answered(response({"text": "Hi!"}, candidate=odd)).logprobs is None


def test_case_32_several_candidates_are_several_choices():
    body = response({"text": "A"})
    body["candidates"].append({"content": {"parts": [{"text": "B"}]}, "finishReason": "MAX_TOKENS", "index": 1})
    choices = json.loads(answered(body).body)["choices"]
    assert [(choice["message"]["content"], choice["finish_reason"]) for choice in choices] == [
        ("A", "stop"),
        ("B", "length"),
    ]


def error(code: int, status: str, message: str = "No.", *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "status": status, "message": message, "details": list(details)}}


INVALID_KEY = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
}
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.4s"}
TOO_LONG = "The input token count (1205234) exceeds the maximum number of tokens allowed (1048576)."


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (error(400, "INVALID_ARGUMENT", "API key not valid.", INVALID_KEY), 400, FailureKind.BAD_KEY),
        (error(400, "INVALID_ARGUMENT"), 400, FailureKind.BAD_REQUEST),
        (error(400, "INVALID_ARGUMENT", TOO_LONG), 400, FailureKind.CONTEXT_TOO_LONG),
        (error(400, "FAILED_PRECONDITION"), 400, FailureKind.BAD_KEY),
        (error(401, "UNAUTHENTICATED"), 401, FailureKind.BAD_KEY),
        (error(403, "PERMISSION_DENIED"), 403, FailureKind.BAD_KEY),
        (error(404, "NOT_FOUND"), 404, FailureKind.MODEL_NOT_FOUND),
        (error(429, "RESOURCE_EXHAUSTED"), 429, FailureKind.RATE_LIMITED),
        (error(499, "CANCELLED"), 499, FailureKind.TRANSIENT),
        (error(500, "INTERNAL"), 500, FailureKind.TRANSIENT),
        (error(503, "UNAVAILABLE"), 503, FailureKind.OVERLOADED),
        (error(504, "DEADLINE_EXCEEDED"), 504, FailureKind.TRANSIENT),
        ([error(429, "RESOURCE_EXHAUSTED")], 429, FailureKind.RATE_LIMITED),
        (error(503, "UNAVAILABLE"), 200, FailureKind.OVERLOADED),
        (error(429, ""), 200, FailureKind.RATE_LIMITED),
        ({"error": "no"}, 200, FailureKind.TRANSIENT),
        (b"<html>bad gateway", 502, FailureKind.TRANSIENT),
        (b"", 429, FailureKind.RATE_LIMITED),
    ],
)
def test_case_38_errors(body, status, kind):
    found = failed(body, status)
    assert (found.kind, found.status) == (kind, status)
    assert "1205234" not in found.message


def test_case_39_the_wait_stands_in_the_body():
    assert failed(error(429, "RESOURCE_EXHAUSTED", "Quota", RETRY), 429).retry_after_s == 34.4
    assert failed(error(429, "RESOURCE_EXHAUSTED"), 429, **{"retry-after": "7"}).retry_after_s == 7.0
    assert failed(error(429, "RESOURCE_EXHAUSTED", "", {"@type": 7, "retryDelay": {}}), 429).retry_after_s is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(response())), inner, max_size=3),
)


@settings(max_examples=100, deadline=None)
@given(JSON | st.builds(lambda value: {"candidates": [{"content": {"parts": value}, "logprobsResult": value}]}, JSON))
def test_nothing_that_a_provider_sends_makes_it_raise(body):
    raw = json.dumps(body).encode()
    for status in (200, 400):
        DIALECT.decode(WireReply(status=status, headers={}, body=raw))
    decoder = DIALECT.decode_stream()
    list(decoder.feed(b"data: " + raw + b"\n\n"))
    decoder.finish()


def test_a_conversation_of_tools_goes_round():
    """What the model says is what it hears again."""
    said = message(answered(response({"functionCall": {"name": "f", "id": "call_1", "args": {"a": 1}}})))
    assert (
        sent(messages=[user(), said, result()])[0]["contents"]
        == sent(messages=[user(), assistant(None, call("f", '{"a": 1}')), result()])[0]["contents"]
    )
    assert config(messages=CALLED)[0] == {}
    assert isinstance(decoded(response({"text": "Hi"})), Answer)
