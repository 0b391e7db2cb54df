"""Every provider's answers, whole and streamed, are what the official types allow, and lose nothing that matters."""

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.chat import Answer, Usage
from jobs.failures import Failure
from routing.dialects.base import WireReply
from routing.dialects.openai import OpenAIDialect
from tests.routing.dialects.judges import added_up, normal
from tests.routing.dialects.oracles import chunk_faults, completion_faults
from tests.routing.dialects.replies import REPLIES, STREAMS
from tests.routing.dialects.voices import paths, replaced, without
from tests.routing.dialects.wire import LOGPROBS, chunk, completion, sse

OFFICIAL: dict[str, Any] = completion(
    choice={"logprobs": LOGPROBS},
    service_tier="default",
    system_fingerprint="fp_1",
    message={
        "annotations": [
            {"type": "url_citation", "url_citation": {"start_index": 0, "end_index": 1, "title": "t", "url": "u"}}
        ],
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        "audio": {"id": "a", "data": "", "expires_at": 1, "transcript": ""},
    },
    usage={
        "prompt_tokens": 41,
        "completion_tokens": 9,
        "total_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 2},
        "completion_tokens_details": {
            "reasoning_tokens": 3,
            "audio_tokens": 1,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    },
)
FUZZY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
JUNK = st.sampled_from([None, 0, -1, 1.5, True, "", "x", [], ["x"], [None], {}, {"x": 1}, [{"type": "text"}], 10**30])


def whole(body: Any) -> Answer | Failure:
    return OpenAIDialect().decode(WireReply(200, {}, json.dumps(body).encode()))


def shown(body: Any) -> dict[str, Any]:
    answer = whole(body)
    assert isinstance(answer, Answer), answer
    assert completion_faults(answer.body) == []
    read: dict[str, Any] = json.loads(answer.body)
    return read


def streamed(pieces: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], Answer]:
    """The chunks as they are passed on, and the whole."""
    decoder = OpenAIDialect().decode_stream()
    deltas = [*decoder.feed(sse(*pieces)), *decoder.end()]
    assert [chunk_faults(delta.chunk) for delta in deltas] == [[] for _ in deltas]
    answer = decoder.finish()
    assert isinstance(answer, Answer), answer
    assert completion_faults(answer.body) == []
    assert added_up(deltas) == normal(json.loads(answer.body))
    return [json.loads(delta.chunk) for delta in deltas], answer


def test_an_official_answer_keeps_its_bytes():
    raw = json.dumps(OFFICIAL, indent=2).encode()
    answer = OpenAIDialect().decode(WireReply(200, {}, raw))
    assert isinstance(answer, Answer)
    assert answer.body == raw
    assert answer.usage == Usage(
        41, 9, cached_tokens=8, reasoning_tokens=3, audio_input_tokens=2, audio_output_tokens=1
    )


@pytest.mark.parametrize("provider", REPLIES)
def test_every_providers_answer_pleases_the_official_types(provider):
    shown(REPLIES[provider])


@pytest.mark.parametrize("provider", STREAMS)
def test_every_providers_stream_pleases_the_official_types(provider):
    streamed(STREAMS[provider])


@pytest.mark.parametrize("provider", ["groq", "mistral", "deepseek", "openrouter", "vllm"])
def test_reasoning_has_one_name(provider):
    message = shown(REPLIES[provider])["choices"][0]["message"]
    assert message["reasoning_content"] in {"Hm.", "Count."}
    assert message["content"] == "Hi!"
    assert "reasoning" not in message


def test_what_must_come_back_is_kept():
    details = shown(REPLIES["openrouter"])["choices"][0]["message"]["reasoning_details"]
    assert details[0]["signature"] == "c2ln"
    call = shown(REPLIES["google"])["choices"][0]["message"]["tool_calls"][0]
    assert call["extra_content"] == {"google": {"thought_signature": "c2lnbmF0dXJl"}}


def test_extras_stand_under_one_key():
    assert shown(REPLIES["groq"])["provider_fields"]["x_groq"] == {"id": "req_1", "seed": 7}
    assert shown(REPLIES["groq"])["provider_fields"]["service_tier"] == "on_demand"
    openrouter = shown(REPLIES["openrouter"])["provider_fields"]
    assert (openrouter["usage"]["cost"], openrouter["provider"]) == (0.00015, "Anthropic")
    assert openrouter["choices"]["0"] == {"native_finish_reason": "end_turn"}
    together = shown(REPLIES["together"])
    assert together["choices"][0]["finish_reason"] == "stop"
    assert together["provider_fields"]["choices"]["0"]["finish_reason"] == "eos"
    assert shown(REPLIES["search"])["provider_fields"]["choices"]["0"]["annotations"][0]["type"] == "file_citation"


@pytest.mark.parametrize(
    ("provider", "usage"),
    [
        ("groq", Usage(41, 9, reasoning_tokens=4)),
        ("mistral", Usage(41, 9, cached_tokens=16)),
        ("deepseek", Usage(41, 9, cached_tokens=32, reasoning_tokens=5)),
        ("openrouter", Usage(41, 9, cached_tokens=7, cache_write_tokens=3, reasoning_tokens=6)),
        ("google", Usage(41, 109, reasoning_tokens=100)),
    ],
)
def test_usage_is_read_by_kind_whatever_its_keys(provider, usage):
    answer = whole(REPLIES[provider])
    assert isinstance(answer, Answer)
    assert answer.usage == usage
    face = json.loads(answer.body)["usage"]
    assert face["total_tokens"] == face["prompt_tokens"] + face["completion_tokens"]
    assert face.get("prompt_tokens_details", {}).get("cached_tokens", 0) == usage.cached_tokens
    assert face.get("completion_tokens_details", {}).get("reasoning_tokens", 0) == usage.reasoning_tokens


def test_logprobs_in_two_lists_are_read():
    answer = whole(REPLIES["together"])
    assert isinstance(answer, Answer)
    assert answer.logprobs == (-0.25, -1.5)


def test_tool_calls_get_what_they_lack_and_keep_their_arguments():
    (call,) = shown(REPLIES["mistral"])["choices"][0]["message"]["tool_calls"]
    assert call == {"id": "35bC59XSm", "type": "function", "function": {"name": "f", "arguments": '{"a": 1.0}'}}
    (bare,) = shown(REPLIES["ollama"])["choices"][0]["message"]["tool_calls"]
    assert (bare["id"], bare["function"]["arguments"]) == ("call_0", '{"a":1}')


def test_streams_are_put_together_like_answers_that_came_whole():
    chunks, answer = streamed(STREAMS["openrouter"])
    message = json.loads(answer.body)["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("Hi!", "Hm.")
    assert message["reasoning_details"] == [{"type": "reasoning.text", "text": "Hm.", "index": 0, "signature": "c2ln"}]
    told = {"provider": "Anthropic", "usage": {"cost": 0.1}, "choices": {"0": {"native_finish_reason": "end_turn"}}}
    assert [piece["provider_fields"] for piece in chunks if "provider_fields" in piece] == [told]
    assert chunks[0]["choices"][0]["delta"]["reasoning_content"] == "H"
    assert streamed(STREAMS["groq"])[1].usage == Usage(1, 2)
    assert streamed(STREAMS["google"])[1].usage == Usage(1, 8, reasoning_tokens=6)


@pytest.mark.parametrize("provider", ["google", "same index"])
def test_tool_calls_of_a_stream_have_an_index_of_their_own(provider):
    chunks, answer = streamed(STREAMS[provider])
    choices = [choice for piece in chunks for choice in piece["choices"]]
    indices = [call["index"] for choice in choices for call in choice["delta"].get("tool_calls", ())]
    assert indices == [0, 1]
    calls = json.loads(answer.body)["choices"][0]["message"]["tool_calls"]
    assert [call["function"]["name"] for call in calls] == ["f", "g"]
    if provider == "google":
        assert calls[0]["extra_content"] == {"google": {"thought_signature": "c2ln"}}


@FUZZY
@given(data=st.data())
def test_an_answer_with_anything_in_it_is_official_or_a_failure(data):
    body = copy.deepcopy(data.draw(st.sampled_from([OFFICIAL, *REPLIES.values()])))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(paths(body) or [("id",)]))
        body = without(body, path) if data.draw(st.booleans()) else replaced(body, path, data.draw(JUNK))
    answer = whole(body)
    assert isinstance(answer, Failure) or completion_faults(answer.body) == []


@FUZZY
@given(data=st.data())
def test_a_stream_with_anything_in_it_is_official_or_a_failure(data):
    pieces = copy.deepcopy(data.draw(st.sampled_from(list(STREAMS.values()))))
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from([path for path in paths(pieces) if len(path) > 1]))
        pieces = without(pieces, path) if data.draw(st.booleans()) else replaced(pieces, path, data.draw(JUNK))
    decoder = OpenAIDialect().decode_stream()
    deltas = [*decoder.feed(sse(*pieces)), *decoder.end()]
    assert [fault for delta in deltas for fault in chunk_faults(delta.chunk)] == []
    answer = decoder.finish()
    if isinstance(answer, Answer):
        assert completion_faults(answer.body) == []
        assert added_up(deltas) == normal(json.loads(answer.body))


def test_an_official_chunk_keeps_its_bytes():
    begin = chunk({"role": "assistant", "content": ""}, obfuscation="abc", service_tier="default", usage=None)
    piece = chunk({"content": "x"}, obfuscation="abcd", service_tier="default", usage=None)
    deltas = OpenAIDialect().decode_stream().feed(sse(begin, piece, done=False))
    assert [delta.chunk for delta in deltas] == [json.dumps(begin).encode(), json.dumps(piece).encode()]
