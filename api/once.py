"""Reads the Idempotency-Key: a submit that carries one is done once, however often it is sent."""

import re
import uuid

import msgspec
from fastapi import Request

from api.problems import Code, Problem
from jobs.store import idempotency
from jobs.store.accounts import Key
from jobs.store.idempotency import Claim, Kept
from jobs.store.session import Database

_SHAPE = re.compile(r"[\x20-\x7e]{1,255}")


class Once(msgspec.Struct, frozen=True):
    """A request that wants to be done once, before its body is known."""

    tenant_id: uuid.UUID
    route: str
    key: str

    async def answered(self, database: Database) -> Kept | None:
        """What the same key got before, to be given again before the request is judged by what holds today.

        None: nothing yet. Raises StoreUnavailable.
        """
        async with database.statement() as connection:
            return await idempotency.find(connection, self.tenant_id, self.route, self.key)

    def claim(self, body_sha256: bytes) -> Claim:
        """What to take in the transaction that does the work."""
        return Claim(self.tenant_id, self.route, self.key, body_sha256)


def once_of(request: Request, key: Key, route: str) -> Once | None:
    """None without an Idempotency-Key. Raises Problem for one of odd characters."""
    text = request.headers.get("idempotency-key")
    if text is None:
        return None
    if not _SHAPE.fullmatch(text):
        message = "Idempotency-Key: must be 1 to 255 printable ASCII characters, best a fresh UUID"
        raise Problem(Code.INVALID_VALUE, message, "Idempotency-Key")
    return Once(key.tenant_id, route, text)
