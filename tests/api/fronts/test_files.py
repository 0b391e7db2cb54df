"""Files, with the official client: up, listed, down, deleted, byte for byte; and what is refused."""

import asyncio

import msgspec
import openai
import pytest

from jobs import ids
from jobs.store import files
from tests.api.caller import Caller
from tests.api.fronts.clients import official

LINE = {"custom_id": "q-0", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "auto", "messages": []}}


def lines(count: int) -> bytes:
    return b"\n".join(msgspec.json.encode(LINE | {"custom_id": f"q-{n}"}) for n in range(count))


async def test_a_file_comes_back_as_it_was_sent(caller: Caller, monkeypatch: pytest.MonkeyPatch):
    client, body = official(caller), lines(500) + b"\r\n\r\n"
    monkeypatch.setattr("api.fronts.files.PART_BYTES", 1_000)
    made = await client.files.create(file=("li nes\N{SNOWMAN}.jsonl", body), purpose="batch")
    assert (made.bytes, made.purpose, made.filename, made.status) == (
        len(body),
        "batch",
        "li nes\N{SNOWMAN}.jsonl",
        "processed",
    )
    assert (await client.files.content(made.id)).content == body
    assert await client.files.retrieve(made.id) == made
    assert made.expires_at is not None
    assert made.expires_at - made.created_at == 30 * 86_400


async def test_files_are_listed_in_pages_in_either_order(caller: Caller, stranger: Caller):
    client = official(caller)
    made = [(await client.files.create(file=(f"{n}.jsonl", lines(1)), purpose="batch")).id for n in range(3)]
    assert [file.id async for file in client.files.list(limit=2)] == made[::-1]
    assert [file.id async for file in client.files.list(limit=2, order="asc")] == made
    assert [file.id async for file in client.files.list(purpose="batch_output")] == []
    assert [file.id async for file in official(stranger).files.list()] == []


async def test_a_deleted_file_is_gone_and_nobody_elses_can_be_had(caller: Caller, stranger: Caller):
    client = official(caller)
    made = await client.files.create(file=("a.jsonl", lines(1)), purpose="batch")
    for call in (official(stranger).files.retrieve, official(stranger).files.content, official(stranger).files.delete):
        with pytest.raises(openai.NotFoundError):
            await call(made.id)
    assert (await client.files.delete(made.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await client.files.content(made.id)


async def test_an_upload_sent_twice_under_one_key_is_one_file(caller: Caller):
    client = official(caller)

    async def send(body: bytes) -> str:
        made = await client.files.create(
            file=("a.jsonl", body), purpose="batch", extra_headers={"idempotency-key": "once"}
        )
        return made.id

    first, second = await asyncio.gather(send(lines(2)), send(lines(2)))
    assert first == second
    with pytest.raises(openai.UnprocessableEntityError):
        await send(lines(3))
    assert len([file async for file in client.files.list()]) == 1


async def test_what_is_past_its_time_is_not_there_and_is_dropped(caller: Caller):
    client = official(caller)
    made = await client.files.create(
        file=("a.jsonl", lines(1)), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3_600}
    )
    assert made.expires_at == made.created_at + 3_600
    async with caller.database.statement() as connection:
        await connection.exec_driver_sql("update files set expires_at = now() - interval '1 s'")
        with pytest.raises(openai.NotFoundError):
            await client.files.retrieve(made.id)
        assert (await files.forget_expired(connection), await files.forget_expired(connection)) == (1, 0)
        left = await connection.exec_driver_sql("select count(*) from file_parts")
        assert left.scalar_one() == 0


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"a": 1}\n\n{"a": \n[]\n', "2 lines are wrong, the first is line 3"),
        (b"\xff\n", "the first is line 1"),
        (b"\n \n", "has 0 lines"),
        (b"", "has 0 lines"),
        (b"{}\n" * 3_001, "at most|1 to 3,000"),
    ],
)
async def test_bad_lines_are_named_by_number_and_nothing_is_kept(caller: Caller, body: bytes, said: str):
    client = official(caller)
    with pytest.raises(openai.APIStatusError, match=said) as refused:
        await client.files.create(file=("a.jsonl", body), purpose="batch")
    assert refused.value.status_code in (400, 413)
    assert [file async for file in client.files.list()] == []


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "application/json", 400),
        (b"--x\r\n", "multipart/form-data; boundary=x", 400),
        (b"--x", "multipart/form-data", 400),
        (
            b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            400,
        ),
        (b"\0\1\2", "multipart/form-data; boundary=x", 400),
        (b"--x", "multipart/form-data; boundary=" + "x" * 300, 400),
        (b'--x\r\nContent-Disposition: form-data; name=""\r\n\r\n\r\n' * 50, "multipart/form-data; boundary=x", 400),
        (b"--x\r\n" + b"a" * 3_000_000, "multipart/form-data; boundary=x", 413),
    ],
)
async def test_a_broken_form_is_a_sentence(caller: Caller, content: bytes, kind: str, status: int):
    found, error = await caller.problem("POST", "/v1/files", content, content_type=kind)
    assert found == status or (status == 413 and found == 400), error
    assert error["message"]


async def test_other_purposes_and_lives_are_refused(caller: Caller):
    client = official(caller)
    with pytest.raises(openai.BadRequestError, match="purpose"):
        await client.files.create(file=("a.jsonl", lines(1)), purpose="fine-tune")
    for seconds in (10, 10**8):
        with pytest.raises(openai.BadRequestError, match="expires_after"):
            await client.files.create(
                file=("a", lines(1)), purpose="batch", expires_after={"anchor": "created_at", "seconds": seconds}
            )


async def test_a_file_that_goes_while_it_is_read_is_no_shorter_file(caller: Caller, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.fronts.files.PART_BYTES", 100)
    made = await official(caller).files.create(file=("a.jsonl", lines(20)), purpose="batch")
    file_id, size = ids.read("file", made.id), made.bytes
    parts = files.content(caller.database, file_id, size)
    assert len(await anext(parts)) == 100
    await official(caller).files.delete(made.id)
    with pytest.raises(files.Gone):
        await anext(parts)
