"""Bells and polls are claimed once, and whatever one job does, its neighbours go on."""

import asyncio
import uuid
from typing import Any

import msgspec
import pytest

from jobs.job import Job
from jobs.lanes import Lane
from jobs.store.uuid7 import uuid7
from tests.faults.harness import until
from tests.jobs.store import given
from tests.workers.lab import Lab, answers, refuses
from workers.intake import Intake
from workers.leases import Hold, Stop

SURE = answers()


@pytest.fixture
def intake(lab: Lab) -> Intake:
    return Intake(lab.parts, [Lane.STANDARD, Lane.BULK])


async def waiting(lab: Lab, count: int, **changes: Any) -> list[uuid.UUID]:
    """Released jobs that nobody has claimed."""
    ids = [await given.job(lab.database, lab.tenant_id, **changes) for _ in range(count)]
    await lab.execute("update jobs set released_at = now() - interval '10 s'")
    return ids


async def states(lab: Lab) -> dict[uuid.UUID, str]:
    async with lab.database.statement() as connection:
        found = await connection.exec_driver_sql("select id, state from jobs")
        return {row.id: row.state for row in found}


async def test_a_bell_is_answered_with_one_line_when_its_jobs_rest(lab: Lab, intake: Intake):
    ids = await waiting(lab, 3)
    lab.script(a=[SURE, SURE, refuses(400)])
    assert await intake.answer(ids) == "2 succeeded, 1 failed"
    assert sorted((await states(lab)).values()) == ["failed", "succeeded", "succeeded"]
    assert len(lab.parts.leases) == 0


async def test_ids_that_do_not_wait_are_not_claimed(lab: Lab, intake: Intake):
    (taken,) = await waiting(lab, 1)
    await lab.claim(taken)
    assert await intake.answer([taken, uuid7()]) == "0 claimed"
    assert await intake.answer([]) == "0 claimed"
    assert lab.server.bodies == []


async def test_a_bell_that_rings_twice_runs_its_job_once(lab: Lab, intake: Intake):
    ids = await waiting(lab, 1)
    lab.script(a=[SURE])
    words = await asyncio.gather(intake.answer(ids), intake.answer(ids))
    assert sorted(words) == ["0 claimed", "1 succeeded"]


async def test_jobs_whose_bell_was_lost_are_found_by_the_poll(lab: Lab, intake: Intake):
    ids = await waiting(lab, 3, lane=Lane.BULK)
    lab.script(a=[SURE] * 3)
    polling = asyncio.create_task(intake.poll())

    async def all_ended() -> bool:
        return await states(lab) == dict.fromkeys(ids, "succeeded")

    await until(all_ended, "the poll carries the jobs", 10)
    await intake.drain(1)
    async with asyncio.timeout(10):
        await polling


async def test_the_poll_leaves_other_lanes_and_unreleased_jobs_alone(lab: Lab):
    others = await waiting(lab, 1, lane=Lane.INTERACTIVE)
    unreleased = await given.job(lab.database, lab.tenant_id)
    (mine,) = [await given.job(lab.database, lab.tenant_id, lane=Lane.BULK)]
    await lab.execute("update jobs set released_at = now() - interval '10 s' where lane = 'bulk'")
    lab.script(a=[SURE])
    intake = Intake(lab.parts, [Lane.STANDARD, Lane.BULK])
    polling = asyncio.create_task(intake.poll())

    async def mine_ended() -> bool:
        return (await states(lab))[mine] == "succeeded"

    await until(mine_ended, "its own lane's job is found", 10)
    await intake.drain(1)
    await polling
    found = await states(lab)
    assert (found[others[0]], found[unreleased]) == ("queued", "queued")


async def test_a_draining_worker_gives_back_what_does_not_finish_and_takes_nothing_new(lab: Lab, intake: Intake):
    (slow, later) = await waiting(lab, 2)
    lab.script(a=[lab.silence])
    answering = asyncio.create_task(intake.answer([slow]))
    await lab.called(1)
    await intake.drain(0)
    assert await answering == "1 released"
    assert await intake.answer([later]) == "0 claimed"
    assert await states(lab) == {slow: "queued", later: "queued"}


async def test_a_draining_worker_lets_a_call_finish_that_does_so_in_time(lab: Lab, intake: Intake):
    (job_id,) = await waiting(lab, 1)
    may_end = asyncio.Event()

    async def slow(server, writer):
        await may_end.wait()
        await SURE(server, writer)

    lab.script(a=[slow])
    answering = asyncio.create_task(intake.answer([job_id]))
    await lab.called(1)
    draining = asyncio.create_task(intake.drain(10))
    may_end.set()
    await draining
    assert await answering == "1 succeeded"


async def test_a_job_without_room_is_beaten_for_and_can_be_cancelled_before_its_first_step(lab: Lab):
    lab.parts.settings = msgspec.structs.replace(
        lab.settings, worker=msgspec.structs.replace(lab.settings.worker, calls_in_flight=1)
    )
    narrow = Intake(lab.parts, [Lane.STANDARD])
    first, second = await waiting(lab, 2)
    lab.script(a=[lab.silence])
    answering = asyncio.create_task(narrow.answer([first, second]))
    await lab.called(1)
    assert lab.parts.leases.held().keys() == {first, second}
    lab.parts.leases.stop([first, second], Stop.CANCELLED)
    assert await answering == "2 cancelled"
    assert set((await states(lab)).values()) == {"cancelled"}
    assert len(lab.server.bodies) == 1


async def test_a_job_that_is_cancelled_before_its_first_step_fails_no_bell(
    lab: Lab, intake: Intake, monkeypatch: pytest.MonkeyPatch
):
    ids = await waiting(lab, 3)
    lab.script(a=[SURE] * 2)
    take = lab.parts.leases.take

    def take_and_cancel(job: Job, task: "asyncio.Task[str]") -> Hold:
        hold = take(job, task)
        if job.id == ids[0]:
            lab.parts.leases.stop([job.id], Stop.CANCELLED)
        return hold

    monkeypatch.setattr(lab.parts.leases, "take", take_and_cancel)
    assert await intake.answer(ids) == "2 succeeded, 1 cancelled"
    assert (await states(lab))[ids[0]] == "cancelled"


async def test_a_name_that_is_no_longer_known_fails_its_job_alone(lab: Lab, intake: Intake):
    good = await waiting(lab, 1)
    bad = await waiting(lab, 1, policy="gone")
    lab.script(a=[SURE])
    assert await intake.answer([*good, *bad]) in {"1 succeeded, 1 failed", "1 failed, 1 succeeded"}
    assert await states(lab) == {good[0]: "succeeded", bad[0]: "failed"}


async def test_a_defect_of_ours_ends_its_job_and_not_its_neighbours(lab: Lab, intake: Intake):
    good, bad = await waiting(lab, 2)
    real = lab.parts.plan

    def breaks(job):
        if job.id == bad:
            raise ZeroDivisionError
        return real(job)

    lab.parts.plan = breaks
    lab.script(a=[SURE])
    await intake.answer([good, bad])
    assert await states(lab) == {good: "succeeded", bad: "failed"}
    async with lab.database.statement() as connection:
        errors = (await connection.exec_driver_sql("select error->>'kind' from jobs where state = 'failed'")).scalars()
        assert list(errors) == ["internal"]


async def test_a_process_whose_slots_are_all_held_looks_for_more_work_itself(lab: Lab):
    lab.parts.settings = msgspec.structs.replace(
        lab.settings, worker=msgspec.structs.replace(lab.settings.worker, slots=1, poll_s=600.0)
    )
    held, waits = await waiting(lab, 2, lane=Lane.BULK)
    await lab.execute("update jobs set released_at = now() - interval '1 h'")
    lab.script(a=[lab.silence, SURE])
    intake = Intake(lab.parts, [Lane.BULK])
    answering = asyncio.create_task(intake.answer([held]))
    await lab.called(1)
    assert await intake._poll_once(set()) is False

    async def other_ended() -> bool:
        return await states(lab) == {held: "running", waits: "succeeded"}

    await until(other_ended, "the other job is carried beside the held one", 10)
    await intake.drain(0)
    assert await answering == "1 released"
    assert intake._answering == 0


async def test_who_drains_twice_waits_for_the_same_end(lab: Lab, intake: Intake):
    (slow,) = await waiting(lab, 1)
    lab.script(a=[lab.silence])
    answering = asyncio.create_task(intake.answer([slow]))
    await lab.called(1)
    async with asyncio.timeout(10):
        await asyncio.gather(intake.drain(0.1), intake.drain(600))
    assert await answering == "1 released"


async def test_in_quarantine_one_job_runs_at_a_time_whoever_brought_it(lab: Lab):
    ids = await waiting(lab, 5, lane=Lane.QUARANTINE)
    held = [0]

    async def watched(server, writer):
        held.append(len(lab.parts.leases))
        await asyncio.sleep(0.05)  # the provider's time, in which a second job would begin
        await SURE(server, writer)

    lab.script(a=[watched] * 5)
    quarantine = Intake(lab.parts, [Lane.QUARANTINE])
    polling = asyncio.create_task(quarantine.poll())
    await asyncio.gather(quarantine.answer(ids[:2]), quarantine.answer(ids[2:3]), quarantine.answer(ids[:1]))

    async def all_ended() -> bool:
        return await states(lab) == dict.fromkeys(ids, "succeeded")

    await until(all_ended, "bells and the poll carry all jobs", 10)
    await quarantine.drain(1)
    await polling
    assert held == [0, 1, 1, 1, 1, 1]
