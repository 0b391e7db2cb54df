"""Batches, with the official client: made of a file, followed, cancelled, and their outputs read."""

import datetime as dt
from typing import Any

import msgspec
import openai
import pytest
from sqlalchemy import text

from jobs import ids
from jobs.failures import Failure, FailureKind
from jobs.store.rows import Move
from tests.api.caller import Caller
from tests.api.fronts.clients import official
from tests.jobs.store import given

CHAT = {"model": "auto", "messages": [{"role": "user", "content": "I lost my card"}]}
LINE = {"method": "POST", "url": "/v1/chat/completions", "body": CHAT}


def jsonl(*lines: object) -> bytes:
    return b"\n".join(msgspec.json.encode(line) for line in lines)


async def upload(caller: Caller, *lines: object) -> str:
    made = await official(caller).files.create(file=("lines.jsonl", jsonl(*lines)), purpose="batch")
    return made.id


async def create(caller: Caller, count: int, **changes: object) -> openai.types.Batch:
    file_id = await upload(caller, *(LINE | {"custom_id": f"q-{n}"} for n in range(count)))
    wanted: Any = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return await official(caller).batches.create(**wanted | changes)


async def members(caller: Caller, batch_id: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = (await caller.get(f"/v1/jobs?batch={batch_id}"))["data"]
    return found[::-1]


async def fail(caller: Caller, job_id: str, kind: FailureKind) -> None:
    wanted = ids.read("job", job_id)
    token = await given.claimed(caller.database, wanted)
    await given.settle(caller.database, Move.fail(wanted, token, Failure(kind, "the provider refused it"), None))


async def test_a_batchs_lines_are_jobs_of_the_bulk_lane_with_its_deadline(caller: Caller):
    batch = await create(caller, 3, metadata={"run": "7"}, completion_window="3d")
    assert (batch.status, batch.endpoint, batch.metadata) == ("in_progress", "/v1/chat/completions", {"run": "7"})
    assert batch.request_counts is not None
    assert batch.request_counts.model_dump() == {"total": 3, "completed": 0, "failed": 0}
    jobs = await members(caller, batch.id)
    assert [(job["lane"], job["custom_id"]) for job in jobs] == [("bulk", f"q-{n}") for n in range(3)]
    assert batch.expires_at is not None
    deadlines = {dt.datetime.fromisoformat(str(job["deadline_at"])).timestamp() // 1 for job in jobs}
    assert deadlines == {batch.expires_at}
    assert abs(batch.expires_at - batch.created_at - 3 * 86_400) <= 1


async def test_the_outputs_hold_each_line_once_where_it_belongs(caller: Caller):
    client, batch = official(caller), await create(caller, 5)
    jobs = await members(caller, batch.id)
    assert (await client.batches.retrieve(batch.id)).output_file_id is None
    answer = b'{\n"object": "chat.completion", "x": "\\u2028"}'
    for job in (jobs[3], jobs[0]):
        await given.succeeded(caller.database, ids.read("job", str(job["id"])), answer=answer)
    await fail(caller, str(jobs[1]["id"]), FailureKind.BAD_REQUEST)
    await fail(caller, str(jobs[2]["id"]), FailureKind.TRANSIENT)
    async with caller.database.transaction() as connection:
        await connection.execute(text("update jobs set state = 'expired', finished_at = now() where state = 'queued'"))
    done = await client.batches.retrieve(batch.id)
    assert (done.status, done.request_counts and done.request_counts.model_dump()) == (
        "expired",
        {"total": 5, "completed": 2, "failed": 3},
    )
    assert done.output_file_id is not None
    assert done.error_file_id is not None
    good = await client.files.content(done.output_file_id)
    lines = [msgspec.json.decode(line) for line in good.content.splitlines()]
    assert [(line["custom_id"], line["response"]["status_code"], line["error"]) for line in lines] == [
        ("q-0", 200, None),
        ("q-3", 200, None),
    ]
    assert lines[0]["response"]["body"] == msgspec.json.decode(answer)
    bad = await client.files.content(done.error_file_id)
    told = {line["custom_id"]: line for line in map(msgspec.json.decode, bad.content.splitlines())}
    assert {name: (line["response"] or {}).get("status_code") for name, line in told.items()} == {
        "q-1": 400,
        "q-2": 502,
        "q-4": None,
    }
    assert told["q-4"]["error"]["code"] == "batch_expired"
    assert told["q-1"]["response"]["body"]["error"]["code"] == "bad_request"
    output = await client.files.retrieve(done.output_file_id)
    assert (output.bytes, output.purpose) == (len(good.content), "batch_output")
    assert {file.id async for file in client.files.list(purpose="batch_output")} == {output.id, done.error_file_id}


async def test_a_cancelled_batch_says_so_and_its_lines_too(caller: Caller):
    client, batch = official(caller), await create(caller, 2)
    running = (await members(caller, batch.id))[0]
    token = await given.claimed(caller.database, ids.read("job", str(running["id"])))
    assert (await client.batches.cancel(batch.id)).status == "cancelling"
    await given.settle(caller.database, Move.cancel(ids.read("job", str(running["id"])), token, None))
    done = await client.batches.retrieve(batch.id)
    assert (done.status, done.output_file_id) == ("cancelled", None)
    assert done.error_file_id is not None
    lines = (await client.files.content(done.error_file_id)).content.splitlines()
    assert [msgspec.json.decode(line)["error"]["code"] for line in lines] == ["batch_cancelled"] * 2


async def test_wrong_lines_fail_the_batch_by_their_numbers_and_no_job_is_made(caller: Caller):
    wrong = [
        LINE | {"custom_id": "a"},
        LINE,
        LINE | {"custom_id": "a"},
        LINE | {"custom_id": "b", "url": "/v1/embeddings"},
        LINE | {"custom_id": "c", "body": CHAT | {"model": "maker/nobody"}},
    ]
    file_id = await upload(caller, *wrong)
    batch = await official(caller).batches.create(
        input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert batch.status == "failed"
    assert batch.errors is not None
    assert [(error.line, error.code) for error in batch.errors.data or []] == [
        (2, "missing_field"),
        (3, "invalid_value"),
        (4, "invalid_value"),
        (5, "model_not_found"),
    ]
    assert (await caller.get("/v1/jobs"))["data"] == []
    assert await official(caller).batches.retrieve(batch.id) == batch


@pytest.mark.parametrize(
    ("changes", "error", "param"),
    [
        ({"endpoint": "/v1/embeddings"}, openai.BadRequestError, "endpoint"),
        ({"completion_window": "soon"}, openai.BadRequestError, "completion_window"),
        ({"completion_window": "9999d"}, openai.BadRequestError, "completion_window"),
        ({"input_file_id": "file_00000000000000000000000000"}, openai.NotFoundError, "input_file_id"),
        ({"input_file_id": "file-abc"}, openai.BadRequestError, "input_file_id"),
        ({"metadata": {"x": "y" * 600}}, openai.BadRequestError, "metadata"),
        ({"extra_body": {"colour": "red"}}, openai.BadRequestError, "colour"),
    ],
)
async def test_a_wrong_wish_is_refused_with_its_field(caller: Caller, changes, error, param):
    with pytest.raises(error) as refused:
        await create(caller, 1, **changes)
    assert str(refused.value.param or "").startswith(param)


async def test_a_batch_asked_for_twice_under_one_key_is_one(caller: Caller):
    file_id = await upload(caller, LINE | {"custom_id": "a"})
    made = [
        await official(caller).batches.create(
            input_file_id=file_id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            extra_headers={"idempotency-key": "once"},
        )
        for _ in range(2)
    ]
    assert made[0].id == made[1].id
    assert len((await caller.get("/v1/jobs"))["data"]) == 1


async def test_batches_are_listed_in_pages_bulk_submits_too_and_only_ones_own(caller: Caller, stranger: Caller):
    made = [(await create(caller, 1)).id, await caller.bulk(2), (await create(caller, 1)).id]
    assert [batch.id async for batch in official(caller).batches.list(limit=2)] == made[::-1]
    assert [batch.id async for batch in official(stranger).batches.list()] == []
    with pytest.raises(openai.NotFoundError):
        await official(stranger).batches.retrieve(made[0])
    mine = await official(stranger).files.create(file=("a", jsonl(LINE | {"custom_id": "a"})), purpose="batch")
    with pytest.raises(openai.NotFoundError):
        await official(caller).batches.create(
            input_file_id=mine.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
