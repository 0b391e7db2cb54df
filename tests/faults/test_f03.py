"""F03, short form: a frozen worker's results are refused and its bills booked."""

import pytest

from tests.faults import f03
from tests.faults.harness import Ground


@pytest.mark.fault
async def test_a_worker_that_was_frozen_for_three_leases_ends_no_job_and_books_its_bills(ground: Ground):
    case = await f03.run(ground, 24, print, lease_s=1.5, limit_s=60)
    assert case.faults == []
    assert case.tried > 0
    assert case.findings.outcomes["orphaned"] == case.tried
