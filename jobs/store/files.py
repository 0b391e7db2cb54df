"""Files in OpenAI's sense: what callers upload, kept in parts so that none is ever whole in memory.

A batch's output has a row here too, but no parts: its lines are made from the jobs' rows when somebody reads it.
"""

import datetime as dt
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs.store.session import Database

PART_BYTES = 1_000_000
FORGET_AT_ONCE = 100

_COLUMNS = "f.id, f.purpose, f.filename, f.bytes, f.created_at, f.expires_at, f.batch_id"
# A batch's output can be had once no job of it is open, and only if it has a line.
_IS_THERE = """
(f.batch_id is null or (
    not exists (select from jobs j where j.batch_id = f.batch_id and j.state in ('queued', 'running'))
    and exists (select from jobs j join batches b on b.id = j.batch_id where j.batch_id = f.batch_id
        and (j.state = 'succeeded') = (b.output_file_id = f.id))))
"""
INSERT = text("""
insert into files (id, tenant_id, purpose, filename, bytes, created_at, expires_at, batch_id)
values (:id, :tenant_id, :purpose, :filename, :bytes, :created_at, :expires_at, :batch_id)
""")
INSERT_PART = text("insert into file_parts (file_id, seq, body) values (:file_id, :seq, :body)")
SIZE = text("update files set bytes = :bytes where id = :id")
GET = text(f"""
select {_COLUMNS} from files f
where f.id = :id and f.tenant_id = :tenant_id and f.expires_at > now() and {_IS_THERE}
""")  # noqa: S608 -- made of constants of this file
_PAGE = """
select {columns} from files f
where f.tenant_id = :tenant_id and f.expires_at > now() and {is_there} {filters} order by f.id {order} limit :limit
"""
_FILTERS = {"purpose": "and f.purpose = :purpose", "after": "and f.id {beyond} :after"}
PART = text("select body from file_parts where file_id = :file_id and seq = :seq")
DELETE = text("delete from files where id = :id and tenant_id = :tenant_id returning id")
FORGET = text("""
delete from files where id in (select id from files where expires_at < now() order by expires_at limit :most)
""")


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file's own row."""

    id: uuid.UUID
    tenant_id: uuid.UUID
    purpose: str
    filename: str
    created_at: dt.datetime
    expires_at: dt.datetime
    bytes: int | None = None
    """None: a batch's output that nobody has measured yet."""
    batch_id: uuid.UUID | None = None


async def add(connection: AsyncConnection, file: File) -> None:
    """Write a file's row; its parts come after, in the same transaction."""
    await connection.execute(INSERT, msgspec.structs.asdict(file))


async def add_part(connection: AsyncConnection, file_id: uuid.UUID, seq: int, body: bytes) -> None:
    """Write the part after `seq` others; all but the last have PART_BYTES."""
    await connection.execute(INSERT_PART, {"file_id": file_id, "seq": seq, "body": body})


async def measured(connection: AsyncConnection, file_id: uuid.UUID, size: int) -> None:
    """Keep what a file weighs, in bytes."""
    await connection.execute(SIZE, {"id": file_id, "bytes": size})


async def get(connection: AsyncConnection, tenant_id: uuid.UUID, file_id: uuid.UUID) -> Row[Any] | None:
    """A file that can be read; None when this tenant has none of this id, or it has expired."""
    return (await connection.execute(GET, {"id": file_id, "tenant_id": tenant_id})).one_or_none()


async def page(
    connection: AsyncConnection, tenant_id: uuid.UUID, limit: int, *, newest_first: bool = True, **where: object
) -> Sequence[Row[Any]]:
    """Up to `limit` files by their time; `where` may name `purpose` and `after` (a file's id)."""
    asked = {name: value for name, value in where.items() if value is not None}
    order, beyond = ("desc", "<") if newest_first else ("asc", ">")
    filters = " ".join(_FILTERS[name].format(beyond=beyond) for name in asked)
    statement = _PAGE.format(columns=_COLUMNS, is_there=_IS_THERE, filters=filters, order=order)
    return (await connection.execute(text(statement), asked | {"tenant_id": tenant_id, "limit": limit})).all()


class Gone(Exception):
    """The file was deleted, or its time ran out, while it was read."""


async def content(database: Database, file_id: uuid.UUID, size: int) -> AsyncIterator[bytes]:
    """An uploaded file's bytes (`size` of them), a part at a time; no connection is held between parts. Raises Gone."""
    seq = 0
    while size > 0:
        async with database.statement() as connection:
            found = await connection.execute(PART, {"file_id": file_id, "seq": seq})
            body = found.scalar_one_or_none()
        if body is None:
            raise Gone
        yield bytes(body)
        seq, size = seq + 1, size - len(body)


async def delete(connection: AsyncConnection, tenant_id: uuid.UUID, file_id: uuid.UUID) -> bool:
    """Delete a file with its parts; False when this tenant has none of this id. Jobs made from it go on."""
    found = await connection.execute(DELETE, {"id": file_id, "tenant_id": tenant_id})
    return found.scalar_one_or_none() is not None


async def forget_expired(connection: AsyncConnection) -> int:
    """Drop some of the files whose time is over; returns how many, 0 when none are left."""
    return (await connection.execute(FORGET, {"most": FORGET_AT_ONCE})).rowcount
