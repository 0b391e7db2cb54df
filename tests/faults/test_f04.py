"""F04, short form: workers that are told to stop lose nothing, burn no attempt and are gone in time."""

import pytest

from tests.faults import f04
from tests.faults.harness import Ground


@pytest.mark.fault
async def test_workers_that_are_stopped_under_load_give_their_jobs_back(ground: Ground):
    case = await f04.run(ground, print, rolls=1, lease_s=4.0, limit_s=60)
    assert case.faults == []
