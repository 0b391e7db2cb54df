"""Bells that come together are claimed together, and each gets its own jobs."""

import asyncio
import uuid
from collections.abc import Sequence
from typing import cast

from jobs.job import Job
from workers.claims import Claims

IDS = [uuid.UUID(int=number) for number in range(1, 40)]


class Had:
    """As much of a job as a claim looks at."""

    def __init__(self, job_id: uuid.UUID) -> None:
        self.id = job_id


class Record:
    """Claims what is there, when it may."""

    def __init__(self, *there: uuid.UUID) -> None:
        self.there = set(there)
        self.asked: list[set[uuid.UUID]] = []
        self.may = asyncio.Event()

    async def claim(self, ids: Sequence[uuid.UUID]) -> list[Job]:
        assert len(set(ids)) == len(ids)
        self.asked.append(set(ids))
        await self.may.wait()
        won = [job_id for job_id in ids if job_id in self.there]
        self.there -= set(won)
        return cast("list[Job]", [Had(job_id) for job_id in won])


async def answered(waiting: Sequence["asyncio.Task[list[Job]]"]) -> list[list[uuid.UUID]]:
    return [[job.id for job in jobs] for jobs in await asyncio.gather(*waiting)]


async def asking(claims: Claims, *bells: Sequence[uuid.UUID]) -> "list[asyncio.Task[list[Job]]]":
    tasks = [asyncio.create_task(claims.of(bell)) for bell in bells]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_a_bell_alone_is_claimed_at_once():
    record = Record(*IDS)
    record.may.set()
    assert await answered(await asking(Claims(record.claim), IDS[:3])) == [IDS[:3]]
    assert record.asked == [set(IDS[:3])]


async def test_what_comes_while_a_claim_is_on_its_way_is_claimed_in_one_and_each_bell_gets_its_own():
    record = Record(*IDS)
    claims = Claims(record.claim)
    first = await asking(claims, [IDS[0]])
    later = await asking(claims, *([job_id] for job_id in IDS[1:]))
    record.may.set()
    assert await answered(later) == [[job_id] for job_id in IDS[1:]]
    assert await answered(first) == [[IDS[0]]]
    assert record.asked == [{IDS[0]}, set(IDS[1:])]


async def test_a_job_is_given_to_one_bell_alone_and_one_that_is_gone_to_none():
    record = Record(IDS[0], IDS[1])
    claims = Claims(record.claim)
    blocking = await asking(claims, [IDS[9]])
    bells = await asking(claims, IDS[:3], IDS[:2], [IDS[5]])
    record.may.set()
    assert await answered(bells) == [IDS[:2], [], []]
    assert await answered(blocking) == [[]]
