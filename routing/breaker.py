"""Decides whether a provider or a deployment is too sick to be called: a circuit breaker as a frozen value.

Closed it lets everybody in and counts. Open it refuses until its time is up. Then it is half open: one call at a time
is let in as a probe, under a lease; its success closes the breaker, its failure opens it for twice as long. Three
probes that brought no evidence end the interval: it stays open for another one.

What it deliberately does not do: it makes no call and holds no timer; it does not see rate limits, bad requests, keys
or money (they say nothing about the provider's health); it does not slow traffic down gradually; and a call that was on
its way when the breaker opened, or a probe that is not the one out any more, neither closes it nor lengthens its time.

Its Lua twin for the whole fleet is `workers/lua/breaker.lua`; one suite runs both on the same histories, so change them
together. The fleet's order is that of arrival: a process reports a failure at once and takes along the successes it had
before (`count`), so its own order is kept, while a busy process' successes may be late by its reporting interval.
"""

from collections.abc import Iterable

import msgspec

from jobs.failures import FailureKind
from routing.limits import Refusal

SLOT_S = 3.0
WINDOW_S = 30.0
"""Failures are counted over this long, in slots of 3 s."""
MIN_CALLS = 20
"""Fewer calls in the window prove nothing by their ratio."""
FAILURE_RATIO = 0.5
CONSECUTIVE = 5
"""So many failures in a row open it at once."""
OPEN_S = 15.0
"""First time open; doubles each time ..."""
MAX_OPEN_S = 300.0
"""... up to this; after as long without opening, the doubling begins again."""
JITTER = 0.2
"""An open time is cut by up to this share, so that a fleet does not probe in step."""
PROBE_POLL_S = 2.0
"""Others ask again after this long while a probe is out."""
PROBES = 3
"""Probes in one interval. A provider that answers them all without evidence (429, cut) is left alone for another."""

COUNTED = frozenset(
    {
        FailureKind.TRANSIENT,
        FailureKind.OVERLOADED,
        FailureKind.TIMEOUT,
        FailureKind.UNREACHABLE,
        FailureKind.TRUNCATED,
        FailureKind.MALFORMED,
    }
)
"""Failures that speak against the provider. Every other kind is no evidence either way."""


class Slot(msgspec.Struct, frozen=True):
    """Calls that ended in one slot of the window."""

    start_s: float
    calls: int = 0
    failures: int = 0


class Breaker(msgspec.Struct, frozen=True):
    """What is known of one provider's or deployment's health. A fresh value is closed."""

    slots: tuple[Slot, ...] = ()
    """While it is open: what was counted when it opened."""
    consecutive: int = 0
    is_tripped: bool = False
    """Open or half open: only a probe's success closes it."""
    since_s: float = 0.0
    """When it opened after having been closed."""
    open_until_s: float = 0.0
    """Stays after closing: it tells when the last trouble was."""
    trips: int = 0
    """Times opened without a quiet spell between."""
    probe: str = ""
    """The probe that is out; empty: none."""
    probe_until_s: float = 0.0
    """It is out until then at the latest."""
    probes: int = 0
    """Probes sent in this interval."""


class Pass(msgspec.Struct, frozen=True):
    """Let in; give it to `record` or `excuse` when the call ended."""

    probe: str = ""
    """The probe's id; empty: an ordinary call."""

    @property
    def is_probe(self) -> bool:
        """Whether the breaker waits for this call's end."""
        return bool(self.probe)


PASS = Pass()


def admit(breaker: Breaker, now_s: float, lease_s: float, probe: str) -> tuple[Breaker, Pass | Refusal]:
    """Let a call in, as a probe if the breaker is half open, or refuse with the time until it makes sense to ask.

    `lease_s` is how long a probe may be out before another one is let in, `probe` the id that this one would have.
    """
    if not breaker.is_tripped:
        return breaker, PASS
    if now_s < breaker.open_until_s:
        return breaker, Refusal("breaker", breaker.open_until_s - now_s)
    if now_s < breaker.probe_until_s:
        return breaker, Refusal("breaker", min(PROBE_POLL_S, breaker.probe_until_s - now_s))
    if breaker.probes >= PROBES:
        wait_s = open_time_s(breaker.trips)
        again = msgspec.structs.replace(breaker, open_until_s=now_s + wait_s, probe="", probe_until_s=0.0, probes=0)
        return again, Refusal("breaker", wait_s)
    sent = breaker.probes + 1
    return msgspec.structs.replace(breaker, probe=probe, probe_until_s=now_s + lease_s, probes=sent), Pass(probe)


def record(breaker: Breaker, now_s: float, failure: FailureKind | None, chance: float, let_in: Pass = PASS) -> Breaker:
    """Count how a call ended; None is success. `chance` (0..1, drawn by the caller) becomes the jitter."""
    if failure is not None and failure not in COUNTED:
        return excuse(breaker, let_in)
    has_failed = failure is not None
    if let_in.is_probe:
        return end_probe(breaker, now_s, let_in, chance, has_failed=has_failed)
    return count(breaker, now_s, int(not has_failed), int(has_failed), chance)


def count(breaker: Breaker, now_s: float, successes: int, failures: int, chance: float) -> Breaker:
    """Count calls that ended, the successes before the failures; it decides as recording them one by one."""
    if breaker.is_tripped or not successes + failures:
        return breaker
    breaker = msgspec.structs.replace(
        breaker,
        slots=_counted(breaker.slots, now_s, successes, failures),
        consecutive=failures if successes else breaker.consecutive + failures,
    )
    return trip(breaker, now_s, chance) if failures and _is_sick(breaker) else breaker


def end_probe(breaker: Breaker, now_s: float, let_in: Pass, chance: float, *, has_failed: bool) -> Breaker:
    """Heed a probe that came back with evidence, if it is the one that is out."""
    if not _is_out(breaker, let_in):
        return breaker
    return trip(breaker, now_s, chance) if has_failed else reset(breaker)


def excuse(breaker: Breaker, let_in: Pass, *, was_made: bool = True) -> Breaker:
    """A call ended without evidence: only its probe's lease is given back.

    `was_made` False: it never left (a limit held it back), so it is not counted among the interval's probes either.
    """
    if not _is_out(breaker, let_in):
        return breaker
    return msgspec.structs.replace(breaker, probe="", probe_until_s=0.0, probes=breaker.probes - (not was_made))


def trip(breaker: Breaker, now_s: float, chance: float) -> Breaker:
    """Open it, for longer each time."""
    is_quiet = now_s - breaker.open_until_s > MAX_OPEN_S
    trips = 1 if is_quiet else breaker.trips + 1
    open_s = open_time_s(trips) * (1.0 - JITTER * chance)
    since_s = breaker.since_s if breaker.is_tripped else now_s
    return Breaker(slots=breaker.slots, is_tripped=True, since_s=since_s, open_until_s=now_s + open_s, trips=trips)


def reset(breaker: Breaker) -> Breaker:
    """Close it and forget the counts; the number of trips is kept until a quiet spell."""
    return Breaker(open_until_s=breaker.open_until_s, trips=breaker.trips)


def open_time_s(trips: int) -> float:
    """The curve without its jitter: 15, 30, 60, 120, 240, 300, 300, ... seconds."""
    return min(MAX_OPEN_S, OPEN_S * 2.0 ** min(trips - 1, 10))


def recent(breaker: Breaker, now_s: float) -> tuple[int, int]:
    """(calls, failures) of the window; of an open breaker those that opened it."""
    slots = breaker.slots
    return _sums(slots if breaker.is_tripped else _in_window(slots, now_s))


def _is_out(breaker: Breaker, let_in: Pass) -> bool:
    return breaker.is_tripped and let_in.is_probe and let_in.probe == breaker.probe


def _is_sick(breaker: Breaker) -> bool:
    if breaker.consecutive >= CONSECUTIVE:
        return True
    calls, failures = _sums(breaker.slots)
    return calls >= MIN_CALLS and failures >= FAILURE_RATIO * calls


def _sums(slots: Iterable[Slot]) -> tuple[int, int]:
    calls = failures = 0
    for slot in slots:
        calls += slot.calls
        failures += slot.failures
    return calls, failures


def _counted(slots: tuple[Slot, ...], now_s: float, successes: int, failures: int) -> tuple[Slot, ...]:
    """The window with calls more in its newest slot and the slots older than the window dropped."""
    calls = successes + failures
    if slots and now_s < slots[-1].start_s + SLOT_S:
        last = slots[-1]
        return (*slots[:-1], Slot(last.start_s, last.calls + calls, last.failures + failures))
    return (*_in_window(slots, now_s), Slot(now_s, calls, failures))


def _in_window(slots: tuple[Slot, ...], now_s: float) -> tuple[Slot, ...]:
    return tuple(slot for slot in slots if slot.start_s + SLOT_S > now_s - WINDOW_S)
