"""Looks API keys up, with a short memory: a request costs no query while its key was seen within 5 s."""

import asyncio
import time

from api.problems import Code, Problem
from jobs.store.accounts import Key, Scope, find_key, split
from jobs.store.session import Database

REMEMBER_S = 5.0
"""A revoked or expired key stops working within this time in every API process."""
MOST_REMEMBERED = 10_000


class Keyring:
    """Finds and checks keys. Unknown short ids are remembered too, so that guessing costs Postgres little."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: dict[str, tuple[float, Key | None]] = {}
        self._finding: dict[str, asyncio.Task[Key | None]] = {}

    async def check(self, authorization: str | None, scope: Scope) -> Key:
        """The key of an Authorization header, if it is live and has the scope. Raises Problem, StoreUnavailable."""
        scheme, _, text = (authorization or "").partition(" ")
        if not text or scheme.lower() != "bearer":
            raise Problem(Code.MISSING_KEY, "send your API key as Authorization: Bearer ty_...", headers=_CHALLENGE)
        parts = split(text.strip())
        key = await self.find(parts[0]) if parts else None
        if parts is None or key is None or not key.opens_for(parts[1]):
            raise Problem(Code.INVALID_KEY, "this API key is unknown, revoked or expired", headers=_CHALLENGE)
        if scope not in key.scopes:
            raise Problem(Code.MISSING_SCOPE, f"this API key lacks the scope {scope.value!r}")
        return key

    async def find(self, short_id: str) -> Key | None:
        """The live key with this short id, as of 5 s ago at most. Raises StoreUnavailable."""
        now = time.monotonic()
        seen = self._seen.get(short_id)
        if seen is not None and seen[0] > now:
            return seen[1]
        finding = self._finding.get(short_id)
        if finding is None:  # one look-up for all who ask at once: else a hundred requests make it a hundred times
            finding = self._finding[short_id] = asyncio.create_task(self._look_up(short_id))
            finding.add_done_callback(lambda _: self._finding.pop(short_id, None))
        return await asyncio.shield(finding)

    async def _look_up(self, short_id: str) -> Key | None:
        async with self._database.statement() as connection:
            key = await find_key(connection, short_id)
        if len(self._seen) >= MOST_REMEMBERED:
            self._seen.clear()
        self._seen[short_id] = (time.monotonic() + REMEMBER_S, key)
        return key


_CHALLENGE = {"www-authenticate": "Bearer"}
