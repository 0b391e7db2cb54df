"""F24, short form: fifty senders with one Idempotency-Key, and an API that dies before it has answered."""

import pytest

from tests.faults import f24
from tests.faults.harness import Ground


@pytest.mark.fault
async def test_one_idempotency_key_makes_one_job_whoever_sends_and_dies(ground: Ground):
    case = await f24.run(ground, 50, print)
    assert case.faults == []
    assert case.made == 6
