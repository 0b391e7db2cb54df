"""A worker's laboratory for each test that asks for one."""

from collections.abc import AsyncIterator

import pytest

from tests.workers.lab import Lab, opened


@pytest.fixture
async def lab(database_url: str, redis_url: str) -> AsyncIterator[Lab]:
    async with opened(database_url, redis_url) as made:
        yield made
