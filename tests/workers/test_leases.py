"""What is held is beaten for; what is asked to stop, stops, unless its end is being written."""

import asyncio
import datetime as dt
import threading

import pytest

from jobs.job import Job
from jobs.settings import Worker
from jobs.store.beats import Beaten, Beats
from tests.jobs.store import given
from tests.workers.lab import Lab
from workers.leases import Beater, Leases, Stop
from workers.loop import LoopThread


async def forever() -> str:
    await asyncio.Event().wait()
    return "never"


async def hold(leases: Leases, job: Job) -> "asyncio.Task[str]":
    task = asyncio.create_task(forever())
    leases.take(job, task)
    leases.begin(job.id)
    return task


async def test_a_lease_is_held_till_its_task_is_done(lab: Lab):
    job, leases = await lab.claimed(), Leases(30)
    task = await hold(leases, job)
    assert leases.held() == {job.id: job.token}
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert leases.held() == {}


async def test_a_second_claim_of_a_job_outlives_the_first_ones_end(lab: Lab):
    job, leases = await lab.claimed(), Leases(30)
    first = await hold(leases, job)
    await lab.execute("update jobs set state = 'queued', token = null, lease_until = null")
    again = await lab.claim(job.id)
    second = await hold(leases, again)
    first.cancel()
    await asyncio.wait([first])
    await asyncio.sleep(0)
    assert leases.held() == {job.id: again.token}
    second.cancel()


async def test_a_job_is_stopped_once_and_its_reason_kept(lab: Lab):
    job, leases = await lab.claimed(), Leases(30)
    task = await hold(leases, job)
    leases.stop([job.id], Stop.CANCELLED)
    leases.stop_all(Stop.RELEASED)
    assert leases.stop_reason(job.id) is Stop.CANCELLED
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_job_whose_end_is_being_written_cannot_be_stopped(lab: Lab):
    job, leases = await lab.claimed(), Leases(30)
    task = await hold(leases, job)
    leases.rest(job.id)
    leases.stop([job.id], Stop.CANCELLED)
    await asyncio.sleep(0)
    assert not task.done()
    assert leases.stop_reason(job.id) is None
    assert leases.held() == {job.id: job.token}
    task.cancel()


async def test_waiting_for_the_end_of_all_ends_with_the_patience(lab: Lab):
    leases = Leases(30)
    await leases.ended(60)
    task = await hold(leases, await lab.claimed())
    await leases.ended(0.01)
    assert not task.done()
    task.cancel()


class Beating:
    """A beater over the record, and a loop that carries what it beats for."""

    def __init__(self, lab: Lab, url: str | None = None) -> None:
        self.leases = Leases(60)
        self.loop = LoopThread()
        self.beats = Beats(url or lab.settings.database_url, given.presence())
        self.counted: list[int] = []
        self.beater = Beater(self.beats, self.leases, self.loop, Worker(beat_s=0.02), self.counted.append)
        self.stopped = threading.Event()

    def carry(self, job: Job) -> None:
        async def begin() -> None:
            task = await hold(self.leases, job)
            task.add_done_callback(lambda _: self.stopped.set())

        self.loop.run(begin(), 10)

    def close(self) -> None:
        async def end() -> None:
            self.leases.stop_all(Stop.RELEASED)
            await self.leases.ended(10)

        self.loop.run(end(), 10)
        self.beats.close()
        self.loop.stop()


@pytest.fixture
def beating(lab: Lab):
    made = Beating(lab)
    yield made
    made.close()


async def test_a_beat_renews_the_leases_of_what_is_in_hand(lab: Lab, beating: Beating):
    job = await lab.claimed()
    beating.carry(job)
    before = await lab.row(job)
    beating.beater.beat()
    after = await lab.row(job)
    assert after.lease_until - before.lease_until > dt.timedelta(seconds=20)
    assert not beating.stopped.is_set()


async def test_a_beat_for_a_job_that_moved_on_renews_nothing_and_cuts_no_call(lab: Lab, beating: Beating):
    job = await lab.claimed()
    beating.carry(job)
    await lab.execute("update jobs set token = gen_random_uuid()")
    before = await lab.row(job)
    beating.beater.beat()
    assert (await lab.row(job)).lease_until == before.lease_until
    assert not beating.stopped.is_set()


async def test_a_cancel_whose_signal_was_lost_is_heard_with_the_beat(lab: Lab, beating: Beating):
    job = await lab.claimed()
    beating.carry(job)
    await lab.execute("update jobs set cancel_requested_at = now()")
    beating.beater.beat()
    assert await asyncio.to_thread(beating.stopped.wait, 10)


async def test_a_beat_counts_the_workers_that_live_also_when_nothing_is_in_hand(lab: Lab, beating: Beating):
    other = Beating(lab)
    other.beater.beat()
    beating.beater.beat()
    assert beating.counted == [2]
    await asyncio.to_thread(other.close)


async def test_a_beat_that_fails_is_no_loss(lab: Lab):
    away = Beating(lab, "postgresql://nobody@127.0.0.1:1/none")
    job = await lab.claimed()
    away.carry(job)
    away.beater.beat()
    assert away.leases.held() == {job.id: job.token}
    assert not away.stopped.is_set()
    await asyncio.to_thread(away.close)


async def test_it_beats_from_its_own_thread_until_it_is_stopped(lab: Lab, beating: Beating):
    job = await lab.claimed()
    await lab.execute("update jobs set cancel_requested_at = now()")
    beating.beater.start()
    beating.carry(job)
    assert await asyncio.to_thread(beating.stopped.wait, 10)
    await asyncio.to_thread(beating.beater.stop)
    assert "tokenyard-beat" not in {thread.name for thread in threading.enumerate()}


async def test_a_loop_that_does_not_move_is_not_beaten_for(lab: Lab, beating: Beating):
    release, blocked, job = threading.Event(), threading.Event(), await lab.claimed()
    beating.carry(job)

    async def block() -> None:
        blocked.set()
        release.wait(10)

    beating.loop.start(block())
    assert await asyncio.to_thread(blocked.wait, 10)
    strict = Beater(beating.beats, beating.leases, beating.loop, Worker(max_lag_s=0.01), beating.counted.append)
    before = await lab.row(job)
    assert not await asyncio.to_thread(strict._look_and_beat)
    assert (await lab.row(job)).lease_until == before.lease_until
    assert beating.counted == []
    release.set()
    await asyncio.to_thread(until_it_moves, beating.loop)
    assert await asyncio.to_thread(strict._look_and_beat)
    assert (await lab.row(job)).lease_until > before.lease_until


def until_it_moves(loop: LoopThread) -> None:
    async def moves() -> None:
        return None

    loop.run(moves(), 10)


class Refusing(Beats):
    """Raises at the second beat, as a server that is not the primary any more does, then says that all is well."""

    def __init__(self) -> None:
        super().__init__("postgresql://nobody@127.0.0.1:1/none", given.presence())
        self.beats = 0
        self.went_on = threading.Event()

    def beat(self, held, lease_s, loop_lag_s=0.0):
        self.beats += 1
        if self.beats == 2:
            raise RuntimeError("not to be foreseen")
        if self.beats > 2:
            self.went_on.set()
        return Beaten(dict.fromkeys(held, False), 1)

    def close(self) -> None:
        """Nothing to close."""


async def test_the_beat_goes_on_whatever_one_beat_met(lab: Lab):
    job, leases, loop, beats = await lab.claimed(), Leases(30), LoopThread(), Refusing()
    task = await hold(leases, job)
    beater = Beater(beats, leases, loop, Worker(beat_s=0.01), lambda _: None)
    beater.start()
    assert await asyncio.to_thread(beats.went_on.wait, 10)
    await asyncio.to_thread(beater.stop)
    await asyncio.to_thread(loop.stop)
    task.cancel()
