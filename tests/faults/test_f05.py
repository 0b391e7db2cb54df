"""F05 and F06, short form: jobs that kill or block their workers fail alone."""

import pytest

from tests.faults import f05
from tests.faults.harness import Ground


@pytest.mark.fault
async def test_a_job_that_kills_or_blocks_its_worker_on_every_run_fails_alone(ground: Ground):
    cases = await f05.run(ground, 24, print, lease_s=2.0, limit_s=60)
    assert [case.name for case in cases] == ["F05", "F06"]
    assert [case.line() for case in cases if case.faults] == []
