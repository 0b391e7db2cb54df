"""Decides whether a provider or a deployment is too sick to be called: a circuit breaker as a frozen value.

Closed it lets everybody in and counts. Open it refuses until its time is up. Then it is half open: one call at a time
is let in as a probe, under a lease; its success closes the breaker, its failure opens it for twice as long.

What it deliberately does not do: it makes no call and holds no timer; it does not see rate limits, bad requests, keys
or money (they say nothing about the provider's health); it does not slow traffic down gradually; a call that was on
its way when the breaker opened neither closes it nor lengthens its time; and one value knows only what it was told, so
a breaker kept in one process is that process's opinion.
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
    consecutive: int = 0
    is_tripped: bool = False
    """Open or half open: only a probe's success closes it."""
    open_until_s: float = 0.0
    """Stays after closing: it tells when the last trouble was."""
    trips: int = 0
    """Times opened without a quiet spell between."""
    probe_until_s: float = 0.0
    """A probe is out until then at the latest; 0: none."""


class Pass(msgspec.Struct, frozen=True):
    """Let in; `is_probe` must be told to `record` or `excuse` when the call ended."""

    is_probe: bool = False


PASS = Pass()
PROBE = Pass(is_probe=True)


def admit(breaker: Breaker, now_s: float, lease_s: float) -> tuple[Breaker, Pass | Refusal]:
    """Let a call in, as a probe if the breaker is half open, or refuse with the time until it makes sense to ask.

    `lease_s` is how long a probe may be out before another one is let in.
    """
    if not breaker.is_tripped:
        return breaker, PASS
    if now_s < breaker.open_until_s:
        return breaker, Refusal("breaker", breaker.open_until_s - now_s)
    if now_s < breaker.probe_until_s:
        return breaker, Refusal("breaker", min(PROBE_POLL_S, breaker.probe_until_s - now_s))
    return msgspec.structs.replace(breaker, probe_until_s=now_s + lease_s), PROBE


def record(breaker: Breaker, now_s: float, failure: FailureKind | None, chance: float, let_in: Pass = PASS) -> Breaker:
    """Count how a call ended; None is success. `chance` (0..1, drawn by the caller) becomes the jitter."""
    if failure is not None and failure not in COUNTED:
        return excuse(breaker, let_in)
    if breaker.is_tripped:
        if not let_in.is_probe:
            return breaker
        return reset(breaker) if failure is None else trip(breaker, now_s, chance)
    slots = _counted(breaker.slots, now_s, has_failed=failure is not None)
    if failure is None:
        return msgspec.structs.replace(breaker, slots=slots, consecutive=0)
    breaker = msgspec.structs.replace(breaker, slots=slots, consecutive=breaker.consecutive + 1)
    return trip(breaker, now_s, chance) if _is_sick(breaker) else breaker


def excuse(breaker: Breaker, let_in: Pass) -> Breaker:
    """A call ended without evidence (cancelled, rate limited, never made): only its probe's lease is given back."""
    if not let_in.is_probe or not breaker.is_tripped:
        return breaker
    return msgspec.structs.replace(breaker, probe_until_s=0.0)


def trip(breaker: Breaker, now_s: float, chance: float) -> Breaker:
    """Open it, for longer each time."""
    is_quiet = now_s - breaker.open_until_s > MAX_OPEN_S
    trips = 1 if is_quiet else breaker.trips + 1
    open_s = open_time_s(trips) * (1.0 - JITTER * chance)
    return Breaker(is_tripped=True, open_until_s=now_s + open_s, trips=trips)


def reset(breaker: Breaker) -> Breaker:
    """Close it and forget the counts; the number of trips is kept until a quiet spell."""
    return Breaker(open_until_s=breaker.open_until_s, trips=breaker.trips)


def open_time_s(trips: int) -> float:
    """The curve without its jitter: 15, 30, 60, 120, 240, 300, 300, ... seconds."""
    return min(MAX_OPEN_S, OPEN_S * 2.0 ** min(trips - 1, 10))


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


def _counted(slots: tuple[Slot, ...], now_s: float, *, has_failed: bool) -> tuple[Slot, ...]:
    """The window with one more call in its newest slot and the slots older than the window dropped."""
    if slots and now_s < slots[-1].start_s + SLOT_S:
        last = slots[-1]
        return (*slots[:-1], Slot(last.start_s, last.calls + 1, last.failures + has_failed))
    kept = tuple(slot for slot in slots if slot.start_s + SLOT_S > now_s - WINDOW_S)
    return (*kept, Slot(now_s, 1, int(has_failed)))
