"""Idempotency keys: the same request sent twice is done once, and the second sender gets the first one's answer."""

import hashlib
import uuid

import msgspec
import psycopg.errors
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncConnection

KEEP_H = 24
WAIT_MS = 2_000
"""How long a request waits for another one that holds the same key before it is told to try later."""

PATIENCE = text(f"select set_config('lock_timeout', '{WAIT_MS}', true)")
# Waits for a concurrent holder of the key: then either its answer is there, or (it rolled back) the key is ours.
TAKE = text(f"""
insert into idempotency (tenant_id, route, key, body_sha256, status, response)
values (:tenant_id, :route, :key, :body_sha256, :status, :response)
on conflict (tenant_id, route, key) do update set body_sha256 = excluded.body_sha256, status = excluded.status,
    response = excluded.response, created_at = now()
    where idempotency.created_at < now() - interval '{KEEP_H} hours'
returning key
""")  # noqa: S608 -- a constant of this file
FIND = text(f"""
select body_sha256, status, response from idempotency
where tenant_id = :tenant_id and route = :route and key = :key and created_at >= now() - interval '{KEEP_H} hours'
""")  # noqa: S608 -- a constant of this file


class InFlight(Exception):
    """Another request with this key is still being written."""


class OtherBody(Exception):
    """The key was used for another body before."""


class Claim(msgspec.Struct, frozen=True):
    """A request that wants to happen once."""

    tenant_id: uuid.UUID
    route: str
    key: str
    body_sha256: bytes


class Reply(msgspec.Struct, frozen=True):
    """What was, or is to be, answered."""

    status: int
    body: bytes


class Kept(msgspec.Struct, frozen=True):
    """What a key was used for, and what was answered then."""

    body_sha256: bytes
    reply: Reply

    def reply_to(self, body_sha256: bytes) -> Reply:
        """The reply, for the same body. Raises OtherBody."""
        if body_sha256 != self.body_sha256:
            raise OtherBody
        return self.reply


def digest(body: bytes) -> bytes:
    """What a claim keeps of a body."""
    return hashlib.sha256(body).digest()


async def find(connection: AsyncConnection, tenant_id: uuid.UUID, route: str, key: str) -> Kept | None:
    """What was answered under the key; None when it is free or its holder has not committed yet.

    For asking early, before a repetition is judged by rules that its first sending did not meet. It guards nothing:
    who finds nothing must still `take` the key.
    """
    found = await connection.execute(FIND, {"tenant_id": tenant_id, "route": route, "key": key})
    row = found.one_or_none()
    return Kept(bytes(row.body_sha256), Reply(row.status, bytes(row.response))) if row is not None else None


async def take(connection: AsyncConnection, claim: Claim, reply: Reply) -> Reply | None:
    """Take the key inside the transaction that does the work; None: it is ours, `reply` is kept with the commit.

    Else the reply given before. Raises OtherBody, or InFlight after WAIT_MS behind a concurrent holder.
    """
    names = {"tenant_id": claim.tenant_id, "route": claim.route, "key": claim.key}
    await connection.execute(PATIENCE)
    try:
        taken = await connection.execute(
            TAKE, names | {"body_sha256": claim.body_sha256, "status": reply.status, "response": reply.body}
        )
    except exc.DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.LockNotAvailable):
            raise InFlight(claim.key) from error
        raise
    if taken.scalar_one_or_none() is not None:
        return None
    kept = await find(connection, claim.tenant_id, claim.route, claim.key)
    if kept is None:  # it was a day old and was forgotten between the two statements
        raise InFlight(claim.key)
    return kept.reply_to(claim.body_sha256)
