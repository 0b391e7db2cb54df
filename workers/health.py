"""What is known against providers and deployments (open breakers), and with `workers.keys` against keys.

`LocalHealth` is one process's own opinion; `workers.shared_health` makes it the fleet's.
"""

import uuid
from collections.abc import Callable
from typing import NamedTuple, Protocol

import msgspec

from jobs.failures import FailureKind
from jobs.gatekeys import Kind, subject_of
from routing import breaker as rule
from routing.breaker import PASS, Breaker, Pass
from routing.limits import Refusal
from workers.keys import Keys, LocalKeys


class Call(NamedTuple):
    """A call as the breakers see it."""

    provider: str
    deployment: str
    """`maker/name@provider`."""


class Passes(NamedTuple):
    """How the two breakers let a call in."""

    provider: Pass = PASS
    deployment: Pass = PASS


FREE = Passes()
"""Both are closed."""
CLOSED = Breaker()


def subjects(call: Call) -> tuple[str, str]:
    """Both breakers of a call, the provider's first."""
    return _subject("provider", call.provider), _subject("deployment", call.deployment)


_subjects: dict[tuple[Kind, str], str] = {}


def _subject(kind: Kind, name: str) -> str:
    """Kept: encoding a name takes longer than all the rest of an entry. There are as many as the settings name."""
    found = _subjects.get((kind, name))
    if found is None:
        found = _subjects[kind, name] = subject_of(kind, name)
    return found


class Health(Protocol):
    """What the gate asks before a call, and tells after it. Only `admit` may take a round trip."""

    @property
    def keys(self) -> Keys:
        """What is known against the keys."""

    async def admit(self, call: Call, lease_s: float) -> Passes | Refusal:
        """Both breakers let it in, or neither is touched: no probe's lease is taken for a call that is not made."""

    def record(self, call: Call, passes: Passes, failure: FailureKind | None) -> None:
        """How a call ended; None is success."""

    def excuse(self, call: Call, passes: Passes) -> None:
        """It was let in, but never made."""


class LocalHealth:
    """One process's opinion, by its own clock (s); `chance` draws 0..1."""

    def __init__(self, clock: Callable[[], float], chance: Callable[[], float]) -> None:
        self._clock = clock
        self._chance = chance
        self.breakers: dict[str, Breaker] = {}
        """By subject; what is missing is closed and has counted nothing."""
        self.keys: LocalKeys = LocalKeys(clock)

    async def admit(self, call: Call, lease_s: float) -> Passes | Refusal:
        """See Health."""
        provider, deployment = subjects(call)
        first = self.admit_one(provider, lease_s)
        if isinstance(first, Refusal):
            return first
        second = self.admit_one(deployment, lease_s)
        if isinstance(second, Refusal):
            self.excuse_one(provider, first)
            return second
        return Passes(first, second) if first.is_probe or second.is_probe else FREE

    def admit_one(self, subject: str, lease_s: float) -> Pass | Refusal:
        """What one breaker says; a probe's lease is taken here."""
        known = self.breakers.get(subject)
        if known is None or not known.is_tripped:
            return PASS
        self.breakers[subject], verdict = rule.admit(known, self._clock(), lease_s, uuid.uuid4().hex)
        return verdict

    def record(self, call: Call, passes: Passes, failure: FailureKind | None) -> None:
        """See Health."""
        for subject, let_in in zip(subjects(call), passes, strict=True):
            known = self.breakers.get(subject, CLOSED)
            self.breakers[subject] = rule.record(known, self._clock(), failure, self._chance(), let_in)

    def excuse(self, call: Call, passes: Passes) -> None:
        """See Health."""
        for subject, let_in in zip(subjects(call), passes, strict=True):
            self.excuse_one(subject, let_in)

    def excuse_one(self, subject: str, let_in: Pass) -> None:
        """Give the lease of a probe that was not sent back to one breaker."""
        if let_in.is_probe:
            self.breakers[subject] = rule.excuse(self.breakers.get(subject, CLOSED), let_in, was_made=False)

    def count(self, subject: str, successes: int, failures: int) -> None:
        """Count a report that Redis did not hear."""
        known = self.breakers.get(subject, CLOSED)
        self.breakers[subject] = rule.count(known, self._clock(), successes, failures, self._chance())

    def open_until(self, subject: str, wait_s: float) -> None:
        """Take over from the fleet that a breaker lets nobody ask for so long."""
        known = msgspec.structs.replace(self.breakers.get(subject, CLOSED), is_tripped=True)
        until_s = self._clock() + wait_s
        self.breakers[subject] = msgspec.structs.replace(
            known, open_until_s=until_s, probe="", probe_until_s=0.0, probes=0
        )
