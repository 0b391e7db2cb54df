"""Looks API keys up, with a short memory: a request costs no query while its key was seen within 5 s."""

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
        async with self._database.statement() as connection:
            key = await find_key(connection, short_id)
        if len(self._seen) >= MOST_REMEMBERED:
            self._seen.clear()
        self._seen[short_id] = (now + REMEMBER_S, key)
        return key


_CHALLENGE = {"www-authenticate": "Bearer"}
