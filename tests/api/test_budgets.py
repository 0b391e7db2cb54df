"""Budgets over HTTP: made, read, changed, removed; what a used-up one does to a submit; keys that expire."""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import text

from jobs import ids
from tests.api.caller import JOB, Caller

BUDGET = {"cap_usd": "25.00", "period": "month"}


async def make(caller: Caller, **fields: Any) -> dict[str, Any]:
    response = await caller.call("POST", "/v1/budgets", msgspec.json.encode(BUDGET | fields))
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    assert response.headers["location"] == f"/v1/budgets/{made['id']}"
    return made


async def execute(caller: Caller, statement: str, **names: object) -> None:
    async with caller.database.statement() as connection:
        await connection.execute(text(statement), names)


async def test_a_budget_is_made_read_changed_and_removed(caller: Caller):
    made = await make(caller, alert_percents=[80, 50, 80])
    month = dt.datetime.now(dt.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    assert dt.datetime.fromisoformat(made["period_start"]) == month
    assert dt.datetime.fromisoformat(made["period_end"]).day == 1
    amounts = [made[f"{name}_usd"] for name in ("cap", "settled", "reserved", "remaining")]
    assert [Decimal(amount) for amount in amounts] == [25, 0, 0, 25]
    assert (made["key_id"], made["alert_percents"], made["exhausted_at"]) == (None, [50, 80], None)
    assert await caller.get(f"/v1/budgets/{made['id']}") == made
    assert (await caller.get("/v1/budgets"))["data"] == [made]
    changed = await caller.call("PATCH", f"/v1/budgets/{made['id']}", b'{"cap_usd": "30"}')
    assert changed.json() == made | {"cap_usd": "30.000000000000", "remaining_usd": "30.000000000000"}
    gone = await caller.call("DELETE", f"/v1/budgets/{made['id']}")
    assert gone.json() == {"id": made["id"], "object": "budget", "deleted": True}
    status, error = await caller.problem("GET", f"/v1/budgets/{made['id']}")
    assert (status, error["code"]) == (404, "not_found")


async def test_there_is_one_budget_for_each_period_of_a_tenant_or_key(caller: Caller):
    made = await caller.call("POST", "/v1/keys", b'{"name": "k", "scopes": ["submit"]}')
    key_id = made.json()["id"]
    for whose in ({}, {"key_id": key_id}):
        await make(caller, **whose)
        status, error = await caller.problem("POST", "/v1/budgets", msgspec.json.encode(BUDGET | whose))
        assert (status, error["code"]) == (409, "budget_taken")
        await make(caller, period="day", **whose)
    assert [each["key_id"] for each in (await caller.get("/v1/budgets"))["data"]] == [None, None, key_id, key_id]


async def test_a_wrong_budget_is_refused_with_its_fault(caller: Caller):
    stranger = ids.show("key", uuid.uuid4())
    for fields, status, code in (
        ({"cap_usd": 25}, 400, "invalid_value"),
        ({"cap_usd": "NaN"}, 400, "invalid_value"),
        ({"cap_usd": "-1"}, 400, "invalid_value"),
        ({"cap_usd": "1e-40"}, 400, "invalid_value"),
        ({"cap_usd": "0E+999999999999"}, 400, "invalid_value"),
        ({"cap_usd": "a"}, 400, "invalid_value"),
        ({"period": "year"}, 400, "invalid_value"),
        ({"alert_percents": [0]}, 400, "invalid_value"),
        ({"cap_usd": "1_000"}, 400, "invalid_value"),
        ({"limit": 1}, 400, "unknown_field"),
        ({"key_id": "key_x"}, 400, "invalid_value"),
        ({"key_id": stranger}, 404, "not_found"),
    ):
        found, error = await caller.problem("POST", "/v1/budgets", msgspec.json.encode(BUDGET | fields))
        assert (found, error["code"]) == (status, code), (fields, error)
        if fields == {"period": "year"}:
            assert error["message"].endswith("one of day, month, total")


async def exhaust(caller: Caller, budget: dict[str, Any]) -> None:
    """As the first call does that it refuses."""
    await execute(
        caller,
        "update budgets set exhausted_at = now(), settled_usd = cap_usd where id = :id",
        id=ids.read("budget", budget["id"]),
    )
    caller.front.keys._seen.clear()
    caller.front.allowance._seen.clear()


async def test_a_used_up_budget_refuses_what_cannot_wait_for_its_end(caller: Caller):
    await exhaust(caller, await make(caller, period="day"))
    response = await caller.call("POST", "/v1/jobs", msgspec.json.encode(JOB | {"deadline": soon()}))
    assert (response.status_code, response.json()["error"]["code"]) == (429, "budget_exhausted")
    assert 0 < int(response.headers["retry-after"]) <= 86_400
    later = (dt.datetime.now(dt.UTC) + dt.timedelta(days=1, minutes=1)).isoformat()
    await caller.submit(deadline=later)
    lines = b"\n".join(msgspec.json.encode(JOB | {"deadline": when}) for when in (soon(), later))
    assert (await caller.call("POST", "/v1/jobs/bulk", lines)).status_code == 202
    response = await caller.call("POST", "/v1/jobs/bulk", msgspec.json.encode(JOB | {"deadline": soon()}))
    assert (response.status_code, response.json()["error"]["code"]) == (429, "budget_exhausted")


async def test_a_used_up_total_names_no_time_to_come_back(caller: Caller):
    made = await make(caller, period="total")
    await exhaust(caller, made)
    response = await caller.call("POST", "/v1/jobs", msgspec.json.encode(JOB))
    assert (response.status_code, response.json()["error"]["type"]) == (429, "rate_limit_error")
    assert "retry-after" not in response.headers
    await caller.call("PATCH", f"/v1/budgets/{made['id']}", b'{"cap_usd": "50"}')
    caller.front.allowance._seen.clear()
    await caller.submit()


async def test_a_budget_of_one_key_is_nothing_to_the_others(caller: Caller):
    made = await caller.call("POST", "/v1/keys", b'{"name": "k", "scopes": ["submit"]}')
    await exhaust(caller, await make(caller, period="total", key_id=made.json()["id"]))
    await caller.submit()
    other = Caller(caller.client, caller.front, caller.database, made.json()["key"])
    status, error = await other.problem("POST", "/v1/jobs", msgspec.json.encode(JOB))
    assert (status, error["code"]) == (429, "budget_exhausted")


async def test_a_job_and_its_retry_know_the_key_that_asked(caller: Caller):
    job_id = await caller.submit()
    await caller.bulk(2)
    await caller.call("POST", f"/v1/jobs/{ids.show('job', job_id)}/cancel")
    made = await caller.call("POST", "/v1/keys", b'{"name": "k", "scopes": ["submit"]}')
    other = Caller(caller.client, caller.front, caller.database, made.json()["key"])
    retried = await other.call("POST", f"/v1/jobs/{ids.show('job', job_id)}/retry")
    first = (await caller.get("/v1/keys"))["data"][-1]["id"]
    async with caller.database.statement() as connection:
        found = (await connection.execute(text("select id, key_id from jobs order by id"))).all()
    assert [ids.show("key", row.key_id) for row in found] == [first, first, first, made.json()["id"]]
    assert ids.show("job", found[-1].id) == retried.json()["id"]


async def test_a_key_that_has_expired_opens_nothing(caller: Caller):
    for when in ("2026-01-01T00:00:00Z", "2099-01-01T00:00:00"):
        body = msgspec.json.encode({"name": "k", "scopes": ["read"], "expires_at": when})
        assert (await caller.problem("POST", "/v1/keys", body))[0] == 400
    body = msgspec.json.encode({"name": "k", "scopes": ["read"], "expires_at": "2099-01-01T00:00:00Z"})
    made = (await caller.call("POST", "/v1/keys", body)).json()
    assert made["expires_at"] == "2099-01-01T00:00:00.000Z"
    guest = Caller(caller.client, caller.front, caller.database, made["key"])
    assert (await guest.call("GET", "/v1/jobs")).status_code == 200
    await execute(caller, "update api_keys set expires_at = now() - interval '1 s' where expires_at is not null")
    caller.front.keys._seen.clear()
    status, error = await guest.problem("GET", "/v1/jobs")
    assert (status, error["code"]) == (401, "invalid_api_key")
    assert (await caller.get("/v1/keys"))["data"][0]["is_expired"]


async def test_a_tenant_sees_its_own_limits(caller: Caller):
    found = await caller.get("/v1/tenant")
    assert (found["name"], found["max_queued_jobs"], found["weight"]) == ("default", 1_000_000, 1)


def soon() -> str:
    return (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=30)).isoformat()
