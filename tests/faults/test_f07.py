"""F07 and F08, short form, in one yard: Redis wiped, absent, frozen and half open costs seconds and no job."""

import pytest

from tests.faults import f07, f08
from tests.faults.harness import Ground


@pytest.mark.fault
async def test_whatever_happens_to_redis_submits_are_taken_and_every_job_ends(ground: Ground):
    async with f07.stage(ground, lease_s=4.0) as stage:
        others = await f08.run(stage, 16, print, freeze_s=0.0, limit_s=60, has_time=False)
        assert [case.line() for case in others if case.faults] == []
        cases = await f07.run(stage, 48, print, limit_s=60)
        assert [case.line() for case in cases if case.faults] == []
