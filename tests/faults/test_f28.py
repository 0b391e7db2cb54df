"""F28, short form: webhook workers are killed, every event arrives; the schedule's part is in tests/workers."""

import pytest

from tests.faults import f28
from tests.faults.harness import Ground


@pytest.mark.fault
async def test_a_killed_webhook_worker_loses_no_event(ground: Ground):
    case = await f28.run(ground, 40, print, limit_s=60)
    assert case.faults == []
    assert case.twice >= 1, "no worker died between the receiver's answer and its booking: nothing was proved"
