"""A yard at the record's door: how a history's steps reach the real SQL, what they must find, and what must hold."""

import uuid
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

from hypothesis.stateful import RuleBasedStateMachine
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs.failures import Failure, FailureKind
from jobs.job import Job
from jobs.states import MOVES, Outcome, State
from jobs.store import lifecycle
from jobs.store.accounts import ensure_tenant
from jobs.store.beats import Beats
from jobs.store.rows import Closing, Move, Opening
from jobs.store.uuid7 import uuid7
from tests.jobs.store import given
from tests.jobs.store.model import Hand, Known

LEASE_S = 30.0
REISSUE_S = 30.0
MANY = 1000
Found = TypeVar("Found")
Run = Callable[[Coroutine[Any, Any, Any]], Any]

# A witness beside the record: every change of state, and every write to a row that had ended.
WITNESS = (
    "create table witness (job_id uuid, was text, became text)",
    """
    create function witness() returns trigger language plpgsql as $$
    begin
        if old.state is distinct from new.state or old.state not in ('queued', 'running') then
            insert into witness values (new.id, old.state, new.state);
        end if;
        return null;
    end $$
    """,
    "create trigger witness after update on jobs for each row execute function witness()",
)
OUTCOMES = {"succeed": Outcome.ACCEPTED, "tried": Outcome.FAILED}
"""How the call in hand ends, by the worker's last word; it is cut by any other."""
LOOK = """
select id, state, token, claims, deaths, lane, home_lane, released_at is not null,
    state = 'queued' and deferred, cancel_requested_at is not null, answer_attempt
from jobs
"""
LEDGER = "select id, outcome, cost_usd, closed_at is not null from attempts"
WRITTEN = "select id, cast(xmin as text) from jobs where id = any(:ids)"


@dataclass
class Seen:
    """What the histories have been through, all together: a check that met nothing has proved nothing."""

    histories: int = 0
    steps: int = 0
    moves: Counter[tuple[State, State]] = field(default_factory=Counter)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    stale_writes: int = 0
    mixed_claims: int = 0
    """A stale and the fresh claim of one job in one flush."""
    replays: int = 0
    best_efforts: int = 0
    woken: int = 0
    quarantined: int = 0
    cleared: int = 0
    """Came out of quarantine alive."""

    def everything(self) -> bool:
        """Whether every legal move, every outcome and every mishap was met at least once."""
        rare = min(self.stale_writes, self.mixed_claims, self.replays, self.best_efforts, self.cleared, self.woken)
        all_moves = {(move.source, move.target) for move in MOVES}
        return rare > 0 and self.moves.keys() == all_moves and self.outcomes.keys() == set(Outcome)


class Yard(RuleBasedStateMachine):
    """What the rules are made of."""

    def __init__(self, run: Run, connection: AsyncConnection, beats: Beats, seen: Seen) -> None:
        super().__init__()
        self.run = run
        self.connection = connection
        self.beats = beats
        self.seen = seen
        seen.histories += 1
        self.jobs: dict[uuid.UUID, Known] = {}
        self.hands: list[Hand] = []
        self.sent: list[list[Move]] = []
        for table in ("jobs", "attempts", "payloads", "witness"):
            self.sql(f"delete from {table}")
        self.tenant_id = self.on(lambda connection: ensure_tenant(connection, "default"))

    # How the steps reach the record.

    def on(self, use: Callable[[AsyncConnection], Coroutine[Any, Any, Found]]) -> Found:
        """One statement on the machine's own connection, which commits each by itself."""
        found: Found = self.run(use(self.connection))
        return found

    def sql(self, statement: str, **names: object) -> Sequence[Any]:
        async def execute(connection: AsyncConnection) -> Sequence[Any]:
            found = await connection.execute(text(statement), names)
            return found.all() if found.returns_rows else ()

        return self.on(execute)

    def awake(self) -> list[Hand]:
        return [hand for hand in self.hands if not hand.is_frozen]

    def some(self, picks: list[int], *, awake: bool = True) -> list[Hand]:
        """Some hands, each once."""
        hands = self.awake() if awake else self.hands
        return [hands[index] for index in sorted({pick % len(hands) for pick in picks})] if hands else []

    def holds(self, hand: Hand) -> bool:
        job = self.jobs[hand.job]
        return job.state is State.RUNNING and job.token == hand.token

    # The parts of the steps.

    def expire_leases(self, job_ids: set[uuid.UUID]) -> None:
        for job_id in job_ids:
            self.jobs[job_id].is_leased = False
        self.sql(
            "update jobs set lease_until = now() - interval '1 s' where id = any(:ids) and state = 'running'",
            ids=list(job_ids),
        )

    def be_silent(self) -> None:
        """Let every release be old."""
        self.sql(
            "update jobs set released_at = now() - interval '1 h' where state = 'queued' and released_at is not null"
        )

    def take(self, found: list[Job], due: set[uuid.UUID], most: int) -> None:
        assert {job.id for job in found} <= due
        assert len(found) == min(most, len(due))
        for job in found:
            known = self.jobs[job.id]
            known.claim(job.token)
            assert job.request.raw == given.RAW
            assert job.claims == known.claims
            assert [(past.id, past.outcome) for past in job.past] == known.closed()
            self.hands.append(Hand(job.id, job.token))

    def opening_of(self, hand: Hand, bound: Decimal | None) -> Opening:
        return Opening(
            id=uuid7(),
            job_id=hand.job,
            token=hand.token,
            deployment="maker/small@lab",
            model="maker/small",
            provider="lab",
            tier=0,
            cost_bound_usd=bound,
        )

    def closing_of(self, call: uuid.UUID, outcome: Outcome, cost: Decimal | None) -> Closing:
        answer = given.ANSWER if outcome in {Outcome.ACCEPTED, Outcome.REJECTED} else None
        basis = "none" if cost is None else "usage"
        return Closing(id=call, outcome=outcome, cost_usd=cost, cost_basis=basis, answer=answer)

    def ending_of(self, hand: Hand, kind: str, cost: Decimal | None) -> Move | None:
        """A worker's last word on a job; None when this kind can't be said (no call to accept, no earlier answer)."""
        closing = None
        if hand.call is not None:
            closing = self.closing_of(hand.call, OUTCOMES.get(kind, Outcome.CANCELLED), cost)
        match kind:
            case "succeed":
                return Move.succeed(hand.job, hand.token, closing.id, closing) if closing else None
            case "best":
                calls = self.jobs[hand.job].calls.values()
                answered = [call.id for call in calls if call.outcome is Outcome.REJECTED]
                return Move.succeed(hand.job, hand.token, answered[0], closing) if answered else None
            case "fail":
                failure = Failure(FailureKind.TRANSIENT, "nobody was left")
                return Move.fail(hand.job, hand.token, failure, closing)
            case "expire":
                return Move.expire(hand.job, hand.token, closing)
            case "cancel":
                return Move.cancel(hand.job, hand.token, closing)
            case _:
                return Move.defer(hand.job, hand.token, 600.0 if kind == "wait" else 0.0, closing)

    def settle(self, moves: list[Move], *, keep: bool = True) -> None:
        if not moves:
            return
        ids = [move.job_id for move in moves]
        before = dict(map(tuple, self.sql(WRITTEN, ids=ids)))
        suspects = {job.id for job in self.jobs.values() if job.home}
        was_held = [self.jobs[move.job_id].settle(move) for move in moves]
        held = [move for move, is_held in zip(moves, was_held, strict=True) if is_held]
        expected = {move.job_id for move in held}
        assert self.on(lambda connection: lifecycle.settle(connection, moves)) == {move.token for move in held}
        after = dict(map(tuple, self.sql(WRITTEN, ids=ids)))
        for job_id in before.keys() - expected:
            assert after[job_id] == before[job_id], "a stale token wrote to a job's row"
        self.seen.stale_writes += len(before.keys() - expected)
        self.seen.mixed_claims += len({*zip(ids, was_held, strict=True)}) > len(set(ids))
        self.seen.replays += not keep
        self.seen.cleared += sum(self.jobs[job_id].home is None for job_id in suspects)
        if keep:
            self.sent.append(moves)

    # What must hold.

    def the_record_says_what_happened(self) -> None:
        """I1 and I3: every submitted job is there, as the model has it."""
        self.seen.steps += 1
        assert {row[0]: tuple(row[1:]) for row in self.sql(LOOK)} == {job.id: job.row() for job in self.jobs.values()}

    def the_ledger_is_honest(self) -> None:
        """I4: every call that was made is there, closed once, with its own bill."""
        calls = {call.id: call for job in self.jobs.values() for call in job.calls.values()}
        ledger = {row[0]: tuple(row[1:]) for row in self.sql(LEDGER)}
        assert ledger == {call.id: (call.outcome, call.cost_usd, call.outcome is not None) for call in calls.values()}

    def each_ended_once(self) -> None:
        """I2: only legal moves, and one ending; nothing is ever written to a row that has ended."""
        history = self.sql("select job_id, was, became from witness")
        legal = {(move.source, move.target) for move in MOVES}
        moves = Counter((State(row.was), State(row.became)) for row in history)
        assert moves.keys() <= legal
        self.seen.moves += moves
        endings = Counter(row.job_id for row in history if State(row.became).is_terminal)
        assert endings == Counter(self.jobs.keys())

    def answers_are_accepted_once(self) -> None:
        calls = [call for job in self.jobs.values() for call in job.calls.values()]
        for call in calls:
            assert call.outcome is not None
            self.seen.outcomes[call.outcome] += 1
        for job in self.jobs.values():
            accepted = [call.id for call in job.calls.values() if call.outcome is Outcome.ACCEPTED]
            if job.state is not State.SUCCEEDED:
                assert accepted == []
            elif accepted:
                assert accepted == [job.answer]
            else:
                assert job.answer is not None
                assert job.calls[job.answer].outcome is Outcome.REJECTED
                self.seen.best_efforts += 1
        ((kept,),) = self.sql(
            "select count(*) from payloads p join jobs j on j.answer_attempt = p.id where j.state = 'succeeded'"
        )
        assert kept == sum(job.state is State.SUCCEEDED for job in self.jobs.values())
        ((total,),) = self.sql("select coalesce(sum(cost_usd), 0) from attempts")
        assert total == sum((call.cost_usd for call in calls if call.cost_usd is not None), Decimal(0))


async def set_witness(connection: AsyncConnection) -> None:
    """Put the trigger beside a fresh record."""
    for statement in WITNESS:
        await connection.execute(text(statement))
