"""Looks at jobs in company: nobody is left waiting for a read that no one makes."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from api.endings import Endings


class Nowhere:
    """A database whose connections are there at once."""

    @contextlib.asynccontextmanager
    async def statement(self) -> AsyncIterator[None]:
        yield None


async def test_who_asks_in_the_moment_in_which_all_readers_end_is_read_for(monkeypatch: pytest.MonkeyPatch):
    reads: list[int] = []

    async def nothing(_connection: object, asked: Sequence[object]) -> dict[object, object]:
        reads.append(len(asked))
        return {}

    monkeypatch.setattr("api.endings.endings", nothing)
    database: Any = Nowhere()
    endings = Endings(database)

    async def late() -> None:
        await asyncio.sleep(0)  # the two readers that the others start run now, before this goes on
        assert await endings.look(uuid.uuid4(), uuid.uuid4()) is None

    async with asyncio.timeout(5):
        asked = [endings.look(uuid.uuid4(), uuid.uuid4()) for _ in range(2)]
        await asyncio.gather(*asked, late())
    assert sum(reads) == 3
