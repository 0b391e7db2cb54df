"""The six states of a job, every legal move between them, and the seven ways an attempt ends."""

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """Where a job stands. The last four are terminal: a job reaches exactly one, once."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_terminal(self) -> bool:
        """True when no move leaves this state."""
        return self not in _ALIVE


_ALIVE = frozenset({"queued", "running"})
TERMINAL: tuple[State, ...] = tuple(state for state in State if state.is_terminal)


class Move(NamedTuple):
    """One legal change of state: who makes it, and why."""

    name: str
    source: State
    target: State
    actor: str
    meaning: str


MOVES: tuple[Move, ...] = (
    Move("claim", State.QUEUED, State.RUNNING, "worker", "a worker took it, with a fresh token and a lease"),
    Move("cancel_queued", State.QUEUED, State.CANCELLED, "api", "its owner cancelled it before it ran"),
    Move("expire_queued", State.QUEUED, State.EXPIRED, "sweeper", "its deadline passed while it waited"),
    Move("succeed", State.RUNNING, State.SUCCEEDED, "worker", "an answer was accepted"),
    Move("fail", State.RUNNING, State.FAILED, "worker", "no candidate was left that could answer"),
    Move("cancel_running", State.RUNNING, State.CANCELLED, "worker", "its owner cancelled it while it ran"),
    Move("expire_running", State.RUNNING, State.EXPIRED, "worker", "its deadline passed while it ran"),
    Move("defer", State.RUNNING, State.QUEUED, "worker", "a limit, an open breaker or Retry-After: not yet"),
    Move("release", State.RUNNING, State.QUEUED, "worker", "the worker shuts down and gives it back"),
    Move("rescue", State.RUNNING, State.QUEUED, "sweeper", "its lease ran out: the worker is dead or frozen"),
    Move("quarantine", State.RUNNING, State.QUEUED, "sweeper", "its lease ran out again: it goes on alone"),
    Move("bury", State.RUNNING, State.FAILED, "sweeper", "its lease ran out once too often: worker_deaths"),
)


class Outcome(StrEnum):
    """How an attempt (one provider call) ended. NULL in the ledger while it is open."""

    ACCEPTED = "accepted"
    """Its answer is the job's result; only when the job row was won in the same statement."""
    REJECTED = "rejected"
    """It answered, and the answer was not good enough (confidence, finish reason)."""
    FAILED = "failed"
    """The provider or the road to it failed."""
    CANCELLED = "cancelled"
    """We cut it: the job was cancelled, expired or given back."""
    ORPHANED = "orphaned"
    """It answered after its worker had lost the lease: the bill is booked, the answer is not used."""
    UNKNOWN = "unknown"
    """Its worker died with the call open: it may have been billed, nobody saw the bill."""
    NOT_SENT = "not_sent"
    """The connection was never made, so nothing can have been billed."""
