"""POST /v1/jobs: what is accepted, what is refused and how, idempotency, keys and scopes."""

import asyncio
import uuid
from contextlib import suppress
from typing import Any

import httpx2
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import text

from api.app import create_with, lifespan
from api.problems import Problem
from api.riders import read_line
from jobs import ids
from jobs.lanes import Lane
from jobs.settings import Provider, Settings
from jobs.store.session import Database
from tests.api.caller import JOB, Caller, answered_before, job_path
from tests.api.conftest import make_key


async def row_of(caller: Caller, job_id: uuid.UUID) -> Any:
    async with caller.database.statement() as connection:
        return (await connection.execute(text("select * from jobs where id = :id"), {"id": job_id})).one()


async def test_a_job_is_committed_before_its_202(caller: Caller):
    response = await caller.call("POST", "/v1/jobs", msgspec.json.encode(JOB | {"custom_id": "q-17"}))
    assert response.status_code == 202
    assert response.headers["location"] == f"/v1/jobs/{response.json()['id']}"
    row = await row_of(caller, ids.read("job", response.json()["id"]))
    assert (row.state, row.lane, row.policy, row.custom_id, row.released_at) == (
        "queued",
        "standard",
        "auto",
        "q-17",
        None,
    )


async def test_the_request_is_kept_byte_for_byte(caller: Caller):
    request = b'{ "messages":[{"content":"a\\u0000b\\u00e9" , "role":"user"}],"x_new":1.10 }'
    response = await caller.call("POST", "/v1/jobs", b'{"request":' + request + b',"task":"t"}')
    assert response.status_code == 202, response.text
    async with caller.database.statement() as connection:
        assert bytes((await connection.execute(text("select body from payloads"))).scalar_one()) == request


async def test_an_interactive_job_is_released_and_its_bell_rung(caller: Caller):
    job_id = await caller.submit(lane="interactive")
    assert (await row_of(caller, job_id)).released_at is not None
    bells = caller.front.ring._bells
    for _ in range(200):
        if await asyncio.to_thread(bells.depth, Lane.INTERACTIVE):
            return
        await asyncio.sleep(0.02)
    pytest.fail("no bell was rung in 4 s")


BAD: list[tuple[bytes, int, str, str | None]] = [
    (b"", 400, "invalid_json", None),
    (b"{", 400, "invalid_json", None),
    (b"[]", 400, "invalid_value", None),
    (b'{"a": NaN}', 400, "invalid_json", None),
    (b'{"a": 1e999}', 400, "invalid_json", None),
    (b'{"a": ' + b"9" * 5000 + b"}", 400, "invalid_json", None),
    (b'{"a": "\\ud800"}', 400, "invalid_json", None),
    (b'{"a": "\xff"}', 400, "invalid_json", None),
    (b'{"a": "\xed\xa0\x80"}', 400, "invalid_json", None),
    (b'{"a":' * 100 + b"1" + b"}" * 100, 400, "too_deep", None),
    (b'{"a":' + b"[" * 90_000 + b"]" * 90_000 + b"}", 400, "too_deep", None),
    (b'{"task": "a", "task": "b", "request": {}}', 400, "duplicate_key", None),
    (b'{"request": {"messages": [{"role": "user", "role": "system", "content": ":"}]}}', 400, "duplicate_key", None),
    (b"x" * 200_001, 413, "body_too_large", None),
    (b'{"task": "a"}', 400, "missing_field", "request"),
    (b'{"model": "auto", "messages": []}', 400, "missing_field", "request"),
    (b'{"custom_id": "a", "body": {}}', 400, "missing_field", "request"),
    (b'{"request": []}', 400, "invalid_value", "request"),
    (b'{"request": {"messages": []}}', 400, "invalid_value", "request.messages"),
    (b'{"request": {"messages": [1]}}', 400, "invalid_value", "request.messages[0]"),
]


async def test_a_wrong_body_is_answered_with_its_fault(caller: Caller):
    for body, status, code, param in BAD:
        found_status, error = await caller.problem("POST", "/v1/jobs", body)
        assert (found_status, error["code"], error["param"]) == (status, code, param), (body[:60], error)


BAD_FIELDS: list[tuple[dict[str, Any], int, str, str]] = [
    ({"tsak": "a"}, 400, "unknown_field", "tsak"),
    ({"webhook": "wh_1"}, 400, "invalid_value", "webhook"),
    ({"webhook": "wh_" + "0" * 26}, 400, "webhook_not_found", "webhook"),
    ({"lane": "quarantine"}, 400, "invalid_value", "lane"),
    ({"lane": 3}, 400, "invalid_value", "lane"),
    ({"task": "a\0b"}, 400, "invalid_value", "task"),
    ({"custom_id": "\0"}, 400, "invalid_value", "custom_id"),
    ({"metadata": {"a": "\0"}}, 400, "invalid_value", "metadata"),
    ({"metadata": {str(n): "" for n in range(17)}}, 400, "invalid_value", "metadata"),
    ({"metadata": {"a": 1}}, 400, "invalid_value", "metadata[...]"),
    ({"deadline": "2020-01-01T00:00:00Z"}, 400, "invalid_value", "deadline"),
    ({"deadline": "2026-12-01T00:00:00"}, 400, "invalid_value", "deadline"),
    ({"deadline": "9999-12-31T23:59:59Z"}, 400, "invalid_value", "deadline"),
    ({"intent": {"max_cost_usd": "NaN"}}, 400, "invalid_value", "intent.max_cost_usd"),
    ({"intent": {"max_cost_usd": "Infinity"}}, 400, "invalid_value", "intent.max_cost_usd"),
    ({"intent": {"max_cost_usd": "-1"}}, 400, "invalid_value", "intent.max_cost_usd"),
    ({"intent": {"max_cost_usd": "1e-40"}}, 400, "invalid_value", "intent.max_cost_usd"),
    ({"intent": {"max_latency_ms": 0}}, 400, "invalid_value", "intent.max_latency_ms"),
    ({"intent": {"min_accuracy": 1.1}}, 400, "invalid_value", "intent.min_accuracy"),
    ({"intent": {"max_costs_usd": "1"}}, 400, "unknown_field", "intent.max_costs_usd"),
    ({"intent": {"require": {"region": "\0"}}}, 400, "invalid_value", "intent.require.region"),
    ({"policy": "atuo"}, 400, "model_not_found", "policy"),
    ({"request": JOB["request"] | {"model": "maker/smal"}}, 400, "model_not_found", "request.model"),
    ({"request": JOB["request"] | {"model": "a\0b"}}, 400, "invalid_value", "request.model"),
    ({"intent": {"max_cost_usd": "0.000001"}}, 422, "intent_infeasible", "intent"),
]


async def test_a_wrong_field_is_named(caller: Caller):
    for fields, status, code, param in BAD_FIELDS:
        found_status, error = await caller.problem("POST", "/v1/jobs", msgspec.json.encode(JOB | fields))
        assert (found_status, error["code"], error["param"]) == (status, code, param), (fields, error)


async def test_an_unknown_field_names_the_nearest_known_one(caller: Caller):
    _, error = await caller.problem("POST", "/v1/jobs", msgspec.json.encode(JOB | {"tsak": "a"}))
    assert "'task'" in error["message"]


async def test_what_was_feasible_small_is_judged_again_when_it_is_large(caller: Caller):
    await caller.submit()
    large: dict[str, Any] = {"request": {"messages": [{"role": "user", "content": "word " * 20_000}]}}
    status, error = await caller.problem("POST", "/v1/jobs", msgspec.json.encode(large))
    assert (status, error["code"]) == (422, "intent_infeasible")
    large["request"]["model"] = "maker/small"
    status, error = await caller.problem("POST", "/v1/jobs", msgspec.json.encode(large))
    assert (status, error["code"], error["param"]) == (400, "context_length_exceeded", "request.messages")


async def test_a_compressed_body_is_refused(caller: Caller):
    status, error = await caller.problem("POST", "/v1/jobs", b"\x1f\x8b", content_encoding="gzip")
    assert (status, error["code"]) == (400, "unsupported")


async def test_twenty_parallel_submits_with_one_key_make_one_job(caller: Caller):
    body = msgspec.json.encode(JOB)
    answers = await asyncio.gather(*(caller.call("POST", "/v1/jobs", body, idempotency_key="once") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert len((await caller.get("/v1/jobs"))["data"]) == 1


async def test_another_body_under_a_used_idempotency_key_is_refused(caller: Caller):
    await caller.call("POST", "/v1/jobs", msgspec.json.encode(JOB), idempotency_key="k")
    body = msgspec.json.encode(JOB | {"task": "other"})
    status, error = await caller.problem("POST", "/v1/jobs", body, idempotency_key="k")
    assert (status, error["code"]) == (422, "idempotency_mismatch")
    status, error = await caller.problem("POST", "/v1/jobs", body, idempotency_key="x" * 300)
    assert (status, error["code"]) == (400, "invalid_value")


async def test_a_resend_gets_the_first_answer_though_the_queue_is_full_by_now(caller: Caller):
    async with caller.database.transaction() as connection:
        await connection.execute(text("update tenants set max_queued_jobs = 1"))
    body = msgspec.json.encode(JOB)
    first = await caller.call("POST", "/v1/jobs", body, idempotency_key="full")
    again = await caller.call("POST", "/v1/jobs", body, idempotency_key="full")
    assert (first.status_code, again.status_code, again.content) == (202, 202, first.content)
    assert again.headers["location"] == first.headers["location"]
    status, error = await caller.problem("POST", "/v1/jobs", body + b" ", idempotency_key="full")
    assert (status, error["code"]) == (422, "idempotency_mismatch")
    status, error = await caller.problem("POST", "/v1/jobs", body, idempotency_key="fresh")
    assert (status, error["code"]) == (429, "queue_full")


async def test_a_resend_gets_the_first_answer_though_it_would_be_refused_by_now(caller: Caller):
    for field in ({"deadline": "2026-01-01T00:00:00Z"}, {"policy": "renamed-since"}, {"field_of_then": 1}):
        body, key = msgspec.json.encode(JOB | field), next(iter(field))
        given_then = await answered_before(caller, "/v1/jobs", key, body)
        response = await caller.call("POST", "/v1/jobs", body, idempotency_key=key)
        assert (response.status_code, response.content) == (202, given_then), key
        await caller.problem("POST", "/v1/jobs", body)


async def test_a_full_queue_is_a_429_with_retry_after(caller: Caller):
    async with caller.database.transaction() as connection:
        await connection.execute(text("update tenants set max_queued_jobs = 2"))
    for _ in range(2):
        await caller.submit()
    response = await caller.call("POST", "/v1/jobs", msgspec.json.encode(JOB))
    assert (response.status_code, response.json()["error"]["code"]) == (429, "queue_full")
    assert int(response.headers["retry-after"]) > 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "request",
        "body",
        "method",
        "url",
        "task",
        "lane",
        "policy",
        "intent",
        "deadline",
        "strict",
        "custom_id",
        "metadata",
    ]
)


@given(st.binary(max_size=60) | st.dictionaries(FIELDS, JSON).map(msgspec.json.encode))
@settings(max_examples=150, deadline=None)
def test_whatever_is_sent_reading_it_ends_in_a_wish_or_a_problem(body: bytes):
    with suppress(Problem):
        assert read_line(body).request.messages


@given(st.dictionaries(FIELDS, JSON))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_field_whatever_its_value_makes_a_500(caller: Caller, fields: dict[str, Any]):
    body = msgspec.json.encode(JOB | fields)
    response = await caller.call("POST", "/v1/jobs", body)
    assert response.status_code in {202, 400, 422}, response.text


async def test_a_submitted_job_can_be_fetched_at_its_location(caller: Caller):
    job_id = await caller.submit(metadata={"ticket": "42"}, intent={"max_cost_usd": "0.01"})
    found = await caller.get(job_path(job_id))
    assert (found["state"], found["metadata"]) == ("queued", {"ticket": "42"})
    assert found["intent"]["max_cost_usd"] == "0.01"


async def test_a_schema_that_is_none_is_refused_with_its_place(caller: Caller):
    wrong = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"properties": {"a": {"type": "strnig"}}}}}
    request = JOB["request"] | {"response_format": wrong}
    status, error = await caller.problem("POST", "/v1/jobs", msgspec.json.encode({"request": request}))
    assert (status, error["code"]) == (400, "invalid_value")
    assert error["param"] == "request.response_format.json_schema.schema.properties.a.type"


async def test_a_strict_job_is_refused_where_every_candidate_would_change_it(settings: Settings, database: Database):
    spoken = replace(settings, providers={"lab": Provider(dialect="anthropic", base_url="http://127.0.0.1:9")})
    app = create_with(spoken)
    async with lifespan(spoken)(app):
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://yard") as client:
            caller = Caller(client, app.state.front, database, await make_key(database, "default"))
            seeded = {"request": JOB["request"] | {"seed": 7, "max_tokens": 5}}
            await caller.submit(**seeded)
            await caller.submit(request=JOB["request"] | {"max_tokens": 5}, strict=True)
            status, error = await caller.problem("POST", "/v1/jobs", msgspec.json.encode(seeded | {"strict": True}))
    assert (status, error["code"]) == (422, "intent_infeasible")
    assert "seed dropped" in error["message"]
