"""One job over HTTP: wait, list, cancel, retry, erase, and nobody else's job."""

import asyncio
from decimal import Decimal

from sqlalchemy import text

from api.jobs import SLOW_POLL_S
from jobs import ids
from jobs.failures import Failure, FailureKind
from jobs.states import Outcome
from jobs.store.rows import Move
from tests.api.caller import Caller, job_path, until
from tests.jobs.store import given


async def test_a_finished_job_shows_result_attempts_and_costs_of_the_ledger(caller: Caller):
    job_id = await caller.submit()
    token = await given.claimed(caller.database, job_id)
    first = await given.attempt(caller.database, job_id, token)
    rejected = given.closing(first, outcome=Outcome.REJECTED, cost_usd=Decimal("0.000000000001"))
    await given.settle(caller.database, Move.close(job_id, token, rejected))
    second = await given.attempt(caller.database, job_id, token)
    pretty = b'{\n  "object": "chat.completion"\n}'
    done = given.closing(second, answer=pretty)
    await given.settle(caller.database, Move.succeed(job_id, token, second, done))
    found = await caller.get(job_path(job_id))
    assert (found["state"], found["result"], found["error"]) == ("succeeded", {"object": "chat.completion"}, None)
    assert (found["cost_usd"], found["cost_complete"]) == ("0.000123400001", True)
    assert [attempt["outcome"] for attempt in found["attempts"]] == ["rejected", "accepted"]
    assert found["attempts"][1]["cost_usd"] == "0.000123400000"
    assert found["attempts"][0]["id"] == ids.show("att", first)
    assert found["finished_at"].endswith("Z")
    (listed,) = (await caller.get("/v1/jobs?state=succeeded"))["data"]
    assert {name: listed[name] for name in listed} == {name: found[name] for name in listed}


async def test_an_unknown_cost_is_never_zero(caller: Caller):
    job_id = await caller.submit()
    await given.succeeded(caller.database, job_id, cost_usd=None, cost_basis="none")
    found = await caller.get(job_path(job_id))
    assert (found["cost_usd"], found["cost_bound_usd"], found["cost_complete"]) == (None, "0.005000000000", False)
    (listed,) = (await caller.get("/v1/jobs"))["data"]
    assert (listed["cost_usd"], listed["cost_bound_usd"], listed["cost_complete"]) == (None, "0.005000000000", False)


async def test_a_failed_job_shows_the_kind_of_its_failure_in_openais_shape(caller: Caller):
    job_id = await caller.submit()
    token = await given.claimed(caller.database, job_id)
    failure = Failure(FailureKind.TIMEOUT, "no answer in 120 s")
    await given.settle(caller.database, Move.fail(job_id, token, failure, None))
    found = await caller.get(job_path(job_id))
    assert found["error"] == {"type": "job_error", "code": "timeout", "message": "no answer in 120 s", "param": None}


async def test_a_waiter_is_woken_by_the_signal(caller: Caller):
    job_id = await caller.submit()
    waiting = asyncio.create_task(caller.get(job_path(job_id, "?wait=30")))
    await until(lambda: bool(caller.front.signals._waiting))
    await given.succeeded(caller.database, job_id)
    async with asyncio.timeout(SLOW_POLL_S * 0.75):  # sooner than the slow poll would find it
        while not waiting.done():
            caller.front.signals.tell_endings({job_id: None})
            await asyncio.wait([waiting], timeout=0.05)
    assert waiting.result()["state"] == "succeeded"


async def test_a_waiter_whose_signal_is_lost_finds_the_row_by_its_slow_poll(caller: Caller):
    job_id = await caller.submit()
    waiting = asyncio.create_task(caller.get(job_path(job_id, "?wait=30")))
    await until(lambda: bool(caller.front.signals._waiting))
    await given.succeeded(caller.database, job_id)
    assert (await asyncio.wait_for(waiting, 10))["state"] == "succeeded"


async def test_a_wait_that_is_over_answers_with_the_job_as_it_is(caller: Caller):
    job_id = await caller.submit()
    assert (await caller.get(job_path(job_id, "?wait=0.05")))["state"] == "queued"
    for wait in ("61", "-1", "nan", "soon"):
        status, _ = await caller.problem("GET", job_path(job_id, f"?wait={wait}"))
        assert status == 400


async def test_pages_go_from_newest_to_oldest_and_end(caller: Caller):
    made = [ids.show("job", await caller.submit()) for _ in range(5)]
    first = await caller.get("/v1/jobs?limit=3")
    second = await caller.get(f"/v1/jobs?limit=3&after={first['last_id']}")
    assert [job["id"] for job in first["data"] + second["data"]] == made[::-1]
    assert (first["has_more"], second["has_more"]) == (True, False)


async def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_is_told(caller: Caller):
    waiting, running, ended = [await caller.submit() for _ in range(3)]
    await given.claimed(caller.database, running)
    await given.succeeded(caller.database, ended)
    said = {}
    for job_id in (waiting, running, ended):
        reply = (await caller.call("POST", job_path(job_id, "/cancel"))).json()
        said[job_id] = (reply["state"], reply["cancel"])
    assert said == {
        waiting: ("cancelled", "done"),
        running: ("running", "requested"),
        ended: ("succeeded", "too_late"),
    }
    assert (await caller.get(job_path(waiting)))["error"]["code"] == "cancelled"


async def test_a_retry_is_a_new_job_with_the_same_request(caller: Caller):
    job_id = await caller.submit(task="t", metadata={"a": "b"})
    status, error = await caller.problem("POST", job_path(job_id, "/retry"))
    assert (status, error["code"]) == (409, "job_not_terminal")
    await given.succeeded(caller.database, job_id)
    response = await caller.call("POST", job_path(job_id, "/retry"))
    assert response.status_code == 202
    new = await caller.get(response.headers["location"])
    assert (new["state"], new["retry_of"], new["task"]) == ("queued", ids.show("job", job_id), "t")
    await given.succeeded(caller.database, ids.read("job", new["id"]))


async def test_a_deleted_job_has_no_prompt_and_no_answer_left_but_its_ledger(caller: Caller):
    job_id = await caller.submit()
    status, error = await caller.problem("DELETE", job_path(job_id))
    assert (status, error["code"]) == (409, "job_not_terminal")
    await given.succeeded(caller.database, job_id)
    for _ in range(2):
        assert (await caller.call("DELETE", job_path(job_id))).status_code == 200
    found = await caller.get(job_path(job_id))
    assert (found["result"], found["cost_usd"]) == (None, "0.000123400000")
    assert found["purged_at"] is not None
    async with caller.database.statement() as connection:
        assert (await connection.execute(text("select count(*) from payloads"))).scalar_one() == 0
    status, error = await caller.problem("POST", job_path(job_id, "/retry"))
    assert (status, error["code"]) == (409, "job_purged")


async def test_a_wrong_query_says_what_to_do(caller: Caller):
    cases = [
        "stat=queued",
        "state=done",
        "limit=0",
        "limit=x",
        "after=job_x",
        "batch=%00",
        "lane=fast",
        "custom_id=%00",
    ]
    for query in cases:
        status, error = await caller.problem("GET", f"/v1/jobs?{query}")
        assert status == 400, query
        assert error["param"], query
