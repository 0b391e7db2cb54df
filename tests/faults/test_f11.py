"""F11, short form: Postgres is struck while jobs are submitted and run; nothing is lost, nothing is billed twice."""

import pytest

from tests.faults import f11
from tests.faults.harness import Ground


@pytest.mark.fault
async def test_a_postgres_that_is_stopped_and_killed_costs_seconds_and_neither_jobs_nor_calls(ground: Ground):
    case = await f11.run(ground, print, strikes=2, limit_s=60)
    assert case.faults == []
