"""POST /v1/jobs/bulk: lines of both forms, bad lines by number, limits, and idempotency."""

import asyncio

import msgspec
import pytest
from sqlalchemy import text

from tests.api.caller import JOB, Caller, answered_before

GOOD = msgspec.json.encode(JOB)
OPENAI = msgspec.json.encode(
    {"custom_id": "o-1", "method": "POST", "url": "/v1/chat/completions", "body": JOB["request"]}
)


async def test_two_thousand_lines_become_a_batch_in_input_order(caller: Caller):
    batch_id = await caller.bulk(2_000)
    batch = await caller.get(f"/v1/batches/{batch_id}")
    assert (batch["total"], batch["counts"]["queued"], batch["cost_usd"]) == (2_000, 2_000, "0.000000000000")
    response = await caller.call("GET", f"/v1/batches/{batch_id}/results")
    lines = [msgspec.json.decode(line) for line in response.text.splitlines()]
    assert [line["custom_id"] for line in lines] == [f"q-{n}" for n in range(2_000)]


async def test_openai_batch_lines_blank_lines_and_line_ends_of_windows_are_taken(caller: Caller):
    response = await caller.call("POST", "/v1/jobs/bulk", b"\r\n".join([OPENAI, b"", GOOD, b"  ", b""]))
    assert response.status_code == 202, response.text
    assert response.json()["total"] == 2
    assert (await caller.get("/v1/jobs?custom_id=o-1"))["data"][0]["lane"] == "bulk"


def openai_line(**riding: object) -> bytes:
    """OpenAI's batch line with fields of ours in its body."""
    body = {"custom_id": "r-1", "method": "POST", "url": "/v1/chat/completions", "body": JOB["request"] | riding}
    return msgspec.json.encode(body)


async def test_our_fields_ride_in_the_body_of_openais_lines_and_are_taken_out_of_it(caller: Caller):
    riding = {"task": "triage", "intent": {"max_cost_usd": "0.5"}, "metadata": {"team": "a"}, "strict": True}
    response = await caller.call("POST", "/v1/jobs/bulk", openai_line(**riding, temperature=0.5))
    assert response.status_code == 202, response.text
    async with caller.database.statement() as connection:
        found = await connection.execute(
            text("select task, intent, metadata, strict, custom_id, body from jobs join payloads using (id)")
        )
        row = found.one()
    assert (row.task, row.metadata, row.strict, row.custom_id) == ("triage", {"team": "a"}, True, "r-1")
    assert row.intent["max_cost_usd"] == "0.5"
    assert msgspec.json.decode(bytes(row.body)) == JOB["request"] | {"temperature": 0.5}


@pytest.mark.parametrize("name", ["lane", "deadline", "webhook", "custom_id"])
async def test_what_a_batch_has_for_all_its_lines_does_not_ride_in_one(caller: Caller, name: str):
    _, error = await caller.problem("POST", "/v1/jobs/bulk", openai_line(**{name: "bulk"}))
    (detail,) = error["details"]
    assert (detail["code"], detail["param"]) == ("unknown_field", f"body.{name}")


async def test_a_name_that_the_record_cannot_hold_is_refused_in_a_line_of_openais_form(caller: Caller):
    line = msgspec.json.decode(OPENAI) | {"custom_id": "a\0b"}
    _, error = await caller.problem("POST", "/v1/jobs/bulk", msgspec.json.encode(line))
    (detail,) = error["details"]
    assert (detail["code"], detail["param"]) == ("invalid_value", "custom_id")


async def test_a_wrong_field_of_ours_in_a_line_is_named(caller: Caller):
    _, error = await caller.problem("POST", "/v1/jobs/bulk", openai_line(intent={"max_cost": 1}))
    (detail,) = error["details"]
    assert (detail["code"], detail["param"]) == ("unknown_field", "intent.max_cost")
    assert "max_cost_usd" in detail["message"]


async def test_one_bad_line_refuses_the_whole_and_is_named_by_number(caller: Caller):
    status, error = await caller.problem("POST", "/v1/jobs/bulk", b"\n".join([GOOD, b"", b'{"tsak": 1}', GOOD]))
    assert (status, error["code"]) == (400, "invalid_lines")
    assert [(detail["line"], detail["code"]) for detail in error["details"]] == [(3, "unknown_field")]
    assert (await caller.get("/v1/jobs"))["data"] == []


async def test_only_the_first_hundred_bad_lines_are_named(caller: Caller):
    _, error = await caller.problem("POST", "/v1/jobs/bulk", b"x\n" * 250)
    assert len(error["details"]) == 100
    assert "250" in error["message"]


async def test_with_skip_the_good_lines_are_accepted_and_the_bad_reported(caller: Caller):
    response = await caller.call("POST", "/v1/jobs/bulk?on_error=skip", b"\n".join([GOOD, b"nonsense", GOOD]))
    made = response.json()
    assert (response.status_code, made["total"], made["skipped"]) == (202, 2, 1)
    assert made["errors"][0]["line"] == 2
    assert (await caller.get(f"/v1/batches/{made['id']}"))["skipped"] == 1


async def test_query_parameters_are_the_defaults_of_lines_that_do_not_say(caller: Caller):
    own = msgspec.json.encode(JOB | {"task": "own", "lane": "interactive"})
    path = "/v1/jobs/bulk?lane=standard&task=shared&policy=maker/small"
    response = await caller.call("POST", path, b"\n".join([GOOD, own]))
    assert response.status_code == 202, response.text
    second, first = (await caller.get("/v1/jobs"))["data"]
    assert (first["lane"], first["task"], first["policy"]) == ("standard", "shared", "maker/small")
    assert (second["lane"], second["task"]) == ("interactive", "own")


async def test_a_bulk_submit_knows_its_limits(caller: Caller):
    cases = [
        ("", b"", 400, "invalid_lines"),
        ("", b"\n\n", 400, "invalid_lines"),
        ("", (GOOD + b"\n") * 3_001, 413, "too_many_lines"),
        ("", b" " * 2_000_001, 413, "body_too_large"),
        ("", b"[" + b" " * 200_000, 413, "body_too_large"),
        ("?on_error=maybe", GOOD, 400, "invalid_value"),
        ("?deadline=tomorrow", GOOD, 400, "invalid_value"),
        ("?task=%00", GOOD, 400, "invalid_value"),
        ("?lnae=bulk", GOOD, 400, "unknown_field"),
        ("?policy=nobody", GOOD, 400, "invalid_lines"),
    ]
    for query, body, status, code in cases:
        found, error = await caller.problem("POST", f"/v1/jobs/bulk{query}", body)
        assert (found, error["code"]) == (status, code), (query, body[:40], error)


async def test_a_bulk_submit_sent_twice_under_one_key_is_one_batch(caller: Caller):
    body = b"\n".join([GOOD] * 50)
    answers = await asyncio.gather(
        *(caller.call("POST", "/v1/jobs/bulk", body, idempotency_key="bulk-1") for _ in range(5))
    )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    async with caller.database.statement() as connection:
        assert (await connection.execute(text("select count(*) from jobs"))).scalar_one() == 50


async def test_a_resend_gets_the_first_answer_though_the_queue_is_full_by_now(caller: Caller):
    async with caller.database.transaction() as connection:
        await connection.execute(text("update tenants set max_queued_jobs = 1"))
    first = await caller.call("POST", "/v1/jobs/bulk", GOOD, idempotency_key="full")
    again = await caller.call("POST", "/v1/jobs/bulk", GOOD, idempotency_key="full")
    assert (first.status_code, again.status_code, again.content) == (202, 202, first.content)
    assert again.headers["location"] == first.headers["location"]
    status, error = await caller.problem("POST", "/v1/jobs/bulk", GOOD + b"\n", idempotency_key="full")
    assert (status, error["code"]) == (422, "idempotency_mismatch")
    status, error = await caller.problem("POST", "/v1/jobs/bulk", GOOD, idempotency_key="fresh")
    assert (status, error["code"]) == (429, "queue_full")


async def test_a_resend_gets_the_first_answer_though_its_lines_would_be_refused_by_now(caller: Caller):
    past = msgspec.json.encode(JOB | {"deadline": "2026-01-01T00:00:00Z"})
    renamed = msgspec.json.encode(JOB | {"policy": "renamed-since"})
    for key, body in (("past", past), ("renamed", renamed), ("limit", (GOOD + b"\n") * 3_001)):
        given_then = await answered_before(caller, "/v1/jobs/bulk", key, body)
        response = await caller.call("POST", "/v1/jobs/bulk", body, idempotency_key=key)
        assert (response.status_code, response.content) == (202, given_then), key
        await caller.problem("POST", "/v1/jobs/bulk", body)


# A cancelled statement is what a time-out makes of it.
@pytest.mark.parametrize("end", ["pg_terminate_backend", "pg_cancel_backend"])
async def test_a_copy_ended_in_its_middle_is_a_503_and_nothing_was_written(caller: Caller, end: str):
    copying = text(
        "select pid from pg_stat_activity where datname = current_database()"
        " and wait_event_type = 'Lock' and query like 'copy payloads%'"
    )
    async with caller.database.transaction() as holder:
        await holder.execute(text("lock table payloads in exclusive mode"))
        sending = asyncio.create_task(caller.call("POST", "/v1/jobs/bulk", b"\n".join([GOOD] * 50)))
        async with caller.database.statement() as connection:
            for _ in range(500):
                if (pid := (await connection.execute(copying)).scalar_one_or_none()) is not None:
                    break
                await asyncio.sleep(0.005)
            assert pid is not None, "the copy never came to the payloads"
            await connection.execute(text(f"select {end}(:pid)"), {"pid": pid})
        response = await sending
    assert (response.status_code, response.json()["error"]["code"]) == (503, "store_unavailable")
    assert int(response.headers["retry-after"]) > 0
    async with caller.database.statement() as connection:
        for table in ("jobs", "payloads", "batches"):
            assert (await connection.execute(text(f"select count(*) from {table}"))).scalar_one() == 0
    await caller.bulk(1)
