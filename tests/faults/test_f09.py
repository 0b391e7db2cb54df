"""F09, short form: bells are popped and lost, their jobs end all the same."""

import pytest

from tests.faults import f09
from tests.faults.harness import Ground


@pytest.mark.fault
async def test_bells_that_were_popped_and_lost_cost_seconds_and_no_job(ground: Ground):
    case = await f09.run(ground, 60, print, bells=12, limit_s=60)
    assert case.faults == []
    assert len(case.delays_s) == case.stolen > 0
