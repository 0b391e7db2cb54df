"""What a worker tells along with a job's end is what a look at the row finds; all else it leaves to that look."""

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from jobs.ending import Ending
from jobs.job import Job
from jobs.lanes import Lane
from jobs.signals import Signals
from jobs.store.endings import MOST_TOLD_BYTES, Asked, endings
from tests.workers.lab import Lab, answers, refuses
from tests.workers.server import Answering


class Ears(Signals):
    """Hears what is told instead of sending it."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.heard: list[Mapping[uuid.UUID, Ending | None]] = []

    def tell_endings(self, endings: Mapping[uuid.UUID, Ending | None]) -> None:
        """As it is told."""
        self.heard.append(endings)


async def told(lab: Lab, job: Job, word: str = "succeeded") -> Ending | None:
    ears = lab.parts.signals = Ears(lab.settings.redis_url)
    assert await lab.carry(job) == word
    await asyncio.sleep(0)
    await ears.close()
    ((job_id, ending),) = [pair for each in ears.heard for pair in each.items()]
    assert job_id == job.id
    return ending


async def looked_at(lab: Lab, job: Job) -> Ending:
    async with lab.database.statement() as connection:
        asked = Asked(job.tenant_id, job.id)
        return (await endings(connection, [asked]))[asked]


async def test_the_ending_of_a_job_that_its_only_call_answered_is_told_as_it_stands_in_the_record(lab: Lab):
    lab.script(a=[answers()])
    job = await lab.claimed(lane=Lane.INTERACTIVE)
    ending = await told(lab, job)
    found = await looked_at(lab, job)
    assert found.ended_for_s > 0
    assert ending == msgspec.structs.replace(found, ended_for_s=0.0)


NOT_ALONE: list[dict[str, list[Answering]]] = [
    {"a": [refuses(503)], "b": [answers()]},
    {"a": [answers("maybe", logprob=-2.0)], "c": [answers()]},
    {"a": [answers("x" * MOST_TOLD_BYTES)]},
]


@pytest.mark.parametrize("script", NOT_ALONE, ids=["failed over", "escalated", "long"])
async def test_an_ending_of_more_calls_than_one_or_with_a_long_answer_is_left_to_a_look(
    lab: Lab, script: dict[str, Any]
):
    lab.script(**script)
    assert await told(lab, await lab.claimed(lane=Lane.INTERACTIVE)) is None


async def test_nobody_waits_at_the_other_lanes(lab: Lab):
    lab.script(a=[answers()])
    assert await told(lab, await lab.claimed(lane=Lane.BULK)) is None


async def test_a_job_that_was_claimed_before_may_have_a_call_that_this_worker_does_not_know(lab: Lab):
    lab.script(a=[answers()])
    job = await lab.claimed(lane=Lane.INTERACTIVE)
    assert await told(lab, msgspec.structs.replace(job, claims=2)) is None


async def test_a_failure_is_left_to_a_look(lab: Lab):
    lab.script(a=[refuses(400)], b=[refuses(400)], c=[refuses(400)])
    assert await told(lab, await lab.claimed(lane=Lane.INTERACTIVE), "failed") is None
