"""A record of its own for each test."""

from collections.abc import AsyncIterator

import pytest

from jobs.store.session import Database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url, pool_size=24)
    yield opened
    await opened.close()
