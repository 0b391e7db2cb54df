"""The wire as the official SDK sees it, plain and streamed, with every fault."""

import math

import httpx2
import msgspec
import openai
import pytest

from .conftest import BOUND_S, LARGE, OTHER, SMALL

CHAT = "/v1/chat/completions"


@pytest.fixture
def sdk(provider):
    made = openai.OpenAI(
        base_url=f"{provider.url}/v1", api_key="any", max_retries=0, timeout=BOUND_S, _strict_response_validation=True
    )
    with made:
        yield made


def test_the_official_sdk_reads_a_completion_strictly(sdk, question, small):
    reply = sdk.chat.completions.create(**question(logprobs=True, top_logprobs=3))
    choice = reply.choices[0]
    assert (choice.message.content, choice.finish_reason) == ("activate_my_card", "stop")
    total = sum(token.logprob for token in choice.logprobs.content)
    assert math.exp(total) == pytest.approx(small.probabilities("How do I activate my card?").max())
    assert all(1 <= len(token.top_logprobs) <= 3 for token in choice.logprobs.content)
    assert reply.usage.completion_tokens == len(choice.logprobs.content)
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_the_official_sdk_reads_a_stream_strictly(sdk, question):
    stream = sdk.chat.completions.create(
        **question(stream=True, logprobs=True, n=2, stream_options={"include_usage": True})
    )
    chunks = list(stream)
    texts = {0: "", 1: ""}
    for choice in (chunk.choices[0] for chunk in chunks[:-1]):
        texts[choice.index] += choice.delta.content or ""
    assert texts == {0: "activate_my_card", 1: "activate_my_card"}
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]].count("stop") == 2
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 2 * 3
    assert len({chunk.id for chunk in chunks}) == 1


def test_the_official_sdk_lists_the_models(sdk):
    assert {model.id for model in sdk.models.list()} == {SMALL, LARGE, OTHER}


def test_the_official_sdk_raises_the_right_class_for_an_unknown_model(sdk, question):
    with pytest.raises(openai.NotFoundError) as caught:
        sdk.chat.completions.create(**{**question(), "model": "gpt-none"})
    assert caught.value.code == "model_not_found"


def test_replies_hold_the_fields_that_the_specification_requires(client, question):
    choice = client.post(CHAT, json=question()).json()["choices"][0]
    assert choice["logprobs"] is None
    assert choice["message"]["refusal"] is None


def test_a_stream_ends_with_done_and_has_no_usage_unless_asked(client, question):
    text = client.post(CHAT, json=question(stream=True)).text
    assert text.endswith("data: [DONE]\n\n")
    assert "usage" not in text


def test_n_choices_are_given_and_billed(client, question):
    body = client.post(CHAT, json=question(n=3)).json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert body["usage"]["completion_tokens"] == 3 * 3


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", CHAT, b"{", 400),
        ("POST", CHAT, b'{"model": "sandbox/intent-small", "messages": []}', 400),
        ("GET", CHAT, b"", 404),
        ("GET", "/", b"", 404),
        ("POST", "/_sandbox/faults", b'{"faults": [{"kind": "flood"}]}', 400),
        ("POST", CHAT, b" " * 8_000_001, 413),
    ],
)
def test_bad_requests_get_an_error_object(client, method, path, body, status):
    reply = client.request(method, path, content=body)
    assert reply.status_code == status
    assert reply.json()["error"]["type"] == "invalid_request_error"


def test_a_key_is_demanded_when_one_is_set(start, question):
    with start("--key", "secret", "--models", SMALL) as running, httpx2.Client(base_url=running.url) as client:
        refused = client.post(CHAT, json=question(), headers={"authorization": "Bearer wrong"})
        taken = client.post(CHAT, json=question(), headers={"authorization": "Bearer secret"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
        assert client.get("/v1/models").status_code == 401
        assert taken.status_code == 200


def test_the_log_ties_both_lines_to_the_callers_id_and_bills_what_the_reply_says(provider, client, question):
    usage = client.post(CHAT, json=question(), headers={"x-client-request-id": "att_log"}).json()["usage"]
    begin, end = (line for line in provider.lines() if line["request_id"] == "att_log")
    assert (begin["event"], end["event"], begin["call"]) == ("begin", "end", end["call"])
    assert (begin["input_tokens"], begin["output_tokens"]) == (0, 0)
    assert (end["input_tokens"], end["output_tokens"]) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert (end["label"], end["model"], end["status"]) == ("activate_my_card", SMALL, 200)
    assert 0 < end["p"] <= 1


def test_a_refused_call_is_logged_and_not_billed(provider, client, question):
    client.post(CHAT, json={**question(), "model": "x"}, headers={"x-client-request-id": "att_refused"})
    (line,) = (line for line in provider.lines() if line["request_id"] == "att_refused")
    assert (line["event"], line["status"], line["input_tokens"]) == ("refused", 404, 0)


def test_the_log_can_be_fetched(provider, client, question):
    client.post(CHAT, json=question(), headers={"x-client-request-id": "att_fetch"})
    lines = [msgspec.json.decode(line) for line in client.get("/_sandbox/calls").content.splitlines()]
    assert [line["event"] for line in lines if line["request_id"] == "att_fetch"] == ["begin", "end"]
