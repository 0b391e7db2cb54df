"""F34, short form: lanes and tenants get their shares under overload, and a lane without workers blocks nobody."""

import pytest

from tests.faults import f34
from tests.faults.harness import Ground


@pytest.mark.fault
async def test_overloaded_lanes_and_tenants_get_their_shares(ground: Ground):
    case = await f34.run(ground, 128, 16, print, limit_s=60)
    assert case.faults == []
