"""Budgets under load, short form: 200 submitters, one cap, a worker killed with calls open."""

import pytest

from tests.faults import money
from tests.faults.harness import Ground


@pytest.mark.fault
async def test_two_hundred_submitters_and_a_dead_worker_never_pass_the_cap(ground: Ground):
    case = await money.run(ground, 200, print, lease_s=2.0, limit_s=60)
    assert case.faults == []
