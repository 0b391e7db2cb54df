"""Budgets under random histories: whatever crashes, comes late or is said twice, the sums are those of the rows.

Twenty fixed histories by default; `TOKENYARD_SEEDS=2000` tries 2,000 new ones.
"""

import asyncio
import datetime as dt
import os
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs.states import Outcome
from jobs.store import budget_alerts, budgets, lifecycle, submit, sweep
from jobs.store.accounts import Scope, create_key, ensure_tenant
from jobs.store.rows import Closing, Move, Opening
from jobs.store.session import Database
from tests.jobs.store import given
from tests.jobs.store.budgeted import closed, opening

SEEDS = int(os.environ.get("TOKENYARD_SEEDS", "0"))
CAP = Decimal("0.10")
PICKS = st.lists(st.integers(0, 1000), min_size=1, max_size=5)
BOUNDS = st.none() | st.integers(1, 50).map(lambda mills: Decimal(mills) / 1000)
OUTCOMES = st.sampled_from([Outcome.REJECTED, Outcome.FAILED, Outcome.CANCELLED, Outcome.NOT_SENT])
Found = TypeVar("Found")


@dataclass
class Call:
    """A call as its budgets must see it."""

    made: Opening
    key: uuid.UUID
    is_old: bool = False
    """Opened in a period that is over."""
    outcome: Outcome | None = None
    cost: Decimal | None = None

    @property
    def bound(self) -> Decimal:
        assert self.made.cost_bound_usd is not None
        return self.made.cost_bound_usd

    @property
    def charge(self) -> Decimal:
        if self.cost is not None:
            return self.cost
        return Decimal(0) if self.outcome is Outcome.NOT_SENT else self.bound


EVERYTHING = {"opened", "refused", "no price", "said twice", "late bill", "rescued", "left open", "new day"}


class Histories(RuleBasedStateMachine):
    """One tenant with two keys: a budget for good on the tenant, one a day on the first key."""

    def __init__(
        self, run: Callable[[Coroutine[Any, Any, Any]], Any], connection: AsyncConnection, met: Counter[str]
    ) -> None:
        super().__init__()
        self.run, self.connection, self.met = run, connection, met
        self.calls: list[Call] = []
        self.jobs: list[tuple[uuid.UUID, uuid.UUID, uuid.UUID]] = []
        for table in ("budgets", "jobs", "attempts", "payloads", "api_keys"):
            self.sql(f"delete from {table}")
        self.tenant = self.on(lambda connection: ensure_tenant(connection, "default"))
        self.keys = [
            self.on(lambda connection: create_key(connection, self.tenant, "a test", Scope))[0] for _ in range(2)
        ]
        self.on(lambda connection: budgets.create(connection, self.tenant, CAP, "total"))
        self.on(lambda connection: budgets.create(connection, self.tenant, CAP / 2, "day", self.keys[0]))

    def on(self, use: Callable[[AsyncConnection], Coroutine[Any, Any, Found]]) -> Found:
        found: Found = self.run(use(self.connection))
        return found

    def sql(self, statement: str, **names: object) -> Sequence[Any]:
        async def execute(connection: AsyncConnection) -> Sequence[Any]:
            found = await connection.execute(text(statement), names)
            return found.all() if found.returns_rows else ()

        return self.on(execute)

    def open_calls(self) -> list[Call]:
        return [call for call in self.calls if call.outcome is None]

    def some(self, picks: list[int], calls: list[Call]) -> list[Call]:
        return [calls[index] for index in sorted({pick % len(calls) for pick in picks})] if calls else []

    def left(self, key: uuid.UUID) -> Decimal:
        """What may still be reserved for a call of a key, by the model."""
        lefts = [CAP - sum((call.charge for call in self.calls), Decimal(0))]
        if key == self.keys[0]:
            mine = [call.charge for call in self.calls if call.key == key and not call.is_old]
            lefts.append(CAP / 2 - sum(mine, Decimal(0)))
        return min(lefts)

    # Workers.

    @initialize(draws=st.lists(st.tuples(st.integers(0, 1), st.just(CAP / 10)), min_size=1, max_size=4))
    def begin(self, draws: list[tuple[int, Decimal | None]]) -> None:
        """With calls under way, else a history is half over before anything happens."""
        self.open(draws, again=False)

    @rule(draws=st.lists(st.tuples(st.integers(0, 1), BOUNDS), min_size=1, max_size=4), again=st.booleans())
    def open(self, draws: list[tuple[int, Decimal | None]], again: bool) -> None:
        made = []
        for nth, bound in draws:
            new = given.submission(self.tenant, key_id=self.keys[nth])
            self.on(lambda connection, new=new: submit.insert(connection, [new]))  # type: ignore[misc]
            self.sql("update jobs set released_at = now() where id = :id", id=new.id)
            ((job,), _) = self.on(
                lambda connection, new=new: lifecycle.claim_rung(connection, [new.id], lease_s=30)  # type: ignore[misc]
            )
            made.append((opening(job.id, job.token, bound), self.keys[nth]))
        rows = [each for each, _ in made]
        written = self.on(lambda connection: lifecycle.open_attempts(connection, rows))
        if again:
            # Of what was refused the second time may let something in: then another took its room meanwhile.
            assert self.on(lambda connection: lifecycle.open_attempts(connection, rows)) >= written
            written = {row.id for row in self.sql("select id from attempts where outcome is null")}
            self.met["said twice"] += 1
        for each, key in made:
            if each.id in written:
                self.calls.append(Call(each, key))
                self.met["opened"] += 1
        for each, key in made:
            if each.id not in written:
                # Nothing that was refused by itself would fit: no room was wasted.
                assert each.cost_bound_usd is None or len(made) > 1 or each.cost_bound_usd > self.left(key)
                self.met["no price" if each.cost_bound_usd is None else "refused"] += 1

    @precondition(lambda self: self.open_calls())
    @rule(picks=PICKS, outcome=OUTCOMES, share=st.none() | st.integers(0, 100), again=st.booleans())
    def close(self, picks: list[int], outcome: Outcome, share: int | None, again: bool) -> None:
        calls = self.some(picks, self.open_calls())
        self._close(calls, outcome, share)
        if again:
            self._settle(calls, outcome, 77)

    def _close(self, calls: list[Call], outcome: Outcome, share: int | None) -> None:
        for call in calls:
            call.outcome, call.cost = outcome, None if share is None else call.bound * share / 100
        self._settle(calls, outcome, share)

    def _settle(self, calls: list[Call], outcome: Outcome, share: int | None) -> None:
        moves = []
        for call in calls:
            bill: Closing = closed(call.made, outcome, None if share is None else call.bound * share / 100)
            moves.append(Move.close(call.made.job_id, call.made.token, bill))
        self.on(lambda connection: lifecycle.settle(connection, moves))

    @precondition(lambda self: self.open_calls())
    @rule(picks=PICKS)
    def die(self, picks: list[int]) -> None:
        """Workers die; the sweeper gives their jobs back."""
        calls = self.some(picks, self.open_calls())
        ids = [call.made.job_id for call in calls]
        self.sql("update jobs set lease_until = now() - interval '1 s' where id = any(:ids)", ids=ids)
        self.on(lambda connection: sweep.rescue(connection, 3))
        for call in calls:
            call.outcome = Outcome.UNKNOWN
            self.met["rescued"] += 1

    @precondition(lambda self: self.open_calls())
    @rule(picks=PICKS)
    def move_on(self, picks: list[int]) -> None:
        """A defect: the job is given back and its call left open; the hourly look finds it."""
        calls = self.some(picks, self.open_calls())
        moves = [Move.defer(call.made.job_id, call.made.token, 0.0, None) for call in calls]
        self.on(lambda connection: lifecycle.settle(connection, moves))
        later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=2)
        self.on(lambda connection: sweep.close_left_open(connection, later))
        for call in calls:
            call.outcome = Outcome.UNKNOWN
            self.met["left open"] += 1

    @precondition(lambda self: any(call.outcome is Outcome.UNKNOWN for call in self.calls))
    @rule(picks=PICKS, share=st.integers(0, 100))
    def bill_late(self, picks: list[int], share: int) -> None:
        unknown = [call for call in self.calls if call.outcome is Outcome.UNKNOWN]
        self._close(self.some(picks, unknown), Outcome.FAILED, share)
        self.met["late bill"] += 1

    # Time, which only the database has: everything becomes a day older.

    @precondition(lambda self: any(not call.is_old for call in self.calls))
    @rule(swept=st.booleans())
    def day_passes(self, swept: bool) -> None:
        self.sql("update budgets set period_start = period_start - interval '1 day'")
        self.sql("update attempts set opened_at = opened_at - interval '1 day'")
        for call in self.calls:
            call.is_old = True
        if swept:
            self.on(budget_alerts.look)
        self.met["new day"] += 1

    # What must hold.

    @invariant()
    def the_sums_are_those_of_the_rows(self) -> None:
        assert [drift.usd for drift in self.on(budgets.check)] == [0, 0]

    @invariant()
    def the_sums_are_what_happened(self) -> None:
        views = self.on(lambda connection: budgets.budgets_of(connection, self.tenant))
        for view in views:
            mine = [call for call in self.calls if view.key_id is None or (call.key == view.key_id and not call.is_old)]
            reserved = sum((call.bound for call in mine if call.outcome is None), Decimal(0))
            settled = sum((call.charge for call in mine if call.outcome is not None), Decimal(0))
            assert (view.reserved_usd, view.settled_usd) == (reserved, settled)
            assert view.remaining_usd >= 0


def test_no_history_sets_a_budget_adrift_or_passes_its_cap(database_url: str):
    met: Counter[str] = Counter()
    with asyncio.Runner() as runner:
        opened, database = AsyncExitStack(), Database(database_url, pool_size=1)
        try:
            connection = runner.run(opened.enter_async_context(database.statement()))

            class Here(Histories):
                """Hypothesis makes one for each history, without arguments."""

                def __init__(self) -> None:
                    super().__init__(runner.run, connection, met)

            run_state_machine_as_test(
                Here,
                settings=settings(
                    max_examples=SEEDS or 20,
                    stateful_step_count=20,
                    derandomize=not SEEDS,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(opened.aclose())
            runner.run(database.close())
    print(met)  # noqa: T201 -- figures for `pytest -s`
    assert met.keys() == EVERYTHING, met
