"""Clients that hang up, come again, or ask twice: one job, one bill, and nothing that cannot be fetched."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import openai
import pytest

from tests.api.fronts.talk import body, http, job, said, until
from tests.api.fronts.upstream import TEXT
from tests.api.fronts.yard import Yard


def newest(yard: Yard, custom_id: str) -> dict[str, Any] | None:
    with http(yard) as plain:
        found: list[dict[str, Any]] = plain.get("/v1/jobs", params={"custom_id": custom_id}).json()["data"]
    return found[0] if found else None


@contextmanager
def hanging(yard: Yard, deed: str, custom_id: str, **more: Any) -> Iterator[dict[str, Any]]:
    """A request whose client hangs up at the end of the block, before the provider has answered."""
    yard.upstream.gate.clear()
    calls = yard.upstream.calls_of(custom_id)
    raw = body(f"{deed} {custom_id}", custom_id=custom_id, **more)
    with http(yard) as plain:
        waiting = threading.Thread(target=ask_in_vain, args=[plain, raw])
        waiting.start()
        until(lambda: yard.upstream.calls_of(custom_id) > calls, "the provider was asked")
        yield until(lambda: newest(yard, custom_id), "the job is there")
    waiting.join()


def ask_in_vain(plain: httpx2.Client, raw: bytes) -> None:
    with pytest.raises((httpx2.TransportError, RuntimeError)):
        plain.post("/v1/chat/completions", content=raw, timeout=0.5)


@pytest.mark.parametrize(("deed", "stream"), [("hang", False), ("hang", True), ("slow", True)])
def test_who_hangs_up_calls_the_job_off_and_its_cost_is_kept(yard: Yard, deed: str, stream: bool):
    """Before the first piece of a stream, or in the middle of it."""
    with hanging(yard, deed, f"off-{deed}-{stream}", stream=stream) as made:
        pass
    found = until(lambda: (told := job(yard, made["id"]))["finished_at"] and told, "the job ends")
    yard.upstream.gate.set()
    assert found["state"] == "cancelled"
    assert [attempt["outcome"] for attempt in found["attempts"]] == ["cancelled"]
    assert found["cost_complete"] is False
    assert float(found["cost_bound_usd"]) > 0


@pytest.mark.parametrize("stream", [False, True])
def test_where_the_policy_says_finish_the_job_ends_and_is_fetched(yard: Yard, stream: bool):
    with hanging(yard, "hang", f"on-{stream}", stream=stream, policy="patient") as made:
        pass
    yard.upstream.gate.set()
    found = job(yard, made["id"])
    assert found["state"] == "succeeded"
    assert found["result"]["choices"][0]["message"]["content"] == TEXT


def test_the_same_request_under_one_key_is_one_job_and_gets_the_same_answer(client: openai.OpenAI, yard: Yard):
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    calls = yard.upstream.calls_of("hello once")
    told = [
        client.chat.completions.with_raw_response.create(
            model="auto", messages=said("hello once"), extra_headers=headers
        )
        for _ in range(3)
    ]
    assert len({each.headers["x-tokenyard-job"] for each in told}) == 1
    assert {each.parse().choices[0].message.content for each in told} == {TEXT}
    streamed = client.chat.completions.with_raw_response.create(
        model="auto", messages=said("hello once"), extra_headers=headers, timeout=30
    )
    assert streamed.headers["x-tokenyard-job"] == told[0].headers["x-tokenyard-job"]
    assert yard.upstream.calls_of("hello once") == calls + 1
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        client.chat.completions.create(model="auto", messages=said("another"), extra_headers=headers)
    assert caught.value.code == "idempotency_mismatch"


def test_while_it_runs_only_a_resend_by_an_sdk_joins_and_hanging_up_does_not_call_it_off(yard: Yard):
    key = {"idempotency-key": uuid.uuid4().hex}
    raw = body("hang joined")
    yard.upstream.gate.clear()
    with http(yard) as plain:
        with pytest.raises(httpx2.TransportError):
            plain.post("/v1/chat/completions", content=raw, headers=key, timeout=0.7)
        refused = plain.post("/v1/chat/completions", content=raw, headers=key)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "idempotency_in_flight")
        threading.Timer(0.2, yard.upstream.gate.set).start()
        joined = plain.post("/v1/chat/completions", content=raw, headers=key | {"x-stainless-retry-count": "1"})
    assert joined.status_code == 200
    assert joined.json()["choices"][0]["message"]["content"] == TEXT
    assert yard.upstream.calls_of("hang joined") == 1


def test_an_sdk_whose_first_try_timed_out_gets_its_answer_from_the_running_job(yard: Yard):
    yard.upstream.gate.clear()
    threading.Timer(0.9, yard.upstream.gate.set).start()
    with openai.OpenAI(base_url=yard.base_url, api_key=yard.key, max_retries=3, timeout=0.7) as client:
        answer = client.chat.completions.create(
            model="auto", messages=said("hang resent"), extra_headers={"Idempotency-Key": uuid.uuid4().hex}
        )
    assert answer.choices[0].message.content == TEXT
    assert yard.upstream.calls_of("hang resent") == 1


def test_a_stream_whose_client_comes_again_under_its_key_is_told_from_the_beginning(yard: Yard):
    key, raw = {"idempotency-key": uuid.uuid4().hex}, body("slow again", stream=True)
    yard.upstream.gate.clear()
    again = key | {"x-stainless-retry-count": "1"}
    with http(yard) as plain:
        with plain.stream("POST", "/v1/chat/completions", content=raw, headers=key) as first:
            lines = first.iter_lines()
            assert "One" in next(line for line in lines if "One" in line)
        threading.Timer(0.1, yard.upstream.gate.set).start()
        with plain.stream("POST", "/v1/chat/completions", content=raw, headers=again) as second:
            told = [line for line in second.iter_lines() if line.startswith("data: ")]
        later = [
            line for line in plain.post("/v1/chat/completions", content=raw, headers=key).text.splitlines() if line
        ]
    assert told[-1] == later[-1] == "data: [DONE]"
    assert told == [line for line in later if line.startswith("data: ")]
    assert first.headers["x-tokenyard-job"] == second.headers["x-tokenyard-job"]
    assert yard.upstream.calls_of("slow again") == 1
