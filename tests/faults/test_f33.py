"""F33, short form: of three dispatchers two freeze in mid-release, and nothing is lost, doubled or held up."""

import pytest

from tests.faults import f33
from tests.faults.harness import Ground


@pytest.mark.fault
async def test_frozen_dispatchers_hold_up_nobody_and_ring_nothing_twice(ground: Ground):
    case = await f33.run(ground, 60, print, limit_s=60)
    assert case.faults == []
