"""F15, short form: a key that its provider closed is closed for two real workers, and every job still ends."""

import pytest

from tests.faults import f15
from tests.faults.harness import Ground


@pytest.mark.fault
async def test_a_429_stops_every_worker_and_burns_no_job(ground: Ground):
    case = await f15.run(ground, 24, print, closed_s=2.5, limit_s=60)
    assert case.faults == []
