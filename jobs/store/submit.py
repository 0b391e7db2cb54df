"""Jobs on their way into the record: one set-based insert for what waits together, COPY for a bulk submit."""

import base64
import datetime as dt
import tempfile
import uuid
from collections.abc import AsyncIterator
from typing import IO, Any, Self

import msgspec
from psycopg import AsyncConnection as DriverConnection
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs import ids
from jobs.job import Submission
from jobs.policy import Intent
from jobs.store.direct import Line

MOST_WAITING_INTERACTIVE = 128
"""Interactive jobs of one tenant that may wait released; more of them wait for the dispatcher, in turn with others.

A quarter of a second's work of a worker, so that no tenant is far behind another's burst. Callers of one tenant that
come in step (100 at once, say) should fit: a detour over the dispatcher costs a job 1.2 CPU ms and 100 ms.
"""
SPOOL_BYTES = 8_000_000
"""Kept in memory for each of a bulk's two streams; the rest goes to a temporary file."""
CHUNK_BYTES = 262_144
# A spool of a million lines is one statement of minutes; the connection's own time-out is for what a worker says.
COPY_PATIENCE = text("set local statement_timeout = '10min'")

# Said twice it is done once: a commit whose answer was lost with the connection is repeated by the flush.
# The count is of this instant, so a burst may pass the limit by what commits beside it: it is a brake, not a promise.
INSERT = text("""
with f as materialized (
    select f.*, row_number() over (partition by f.tenant_id, f.released order by f.id) as nth
    from jsonb_to_recordset(cast(:rows as jsonb)) as f(id uuid, tenant_id uuid, key_id uuid, batch_id uuid,
        batch_seq integer, custom_id text, lane text, policy text, model text, task text, intent jsonb, strict boolean,
        metadata jsonb, retry_of uuid, traceparent text, created_at timestamptz, deadline_at timestamptz,
        urgent_at timestamptz, released boolean, webhook_id uuid, body text)
), waiting as materialized (
    select tenant_id, count(*) as depth from jobs
    where lane = 'interactive' and state = 'queued' and released_at is not null
        and tenant_id in (select tenant_id from f where released)
    group by tenant_id
), kept as (
    insert into jobs (id, tenant_id, key_id, batch_id, batch_seq, custom_id, lane, policy, model, task, intent,
        strict, metadata, retry_of, traceparent, created_at, deadline_at, urgent_at, webhook_id, released_at)
    select f.id, f.tenant_id, f.key_id, f.batch_id, f.batch_seq, f.custom_id, f.lane, f.policy, f.model, f.task,
        f.intent, f.strict, f.metadata, f.retry_of, f.traceparent, f.created_at, f.deadline_at, f.urgent_at,
        f.webhook_id,
        case when f.released and f.nth + coalesce(w.depth, 0) <= :most_waiting then now() end
    from f left join waiting w on w.tenant_id = f.tenant_id
    on conflict (id) do nothing
), prompts as (
    insert into payloads (id, body) select id, decode(body, 'base64') from f on conflict (id) do nothing
)
select id from f
""")
INSERT_BATCH = text("""
insert into batches (id, tenant_id, total, skipped, metadata, created_at, webhook_id, endpoint, completion_window,
    expires_at, input_file_id, output_file_id, error_file_id, errors)
values (:id, :tenant_id, :total, :skipped, cast(:metadata as jsonb), :created_at, :webhook_id, :endpoint,
    :completion_window, :expires_at, :input_file_id, :output_file_id, :error_file_id, cast(:errors as jsonb))
""")
COPY_COLUMNS = (
    "id, tenant_id, key_id, batch_id, batch_seq, custom_id, lane, policy, model, task, intent, strict, metadata,"
    " retry_of, traceparent, created_at, deadline_at, urgent_at, webhook_id"
)
COPY_JOBS = f"copy jobs ({COPY_COLUMNS}) from stdin"
COPY_PAYLOADS = "copy payloads (id, body) from stdin (format binary)"
# The frame of COPY's binary format: Postgres manual, "COPY", "Binary Format".
_BINARY_HEAD = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_BINARY_TAIL = b"\xff\xff"
_TWO_FIELDS_ID = b"\x00\x02\x00\x00\x00\x10"
_NULL = "\\N"
_NO_INTENT = Intent()
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A bulk submit as a whole. `total` counts the accepted lines, `skipped` the refused ones."""

    id: uuid.UUID
    tenant_id: uuid.UUID
    total: int
    skipped: int = 0
    metadata: dict[str, str] | None = None
    webhook_id: uuid.UUID | None = None
    """Is told when the last job has ended."""
    origin: "Origin | None" = None
    """None: a bulk submit."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch remembers that was made from a file, as OpenAI's Batch API makes them."""

    endpoint: str
    completion_window: str
    expires_at: dt.datetime
    input_file_id: uuid.UUID
    output_file_id: uuid.UUID
    error_file_id: uuid.UUID
    errors: tuple[dict[str, Any], ...] = ()
    """Why nothing of it was accepted; empty when it was."""


NO_ORIGIN = dict.fromkeys(Origin.__struct_fields__)


class Spool:
    """Accepted jobs in COPY's own formats, in memory up to a bound and on disk beyond it. Close it, or use `with`."""

    def __init__(self, memory_bytes: int = SPOOL_BYTES) -> None:
        self._jobs: IO[bytes] = tempfile.SpooledTemporaryFile(memory_bytes)  # noqa: SIM115 -- closed by __exit__
        self._payloads: IO[bytes] = tempfile.SpooledTemporaryFile(memory_bytes)  # noqa: SIM115 -- closed by __exit__
        self._payloads.write(_BINARY_HEAD)
        self.total = 0

    def add(self, submission: Submission) -> None:
        """Append a job's two rows. Its texts must be free of NUL: Postgres refuses it."""
        body = submission.request_raw
        self._jobs.write(copy_line(submission))
        self._payloads.write(
            b"".join((_TWO_FIELDS_ID, submission.id.bytes, len(body).to_bytes(4, "big"), body)),
        )
        self.total += 1

    async def copy_to(self, connection: "DriverConnection[Any]") -> None:
        """Stream both tables' rows into Postgres."""
        self._payloads.write(_BINARY_TAIL)
        for statement, rows in ((COPY_JOBS, self._jobs), (COPY_PAYLOADS, self._payloads)):
            async with connection.cursor() as cursor, cursor.copy(statement) as copy:
                async for chunk in _chunks(rows):
                    await copy.write(chunk)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._jobs.close()
        self._payloads.close()


async def insert(line: Line, submissions: list[Submission]) -> set[uuid.UUID]:
    """Write jobs and their requests in one statement; returns the ids written: all, or it raises."""
    rows = msgspec.json.encode([_row(submission) for submission in submissions]).decode()
    found = await line.execute(INSERT, {"rows": rows, "most_waiting": MOST_WAITING_INTERACTIVE})
    return set(found.scalars())


async def insert_batch(connection: AsyncConnection, batch: Batch) -> None:
    """Write a batch's own row."""
    origin = NO_ORIGIN
    if batch.origin is not None:
        errors = msgspec.json.encode(batch.origin.errors).decode() if batch.origin.errors else None
        origin = msgspec.structs.asdict(batch.origin) | {"errors": errors}
    await connection.execute(
        INSERT_BATCH,
        origin
        | {
            "id": batch.id,
            "tenant_id": batch.tenant_id,
            "total": batch.total,
            "skipped": batch.skipped,
            "metadata": msgspec.json.encode(batch.metadata).decode() if batch.metadata else None,
            "created_at": ids.moment_of(batch.id),
            "webhook_id": batch.webhook_id,
        },
    )


async def copy_in(connection: AsyncConnection, batch: Batch, spool: Spool) -> None:
    """Write a batch and everything in its spool; the caller's transaction makes it all or nothing."""
    await insert_batch(connection, batch)
    await connection.execute(COPY_PATIENCE)
    raw = await connection.get_raw_connection()
    driver: DriverConnection[Any] | None = raw.driver_connection
    assert driver is not None
    await spool.copy_to(driver)


def copy_line(submission: Submission) -> bytes:
    """A job's row in COPY's text format; the order is COPY_COLUMNS'."""
    s = submission
    created_at = ids.moment_of(s.id).isoformat()
    fields = (
        str(s.id),
        str(s.tenant_id),
        str(s.key_id) if s.key_id else _NULL,
        str(s.batch_id) if s.batch_id else _NULL,
        str(s.batch_seq) if s.batch_seq is not None else _NULL,
        _field(s.custom_id),
        s.lane.value,
        _field(s.policy),
        _field(s.model),
        _field(s.task),
        _json_field(_intent(s)),
        "t" if s.strict else "f",
        _json_field(s.metadata),
        str(s.retry_of) if s.retry_of else _NULL,
        _field(s.traceparent),
        created_at,
        s.deadline_at.isoformat(),
        s.urgent_at.isoformat(),
        str(s.webhook_id) if s.webhook_id else _NULL,
    )
    return ("\t".join(fields) + "\n").encode()


def _field(value: str | None) -> str:
    return _NULL if value is None else value.translate(_ESCAPES)


def _json_field(value: object) -> str:
    return _NULL if not value else msgspec.json.encode(value).decode().translate(_ESCAPES)


async def _chunks(rows: IO[bytes]) -> AsyncIterator[bytes]:
    rows.seek(0)
    while chunk := rows.read(CHUNK_BYTES):
        yield chunk


def _intent(submission: Submission) -> dict[str, Any] | None:
    """Only what the caller asked for; None when that is nothing, so that most rows carry no intent."""
    if submission.intent == _NO_INTENT:
        return None
    asked: dict[str, Any] = msgspec.to_builtins(submission.intent)
    return asked


def _row(submission: Submission) -> dict[str, Any]:
    s = submission
    return {
        "id": s.id,
        "tenant_id": s.tenant_id,
        "key_id": s.key_id,
        "batch_id": s.batch_id,
        "batch_seq": s.batch_seq,
        "custom_id": s.custom_id,
        "lane": s.lane,
        "policy": s.policy,
        "model": s.model,
        "task": s.task,
        "intent": _intent(s),
        "strict": s.strict,
        "metadata": s.metadata or None,
        "retry_of": s.retry_of,
        "traceparent": s.traceparent,
        "created_at": ids.moment_of(s.id),
        "deadline_at": s.deadline_at,
        "urgent_at": s.urgent_at,
        "released": s.released,
        "webhook_id": s.webhook_id,
        "body": base64.b64encode(s.request_raw).decode(),
    }
