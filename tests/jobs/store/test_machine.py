"""The promises under random histories: Hypothesis drives the real SQL, with workers that crash, freeze and wake.

Eighty fixed histories by default, more when these do not meet everything; `TOKENYARD_SEEDS=2000` tries 2,000 new.
"""

import asyncio
import os
from contextlib import AsyncExitStack
from decimal import Decimal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, run_state_machine_as_test

from jobs.lanes import SUBMITTABLE, Lane
from jobs.states import Outcome, State
from jobs.store import lifecycle, owner, release, submit, sweep
from jobs.store.beats import Beats
from jobs.store.rows import Move
from jobs.store.session import Database
from jobs.store.uuid7 import uuid7
from tests.jobs.store import given
from tests.jobs.store.model import MAX_DEATHS, Call, Hand, Known
from tests.jobs.store.yard import LEASE_S, MANY, REISSUE_S, Seen, Yard, set_witness

SEEDS = int(os.environ.get("TOKENYARD_SEEDS", "0"))
MOST_ROUNDS = 5
"""What the fixed histories hold depends on the constants of the code that Hypothesis has seen; when they miss something
that must be met, new ones are tried."""
# One drawn number picks one of what there is at that moment.
PICK = st.integers(0, MANY)
PICKS = st.lists(PICK, min_size=1, max_size=6)
COST = st.none() | st.integers(0, 10**9).map(lambda number: Decimal(number).scaleb(-12))
LANES = st.sampled_from(SUBMITTABLE)
ALL_LANES = st.sampled_from(Lane)

ENDINGS = ("succeed", "tried", "best", "fail", "defer", "cancel", "expire", "wait")


class Histories(Yard):
    """Workers, sweepers and owners, one step at a time, on one record."""

    @initialize(count=st.integers(1, 4), tried=st.booleans())
    def begin(self, count: int, tried: bool) -> None:
        """With work in hand, else a history is half over before anything happens."""
        self.submit(Lane.INTERACTIVE, count)
        self.answer_bell(list(range(count)), stray=False, call=True)
        if tried:
            self.close_calls(list(range(count)), Decimal("0.002"), Outcome.REJECTED, "go on")

    # Owners.

    @rule(lane=LANES, count=st.integers(1, 5))
    def submit(self, lane: Lane, count: int) -> None:
        rung = lane is Lane.INTERACTIVE
        news = [given.submission(self.tenant_id, lane=lane, released=rung) for _ in range(count)]
        waiting = sum(job.state is State.QUEUED and job.is_released for job in self.jobs.values() if job.lane is lane)
        assert self.on(lambda connection: submit.insert(connection, news)) == {new.id for new in news}
        for nth, new in enumerate(news, start=1):
            released = rung and waiting + nth <= submit.MOST_WAITING_INTERACTIVE
            self.jobs[new.id] = Known(new.id, lane, released)

    @precondition(lambda self: self.jobs)
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        job = list(self.jobs.values())[pick % len(self.jobs)]
        was = job.state
        cancelled = self.on(lambda connection: owner.cancel_job(connection, self.tenant_id, job.id))
        job.cancel()
        assert cancelled.ended == ((job.id,) if was is State.QUEUED else ())
        assert cancelled.told == ((job.id,) if was is State.RUNNING else ())

    # Time, which only the database has.

    @rule(picks=PICKS, what=st.sampled_from(["deadlines", "leases", "waits"]))
    def time_passes(self, picks: list[int], what: str) -> None:
        match what:
            case "deadlines":
                self.deadlines_pass(picks)
            case "leases":
                self.expire_leases({hand.job for hand in self.some(picks, awake=False) if self.holds(hand)})
            case _:
                self.waits_end()

    def deadlines_pass(self, picks: list[int]) -> None:
        late = [list(self.jobs.values())[pick % len(self.jobs)] for pick in picks[:2]]
        for job in late:
            job.is_late = True
        self.sql(
            "update jobs set deadline_at = now() - interval '1 s'"
            " where id = any(:ids) and state in ('queued', 'running')",
            ids=[job.id for job in late],
        )

    def waits_end(self) -> None:
        self.sql("update jobs set run_at = now() where state = 'queued' and run_at > now()")
        for job in self.jobs.values():
            job.is_due = True

    # The dispatcher.

    @rule(lane=ALL_LANES, most=st.integers(1, 6))
    def release(self, lane: Lane, most: int) -> None:
        due = {job.id for job in self.jobs.values() if job.lane is lane and job.is_releasable}
        released = self.on(lambda connection: given.release(connection, lane, most))
        assert set(released) <= due
        assert len(released) == min(most, len(due))
        for job_id in released:
            self.jobs[job_id].is_released = True

    @rule(what=st.sampled_from(["rescue", "expire", "reissue", "wake"]))
    def sweep(self, what: str) -> None:
        {"rescue": self.rescue, "expire": self.expire, "reissue": self.reissue, "wake": self.wake}[what]()

    def wake(self) -> None:
        due = [job for job in self.jobs.values() if job.state is State.QUEUED and job.is_deferred and job.is_due]
        for job in due:
            job.is_deferred = False
            self.seen.woken += 1
        assert set(self.on(release.wake)) == {job.id for job in due}

    def rescue(self) -> None:
        dead = [job for job in self.jobs.values() if job.state is State.RUNNING and not job.is_leased]
        for job in dead:
            job.rescue()
            self.seen.quarantined += job.home is not None
        rescued = self.on(lambda connection: sweep.rescue(connection, MAX_DEATHS))
        assert dict(rescued) == {job.id: job.state for job in dead}

    def expire(self) -> None:
        late = [job for job in self.jobs.values() if job.state is State.QUEUED and job.is_late]
        for job in late:
            job.state, job.is_released = State.EXPIRED, False
        assert set(self.on(sweep.expire)) == {job.id for job in late}

    def reissue(self) -> None:
        self.be_silent()
        lost = [job for job in self.jobs.values() if job.state is State.QUEUED and job.is_released]
        for job in lost:
            job.is_released = False
        found = self.on(lambda connection: sweep.reissue(connection, REISSUE_S))
        assert set(found) == {job.id for job in lost}

    # Workers.

    @precondition(lambda self: self.jobs)
    @rule(picks=st.lists(PICK, min_size=1, max_size=8), stray=st.booleans(), call=st.booleans())
    def answer_bell(self, picks: list[int], stray: bool, call: bool) -> None:
        """Bells name what they like: duplicates, jobs that run or ended long ago, jobs nobody knows."""
        known = list(self.jobs)
        rung = [known[pick % len(known)] for pick in picks] + [uuid7()] * stray
        due = {job_id for job_id in rung if job_id in self.jobs and self.jobs[job_id].is_claimable}
        found = self.on(lambda connection: lifecycle.claim_rung(connection, rung, lease_s=LEASE_S))
        self.take(found.jobs, due, len(rung))
        if call:
            self._open([hand for hand in self.awake() if hand.call is None], Decimal("0.01"), times=1 + stray)

    @rule(lanes=st.sets(ALL_LANES, min_size=1), most=st.integers(1, 5))
    def poll(self, lanes: set[Lane], most: int) -> None:
        self.be_silent()
        due = {job.id for job in self.jobs.values() if job.lane in lanes and job.is_claimable}
        found = self.on(
            lambda connection: lifecycle.claim_polled(
                connection, sorted(lanes), most=most, silence_s=2.0, lease_s=LEASE_S
            )
        )
        self.take(found.jobs, due, most)

    @precondition(lambda self: self.awake())
    @rule(picks=PICKS, bound=COST, acknowledged=st.booleans())
    def open_calls(self, picks: list[int], bound: Decimal | None, acknowledged: bool) -> None:
        hands = [hand for hand in self.some(picks) if hand.call is None]
        self._open(hands, bound, times=1 if acknowledged else 2)

    def _open(self, hands: list[Hand], bound: Decimal | None, times: int = 1) -> None:
        """Write calls; twice when the first acknowledgement was lost."""
        openings = [self.opening_of(hand, bound) for hand in hands]
        allowed = {
            opening.id
            for hand, opening in zip(hands, openings, strict=True)
            if self.holds(hand) and not self.jobs[hand.job].is_cancelled
        }
        for _ in range(times):
            assert self.on(lambda connection: lifecycle.open_attempts(connection, openings)) == allowed
        for hand, opening in zip(hands, openings, strict=True):
            if opening.id in allowed:
                hand.call = opening.id
                self.jobs[hand.job].calls[opening.id] = Call(opening.id)

    @precondition(lambda self: any(hand.call for hand in self.awake()))
    @rule(
        picks=PICKS,
        cost=COST,
        outcome=st.sampled_from([Outcome.REJECTED, Outcome.REJECTED, Outcome.FAILED, Outcome.NOT_SENT]),
        then=st.sampled_from(["rest", "go on", "best effort"]),
    )
    def close_calls(self, picks: list[int], cost: Decimal | None, outcome: Outcome, then: str) -> None:
        """Close, and then rest, make the next call, or hand out the best of the answers so far."""
        hands, moves = self.some(picks), []
        for hand in hands:
            if hand.call is not None:
                moves.append(Move.close(hand.job, hand.token, self.closing_of(hand.call, outcome, cost)))
                hand.call = None
        self.settle(moves)
        if then == "go on":
            self._open([hand for hand in hands if hand.call is None], cost)
        if then == "best effort":
            self.settle([move for hand in hands if (move := self.ending_of(hand, "best", cost))])
            self.hands = [hand for hand in self.hands if hand not in hands]

    @precondition(lambda self: self.awake())
    @rule(picks=PICKS, first=st.integers(0, len(ENDINGS) - 1), cost=COST, both=st.booleans())
    def end(self, picks: list[int], first: int, cost: Decimal | None, both: bool) -> None:
        """Endings of several jobs in one flush, stale ones among them; `both`: all holders of one job say the same."""
        hands = self.some(picks)
        if both:
            hands = [hand for hand in self.awake() if hand.job == hands[0].job]
        moves = []
        for nth, hand in enumerate(hands):
            ending = ENDINGS[first if both else (first + nth) % len(ENDINGS)]
            move = self.ending_of(hand, ending, cost)
            if move is not None:
                moves.append(move)
                self.hands.remove(hand)
        self.settle(moves)

    @precondition(lambda self: self.sent)
    @rule(pick=PICK)
    def say_again(self, pick: int) -> None:
        """A flush was committed and its acknowledgement lost: it is sent again."""
        self.settle(self.sent[pick % len(self.sent)], keep=False)

    @precondition(lambda self: self.awake())
    @rule(picks=PICKS)
    def beat(self, picks: list[int]) -> None:
        held = {hand.job: hand.token for hand in self.some(picks)}
        kept = [self.jobs[job_id] for job_id, token in held.items() if self.jobs[job_id].token == token]
        assert self.beats.beat(held, LEASE_S).kept == {job.id: job.is_cancelled for job in kept}
        for job in kept:
            job.is_leased = True

    @precondition(lambda self: self.hands)
    @rule(picks=PICKS, what=st.sampled_from(["crash", "freeze", "wake"]))
    def suffer(self, picks: list[int], what: str) -> None:
        """Who crashes forgets everything; who wakes keeps its token and its call, and will try to go on."""
        for hand in self.some(picks, awake=False):
            hand.is_frozen = what == "freeze"
            if what == "crash":
                self.hands.remove(hand)

    @precondition(lambda self: self.awake())
    @rule(picks=PICKS, again=st.booleans())
    def others_take_over(self, picks: list[int], again: bool) -> None:
        """A pause longer than a lease: the jobs are rescued and run elsewhere, and nobody told the paused worker."""
        self.expire_leases({hand.job for hand in self.some(picks) if self.holds(hand)})
        self.rescue()
        if again:
            for lane in Lane:
                self.release(lane, MANY)
            self.poll(set(Lane), MANY)
            self._open([hand for hand in self.awake() if hand.call is None], None)

    # What must hold.

    @invariant()
    def jobs_hold(self) -> None:
        self.the_record_says_what_happened()

    @invariant()
    def ledger_holds(self) -> None:
        self.the_ledger_is_honest()

    def teardown(self) -> None:
        """All workers die; one healthy worker must bring every job to its end, and the whole history must hold."""
        self.hands.clear()
        while any(not job.state.is_terminal for job in self.jobs.values()):
            self.expire_leases({job.id for job in self.jobs.values() if job.state is State.RUNNING})
            self.rescue()
            self.waits_end()
            self.wake()
            self.expire()
            for lane in Lane:
                self.release(lane, MANY)
            self.poll(set(Lane), MANY)
            self._open(self.hands, Decimal("0.01"))
            self.settle([move for hand in self.hands if (move := self.ending_of(hand, "succeed", Decimal("0.001")))])
            self.expire_leases({hand.job for hand in self.hands})
            self.hands.clear()
        self.the_record_says_what_happened()
        self.the_ledger_is_honest()
        self.each_ended_once()
        self.answers_are_accepted_once()


def histories(*, is_fixed: bool) -> settings:
    """How many histories are tried; fixed ones are the same at every run of the same code."""
    return settings(
        max_examples=SEEDS or 80,
        stateful_step_count=40,
        derandomize=is_fixed,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def test_no_history_loses_doubles_or_misbooks_a_job(database_url: str):
    seen = Seen()
    with asyncio.Runner() as runner:
        opened, database = AsyncExitStack(), Database(database_url, pool_size=1)
        beats = Beats(database_url, given.presence())
        try:
            connection = runner.run(opened.enter_async_context(database.statement()))
            runner.run(set_witness(connection))

            class Here(Histories):
                """Hypothesis makes one for each history, without arguments."""

                def __init__(self) -> None:
                    super().__init__(runner.run, connection, beats, seen)

            for attempt in range(MOST_ROUNDS):
                run_state_machine_as_test(Here, settings=histories(is_fixed=attempt == 0 and not SEEDS))
                if seen.everything():
                    break
        finally:
            beats.close()
            runner.run(opened.aclose())
            runner.run(database.close())
    print(seen)  # noqa: T201 -- figures for `pytest -s`
    assert seen.everything(), seen
