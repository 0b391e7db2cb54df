"""Bells that come together are claimed together, and each gets its own jobs."""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any, cast

import pytest

from jobs.job import Job
from workers.claims import CLAIMERS, Claims

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
        self.error: BaseException | None = None

    async def claim(self, ids: Sequence[uuid.UUID]) -> list[Job]:
        assert len(set(ids)) == len(ids)
        self.asked.append(set(ids))
        await self.may.wait()
        if self.error is not None:
            raise self.error
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


async def test_what_comes_while_claims_are_on_their_way_is_claimed_in_one_and_each_bell_gets_its_own():
    record = Record(*IDS)
    claims = Claims(record.claim)
    first = [await asking(claims, [IDS[place]]) for place in range(CLAIMERS)]
    later = await asking(claims, *([job_id] for job_id in IDS[CLAIMERS:]))
    assert len(record.asked) == CLAIMERS
    record.may.set()
    assert await answered(later) == [[job_id] for job_id in IDS[CLAIMERS:]]
    assert [await answered(each) for each in first] == [[[job_id]] for job_id in IDS[:CLAIMERS]]
    assert record.asked[CLAIMERS:] == [set(IDS[CLAIMERS:])]


async def test_a_job_is_given_to_one_bell_alone_and_one_that_is_gone_to_none():
    record = Record(IDS[0], IDS[1])
    claims = Claims(record.claim)
    blocking = [await asking(claims, [IDS[9 + place]]) for place in range(CLAIMERS)]
    bells = await asking(claims, IDS[:3], IDS[:2], [IDS[5]])
    record.may.set()
    assert await answered(bells) == [IDS[:2], [], []]
    for each in blocking:
        assert await answered(each) == [[]]


async def test_a_claim_that_fails_fails_for_all_that_waited_and_the_next_one_works():
    record = Record(*IDS)
    claims = Claims(record.claim)
    record.error = ValueError("no")
    record.may.set()
    told: list[Any] = await asyncio.gather(*(claims.of([job_id]) for job_id in IDS[:5]), return_exceptions=True)
    assert all(isinstance(each, ValueError) for each in told)
    record.error = None
    assert await answered(await asking(claims, IDS[:2])) == [IDS[:2]]


async def test_when_the_claiming_itself_is_cut_short_nobody_waits_for_ever():
    record = Record(*IDS)
    claims = Claims(record.claim)
    (waiting,) = await asking(claims, IDS[:1])
    for task in list(claims._claiming):
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_bell_that_comes_as_all_claimers_end_is_claimed_for():
    async def nothing(_job_ids: Sequence[uuid.UUID]) -> list[Job]:
        return []

    claims = Claims(nothing)

    async def late() -> None:
        await asyncio.sleep(0)  # the two claimers that the others start run now, before this goes on
        assert await claims.of([uuid.uuid4()]) == []

    async with asyncio.timeout(5):
        await asyncio.gather(claims.of([uuid.uuid4()]), claims.of([uuid.uuid4()]), late())
