"""How an answer reaches the wire: whole, streamed, delayed or cut."""

import threading

import httpx2
import msgspec
import openai
import pytest

CHAT = "/v1/chat/completions"


@pytest.fixture
def arm(client):
    def posted(**fault):
        assert client.post("/_sandbox/faults", json={"faults": [fault]}).status_code == 200

    return posted


@pytest.fixture
def bill(provider):
    """The billed tokens and the faults that the log has for a request id."""

    def read(request_id):
        (end,) = (line for line in provider.lines() if line["request_id"] == request_id and line["event"] == "end")
        return end["input_tokens"], end["output_tokens"], end["faults"]

    return read


def headers(request_id: str) -> dict[str, str]:
    return {"x-client-request-id": request_id}


def test_status_comes_with_retry_after_and_an_error_object_and_is_free(client, arm, bill, question):
    arm(kind="status", status=429, retry_after_s=2, code="rate_limit_exceeded", times=1)
    refused = client.post(CHAT, json=question(), headers=headers("att_status"))
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert bill("att_status") == (0, 0, ["status"])
    assert client.post(CHAT, json=question()).status_code == 200


def test_latency_is_added(provider, client, arm, question):
    arm(kind="latency", add_ms=60)
    assert client.post(CHAT, json=question(), headers=headers("att_slow")).status_code == 200
    begin, end = (line["time_s"] for line in provider.lines() if line["request_id"] == "att_slow")
    assert end - begin >= 0.059


def test_silence_is_billed_and_never_answered(client, arm, bill, question):
    arm(kind="silence")
    with pytest.raises(httpx2.ReadTimeout):
        client.post(CHAT, json=question(), headers=headers("att_silence"), timeout=0.3)
    assert bill("att_silence")[1:] == (3, ["silence"])


def test_a_cut_body_breaks_in_the_middle(client, arm, bill, question):
    arm(kind="cut")
    with pytest.raises(httpx2.RemoteProtocolError):
        client.post(CHAT, json=question(), headers=headers("att_cut"))
    assert bill("att_cut")[1:] == (3, ["cut"])


@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_a_cut_stream_gives_so_many_chunks_and_breaks(client, arm, question, chunks):
    arm(kind="cut", after_chunks=chunks)
    received: list[bytes] = []
    with client.stream("POST", CHAT, json=question(stream=True)) as reply, pytest.raises(httpx2.RemoteProtocolError):
        received.extend(reply.iter_bytes())
    assert b"".join(received).count(b"data: {") == chunks
    assert b"[DONE]" not in b"".join(received)


@pytest.mark.parametrize(("usage", "factor"), [("negative", -1), ("doubled", 2)])
def test_wrong_usage_is_told_while_the_log_keeps_the_truth(client, arm, bill, question, usage, factor):
    arm(kind="wrong_usage", usage=usage)
    told = client.post(CHAT, json=question(), headers=headers(f"att_{usage}")).json()["usage"]
    given, made, _ = bill(f"att_{usage}")
    assert (told["prompt_tokens"], told["completion_tokens"]) == (factor * given, factor * made)
    assert made == 3


def test_absent_usage_is_left_out_whole_and_in_streams(client, arm, question):
    arm(kind="wrong_usage")
    assert "usage" not in client.post(CHAT, json=question()).json()
    streamed = client.post(CHAT, json=question(stream=True, stream_options={"include_usage": True})).text
    assert "prompt_tokens" not in streamed
    assert streamed.endswith("data: [DONE]\n\n")


def test_an_empty_answer_ends_normally_and_its_input_is_billed(client, arm, bill, question):
    arm(kind="empty")
    choice = client.post(CHAT, json=question(), headers=headers("att_empty")).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("", "stop")
    given, made, _ = bill("att_empty")
    assert given > 0
    assert made == 0


def test_malformed_is_no_json(client, arm, question):
    arm(kind="malformed")
    reply = client.post(CHAT, json=question())
    assert reply.status_code == 200
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(reply.content)
    assert '{"id": "chatcmpl-, ' in client.post(CHAT, json=question(stream=True)).text


def test_an_in_band_error_is_an_error_object_under_200_and_free(client, arm, bill, question):
    arm(kind="in_band_error", status=502)
    reply = client.post(CHAT, json=question(), headers=headers("att_band"))
    assert (reply.status_code, reply.json()["error"]["type"]) == (200, "server_error")
    assert bill("att_band") == (0, 0, ["in_band_error"])


def test_the_official_sdk_raises_for_an_in_band_error_of_a_stream(provider, arm, question):
    arm(kind="in_band_error", after_chunks=2)
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="any", max_retries=0) as sdk:
        seen = []
        with pytest.raises(openai.APIError):
            seen.extend(sdk.chat.completions.create(**question(stream=True)))


def test_off_closes_every_connection_but_the_control_door(client, arm, question):
    arm(kind="off")
    for _ in range(2):
        with pytest.raises(httpx2.TransportError):
            client.post(CHAT, json=question())
    assert client.get("/_sandbox/faults").json()["faults"][0]["struck"] == 2
    client.delete("/_sandbox/faults")
    assert client.post(CHAT, json=question()).status_code == 200


def test_a_fault_matches_its_model_only(client, arm, question):
    arm(kind="status", model="sandbox/intent-large")
    assert client.post(CHAT, json=question()).status_code == 200
    assert client.post(CHAT, json={**question(), "model": "sandbox/intent-large"}).status_code == 503


def test_many_calls_at_once_all_get_both_lines(provider, client, question):
    def call(number):
        client.post(CHAT, json=question(), headers=headers(f"att_many_{number}"))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [line["event"] for line in provider.lines() if (line["request_id"] or "").startswith("att_many_")]
    assert sorted(found) == ["begin"] * 20 + ["end"] * 20
