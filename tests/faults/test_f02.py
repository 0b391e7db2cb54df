"""F02, short form: a process dies at each failpoint, nothing is lost and little is called twice."""

import pytest

from jobs.failpoints import JOB_POINTS
from tests.faults import f02
from tests.faults.harness import Ground


@pytest.mark.fault
async def test_a_death_at_any_failpoint_loses_no_job_and_calls_none_twice_too_often(ground: Ground):
    cases = await f02.run(ground, 24, print, lease_s=2.0, limit_s=60)
    assert {case.point for case in cases} == JOB_POINTS
    assert [case.line() for case in cases if case.faults] == []
