"""F15, short form: what its provider closed is closed for real workers, no more than that, and every job still ends."""

import pytest

from tests.faults import f15
from tests.faults.harness import Ground


@pytest.mark.fault
async def test_a_429_stops_every_worker_and_burns_no_job(ground: Ground):
    case = await f15.run(ground, 24, print, closed_s=2.5, limit_s=60)
    assert case.faults == []


@pytest.mark.fault
async def test_a_model_that_is_always_limited_holds_up_no_other_of_its_key(ground: Ground):
    case = await f15.run_model(ground, 40, print, closed_s=4.0, windows=2)
    assert case.faults == []
