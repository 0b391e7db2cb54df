"""Batches over HTTP: counts, results in input order, cancel, retry, and nobody else's batch."""

import asyncio

import msgspec
from sqlalchemy import text

from jobs import ids
from jobs.failures import Failure, FailureKind
from jobs.store.rows import Move
from jobs.store.submit import Batch, insert, insert_batch
from jobs.store.uuid7 import uuid7
from tests.api.caller import Caller
from tests.jobs.store import given


async def test_results_join_each_job_with_its_own_answer_and_cost(caller: Caller):
    batch_id = await caller.bulk(4)
    members = (await caller.get(f"/v1/jobs?batch={batch_id}"))["data"][::-1]
    answer = b'{\n"object": "chat.completion"}'
    for member in (members[3], members[1]):
        await given.succeeded(caller.database, ids.read("job", member["id"]), answer=answer)
    response = await caller.call("GET", f"/v1/batches/{batch_id}/results")
    lines = [msgspec.json.decode(line) for line in response.text.splitlines()]
    assert response.headers["content-type"] == "application/x-ndjson"
    assert [(line["custom_id"], line["state"], line["result"] is not None) for line in lines] == [
        ("q-0", "queued", False),
        ("q-1", "succeeded", True),
        ("q-2", "queued", False),
        ("q-3", "succeeded", True),
    ]
    assert [line["cost_usd"] for line in lines[:2]] == ["0.000000000000", "0.000123400000"]
    batch = await caller.get(f"/v1/batches/{batch_id}")
    assert (batch["counts"]["succeeded"], batch["cost_usd"], batch["calls"]) == (2, "0.000246800000", 2)
    assert batch["eta_s"] == 60.0
    assert batch["finished_at"] is None


async def test_a_cancelled_batch_ends_what_waits_and_tells_what_runs(caller: Caller):
    batch_id = await caller.bulk(3)
    members = (await caller.get(f"/v1/jobs?batch={batch_id}"))["data"]
    await given.claimed(caller.database, ids.read("job", members[0]["id"]))
    reply = (await caller.call("POST", f"/v1/batches/{batch_id}/cancel")).json()
    assert (reply["cancelled"], reply["cancel_requested"]) == (2, 1)
    batch = await caller.get(f"/v1/batches/{batch_id}")
    assert (batch["counts"]["cancelled"], batch["counts"]["running"]) == (2, 1)
    assert (batch["status"], batch["cancelling_at"] >= batch["created_at"]) == ("cancelling", True)


async def test_a_batch_is_retried_by_state_as_a_new_batch(caller: Caller):
    batch_id = await caller.bulk(3)
    status, error = await caller.problem("POST", f"/v1/batches/{batch_id}/retry")
    assert (status, error["code"]) == (409, "nothing_to_retry")
    members = (await caller.get(f"/v1/jobs?batch={batch_id}"))["data"][::-1]
    for member in members[1:]:
        job_id = ids.read("job", member["id"])
        token = await given.claimed(caller.database, job_id)
        await given.settle(caller.database, Move.fail(job_id, token, Failure(FailureKind.TIMEOUT, "late"), None))
    response = await caller.call("POST", f"/v1/batches/{batch_id}/retry?state=failed&state=expired")
    assert (response.status_code, response.json()["total"]) == (202, 2)
    again = (await caller.get(f"/v1/jobs?batch={response.json()['id']}"))["data"][::-1]
    assert [job["retry_of"] for job in again] == [member["id"] for member in members[1:]]
    assert [job["custom_id"] for job in again] == ["q-1", "q-2"]
    status, _ = await caller.problem("POST", f"/v1/batches/{batch_id}/retry?state=queued")
    assert status == 400


async def test_more_retries_at_once_than_there_are_connections_all_succeed(caller: Caller):
    tenant_id = await given.tenant(caller.database)
    batches = [Batch(id=uuid7(), tenant_id=tenant_id, total=1) for _ in range(30)]
    rows = [given.submission(tenant_id, batch_id=batch.id, batch_seq=0) for batch in batches]
    async with caller.database.transaction() as connection:
        for batch in batches:
            await insert_batch(connection, batch)
        await insert(connection, rows)
        await connection.execute(text("update jobs set state = 'failed', finished_at = now()"))
    # The first of this tenant: each of them has to count its queue, which takes a connection.
    paths = [f"/v1/batches/{ids.show('batch', batch.id)}/retry" for batch in batches]
    answers = await asyncio.gather(*(caller.call("POST", path) for path in paths))
    assert [answer.status_code for answer in answers] == [202] * 30
