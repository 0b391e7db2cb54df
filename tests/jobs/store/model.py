"""The record as it ought to be: a few lines of plain Python that the state machine holds against the real SQL."""

import uuid
from dataclasses import dataclass, field
from decimal import Decimal

from jobs.lanes import QUARANTINE_AFTER_DEATHS, Lane
from jobs.states import Outcome, State
from jobs.store.rows import Move

MAX_DEATHS = 3


@dataclass
class Call:
    """An attempt. `outcome` None: open."""

    id: uuid.UUID
    outcome: Outcome | None = None
    cost_usd: Decimal | None = None

    def close(self, outcome: Outcome, cost_usd: Decimal | None, *, is_held: bool) -> None:
        """The first close counts; the sweeper's `unknown` is a guess, over which the bill itself may be booked."""
        if self.outcome not in {None, Outcome.UNKNOWN}:
            return
        answered = outcome in {Outcome.ACCEPTED, Outcome.REJECTED}
        self.outcome = Outcome.ORPHANED if answered and not is_held else outcome
        self.cost_usd = cost_usd


@dataclass
class Known:
    """A job that was submitted, as the record must show it."""

    id: uuid.UUID
    lane: Lane
    is_released: bool
    home: Lane | None = None
    """Where it came from, while it is in quarantine."""
    state: State = State.QUEUED
    token: uuid.UUID | None = None
    claims: int = 0
    deaths: int = 0
    is_cancelled: bool = False
    is_due: bool = True
    is_deferred: bool = False
    """Set apart until it is due and woken."""
    is_late: bool = False
    is_leased: bool = False
    answer: uuid.UUID | None = None
    calls: dict[uuid.UUID, Call] = field(default_factory=dict)

    @property
    def is_claimable(self) -> bool:
        return self.state is State.QUEUED and self.is_released and not self.is_late

    @property
    def is_releasable(self) -> bool:
        return self.state is State.QUEUED and not self.is_released and not self.is_deferred

    def row(self) -> tuple[object, ...]:
        """What the record must say, in the columns of the machine's `LOOK`."""
        standing = (self.state, self.token, self.claims, self.deaths, self.lane, self.home)
        waits = (self.is_released, self.state is State.QUEUED and self.is_deferred)
        return (*standing, *waits, self.is_cancelled, self.answer)

    def closed(self) -> list[tuple[uuid.UUID, Outcome]]:
        """Closed attempts in the order in which they were made."""
        return [(call.id, call.outcome) for _, call in sorted(self.calls.items()) if call.outcome is not None]

    def claim(self, token: uuid.UUID) -> None:
        self.state, self.token, self.claims, self.is_leased = State.RUNNING, token, self.claims + 1, True

    def cancel(self) -> None:
        """As its owner does it: at once while it waits, by a flag while it runs."""
        if self.state is State.QUEUED:
            self.state, self.is_released, self.is_cancelled = State.CANCELLED, False, True
        elif self.state is State.RUNNING:
            self.is_cancelled = True

    def rescue(self) -> None:
        """Its lease ran out."""
        self.deaths += 1
        self.token, self.is_released, self.is_due = None, False, True
        self.state = State.FAILED if self.deaths >= MAX_DEATHS else State.QUEUED
        if self.is_cancelled:
            self.state = State.CANCELLED
        elif QUARANTINE_AFTER_DEATHS <= self.deaths < MAX_DEATHS:
            self.home = self.home or self.lane
            self.lane = Lane.QUARANTINE
        for call in self.calls.values():
            if call.outcome is None:
                call.outcome = Outcome.UNKNOWN

    def settle(self, move: Move) -> bool:
        """One row of a flush; returns whether its token held."""
        is_held = self.state is State.RUNNING and self.token == move.token
        if move.closing is not None and move.closing.id in self.calls:
            self.calls[move.closing.id].close(move.closing.outcome, move.closing.cost_usd, is_held=is_held)
        if is_held and move.state is not None:
            self._move(move, move.state)
        return is_held

    def _move(self, move: Move, state: State) -> None:
        self.token, self.answer = None, move.answer_attempt
        self.state = state
        came_back = move.closing is not None and move.closing.outcome in {Outcome.FAILED, Outcome.REJECTED}
        if came_back or state is not State.QUEUED:
            self.lane, self.home = self.home or self.lane, None
        if state is State.QUEUED:
            self.deaths = 0 if came_back else self.deaths
            self.is_released, self.is_due, self.is_deferred = False, move.delay_s == 0, move.delay_s > 0
            if self.is_cancelled:
                self.state = State.CANCELLED


@dataclass
class Hand:
    """One claim that some worker believes it holds; the model knows better. Frozen, it does nothing until it wakes."""

    job: uuid.UUID
    token: uuid.UUID
    is_frozen: bool = False
    call: uuid.UUID | None = None
    """Its call in flight."""
