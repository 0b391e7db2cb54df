"""Decides whether one more call fits a key's and its model's limits: a sliding minute, a small burst, a cap in flight.

The rate rule is the generic cell rate algorithm (ITU-T I.371, the leaky bucket as a meter): a level that drains at a
steady rate and may not rise above a small burst. It is one number a dimension, and it holds over *every* minute, not
only over calendar ones. Its Lua twin is `workers/lua/admit.lua` and `settle.lua`; one suite runs both on the same
histories, so change them together.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

from jobs.settings import KeyLimits, ProviderKey

WINDOW_S = 60.0
"""The minute that providers count in."""
BURST_SHARE = 0.05
"""Share of a minute's allowance that may go out at once."""
INSTANT_S = 1e-6
"""Waits below this are none: a caller who comes back exactly on time must not lose to rounding."""
SLOT_TURN_S = 0.5
"""Taken for how soon a busy slot may come free; nobody can know, calls seldom take less."""
SPREAD_S = 60.0
"""Those turned away are asked back over at most this long; then the appointments begin again."""
NO_LIMITS = KeyLimits()


class Refusal(msgspec.Struct, frozen=True):
    """Not now: why a call was not let in, and how long to wait before asking again (seconds)."""

    reason: Literal["rate_limit", "concurrency", "breaker", "key_disabled", "budget"]
    delay_s: float


class Rate(msgspec.Struct, frozen=True):
    """How fast a level drains and how high it may stand.

    `per_s` is a little below limit / 60 (by the burst), so that burst and refill together never pass the limit in any
    60 s: a key with 500 requests a minute carries a lasting 476, and 25 at once.
    """

    per_s: float
    burst: float

    @classmethod
    def of(cls, limit: float | None) -> "Rate | None":
        """From a limit per minute; None is no limit. Raises ValueError for a limit that would let nothing through."""
        if limit is None:
            return None
        if limit <= 0:
            raise ValueError(f"a limit per minute must be above 0, got {limit:g}; leave it out for no limit")
        burst = max(1.0, limit * BURST_SHARE)
        return cls(per_s=(limit - burst + 1.0) / WINDOW_S, burst=burst)

    def wait_s(self, level: float) -> float:
        """How long until there is room for one more (request or token); 0 when there is."""
        wait_s = (level + 1.0 - self.burst) / self.per_s
        return wait_s if wait_s > INSTANT_S else 0.0


class Allowance(msgspec.Struct, frozen=True):
    """A key's limits, ready to decide with. None is no limit."""

    requests: Rate | None
    tokens: Rate | None
    concurrency: int | None

    @classmethod
    def of(cls, limits: KeyLimits, share: float = 1.0) -> "Allowance":
        """A key's limits, or this process's share of them (0..1). A share keeps at least one call in flight."""
        requests, tokens, slots = limits.requests_per_minute, limits.tokens_per_minute, limits.concurrency
        if slots is not None and slots < 1:
            raise ValueError(f"concurrency must be at least 1, got {slots}; leave it out for no limit")
        return cls(
            requests=Rate.of(None if requests is None else requests * share),
            tokens=Rate.of(None if tokens is None else tokens * share),
            concurrency=None if slots is None else max(1, int(slots * share)),
        )

    def spacing_s(self, tokens: int) -> float:
        """Time between two appointments: as fast as calls of this size can go through."""
        paces = [0.0]
        if self.requests:
            paces.append(1.0 / self.requests.per_s)
        if self.tokens:
            paces.append(tokens / self.tokens.per_s)
        if self.concurrency:
            paces.append(SLOT_TURN_S / self.concurrency)
        return max(paces)


class Reservation(msgspec.Struct, frozen=True):
    """What one call asks of a key's limits."""

    id: str
    tokens: int
    """Estimated; `settle` corrects it with the real usage."""
    slot_ttl_s: float
    """A slot not given back by then (its worker was killed) is free again."""
    is_urgent: bool = False
    """Refused, it is told the first moment with room instead of queueing behind those refused before it."""


class Window(msgspec.Struct, frozen=True):
    """What is known of the last minute of a key, or of one model of it. A fresh value is one that nobody used."""

    at_s: float | None = None
    """When the levels were true; None: never counted, so seed it."""
    requests: float = 0.0
    tokens: float = 0.0
    appointment_s: float = 0.0
    """The latest moment that somebody turned away was told to come back."""
    slots: Mapping[str, float] = {}
    """Reservations in flight, each with the time its slot ends."""


class Admitted(msgspec.Struct, frozen=True):
    """Let in: the reservation counts from now on and wants to be settled."""


ADMITTED = Admitted()


def admit(
    window: Window, now_s: float, allowance: Allowance, reservation: Reservation
) -> tuple[Window, Admitted | Refusal]:
    """Let a call in, or say when to come back.

    Requests never pass their limit in any 60 s. A call is let in as soon as there is room for one token and may drive
    the token level over the burst: a prompt larger than the burst would starve behind small ones otherwise. So tokens
    may pass their limit by less than one call's estimate.

    Those refused get appointments one `spacing_s` apart: told the same moment, a thousand waiting jobs would all come
    back for one free place. An appointment holds nothing: whoever comes first is let in.
    """
    window = drained(window, now_s, allowance)
    wait_s = max(
        allowance.requests.wait_s(window.requests) if allowance.requests else 0.0,
        allowance.tokens.wait_s(window.tokens) if allowance.tokens else 0.0,
    )
    if wait_s > 0.0:
        window, delay_s = _appoint(window, now_s, now_s + wait_s, allowance, reservation)
        return window, Refusal("rate_limit", delay_s)
    if allowance.concurrency is not None and len(window.slots) >= allowance.concurrency:
        window, delay_s = _appoint(window, now_s, now_s + SLOT_TURN_S, allowance, reservation)
        return window, Refusal("concurrency", delay_s)
    return _counted(window, now_s, allowance, reservation), ADMITTED


def admit_all(
    windows: Sequence[Window], now_s: float, allowances: Sequence[Allowance], reservation: Reservation
) -> tuple[list[Window], Admitted | Refusal]:
    """Let a call in where every window has room for it, or count it in none; the longest wait of all is told."""
    pairs = list(zip(windows, allowances, strict=True))
    met = [admit(window, now_s, allowance, reservation) for window, allowance in pairs]
    refusals = [verdict for _, verdict in met if isinstance(verdict, Refusal)]
    if not refusals:
        return [window for window, _ in met], ADMITTED
    after = [
        asked if isinstance(verdict, Refusal) else drained(window, now_s, allowance)
        for (asked, verdict), (window, allowance) in zip(met, pairs, strict=True)
    ]
    return after, max(refusals, key=lambda refusal: refusal.delay_s)


def settle(window: Window, now_s: float, allowance: Allowance, reservation: Reservation, extra_tokens: float) -> Window:
    """Give the slot back and correct the token level by `extra_tokens` (see `correction`).

    A window that never counted, or lost its count, stays so: the next admission seeds it.
    """
    slots = {id_: end_s for id_, end_s in window.slots.items() if id_ != reservation.id}
    window = msgspec.structs.replace(window, slots=slots)
    if window.at_s is None:
        return window
    window = drained(window, now_s, allowance)
    tokens = max(0.0, window.tokens + extra_tokens) if allowance.tokens else 0.0
    return msgspec.structs.replace(window, tokens=tokens)


def correction(reservation: Reservation, tokens_used: int | None, age_s: float) -> float:
    """Tokens to add to the level after a call of that age (s); below 0 when the estimate was too high.

    Unknown usage leaves the estimate standing. What was reserved over a minute ago has drained already and is not
    given back a second time.
    """
    if tokens_used is None:
        return 0.0
    extra = float(tokens_used - reservation.tokens)
    return extra if extra > 0 or age_s < WINDOW_S else 0.0


def limits_of(key: ProviderKey, model: str) -> KeyLimits:
    """The limits of one model of a key: those of the pattern that says most of its name, letter for letter.

    `model` is the name at the provider. A pattern with more letters that are no wildcards is nearer; of two alike the
    first in the alphabet counts.

    >>> limits = {"gpt-*": KeyLimits(concurrency=9), "gpt-4o*": KeyLimits(concurrency=2)}
    >>> limits_of(ProviderKey(model_limits=limits), "gpt-4o-mini").concurrency
    2
    """
    fitting = [pattern for pattern in key.model_limits if pattern == model or fnmatchcase(model, pattern)]
    if not fitting:
        return NO_LIMITS
    return key.model_limits[min(fitting, key=lambda pattern: (pattern != model, -_letters(pattern), pattern))]


def _letters(pattern: str) -> int:
    """How many of its signs stand for themselves."""
    return sum(sign not in "*?[]" for sign in pattern)


def seed_levels(allowance: Allowance, recent: tuple[int, int | None] | None) -> tuple[float, float]:
    """Levels (requests, tokens) of a window whose count was lost, from its (requests, tokens) of the last 60 s.

    The level can have been no higher than the burst, nor than what was used; for tokens one call may stand above the
    burst, taken as an average one. None (nobody can tell, or not the tokens) counts as a burst just spent.
    """
    request_burst = allowance.requests.burst if allowance.requests else 0.0
    token_burst = allowance.tokens.burst if allowance.tokens else 0.0
    if recent is None:
        return request_burst, token_burst
    requests, tokens = recent
    request_level = min(float(requests), request_burst)
    if tokens is None:
        return request_level, token_burst
    return request_level, min(float(tokens), max(token_burst, tokens / max(1, requests)))


def seed(window: Window, now_s: float, levels: tuple[float, float]) -> Window:
    """Begin counting with these levels; a window that counts already is left alone."""
    if window.at_s is not None:
        return window
    return msgspec.structs.replace(window, at_s=now_s, requests=levels[0], tokens=levels[1])


def drained(window: Window, now_s: float, allowance: Allowance) -> Window:
    """The window as it stands now: levels drained, slots that ran out dropped. A clock set back drains nothing."""
    at_s = now_s if window.at_s is None else window.at_s
    passed_s = max(0.0, now_s - at_s)
    request_rate = allowance.requests.per_s if allowance.requests else 0.0
    token_rate = allowance.tokens.per_s if allowance.tokens else 0.0
    return msgspec.structs.replace(
        window,
        at_s=now_s,
        requests=max(0.0, window.requests - request_rate * passed_s),
        tokens=max(0.0, window.tokens - token_rate * passed_s),
        slots={id_: end_s for id_, end_s in window.slots.items() if end_s > now_s},
    )


def _counted(window: Window, now_s: float, allowance: Allowance, reservation: Reservation) -> Window:
    """The window with one more call. What has no limit is not counted: its level would never drain."""
    slots = window.slots
    if allowance.concurrency is not None:
        slots = {**slots, reservation.id: now_s + reservation.slot_ttl_s}
    return msgspec.structs.replace(
        window,
        requests=window.requests + 1.0 if allowance.requests else 0.0,
        tokens=window.tokens + reservation.tokens if allowance.tokens else 0.0,
        slots=slots,
    )


def _appoint(
    window: Window, now_s: float, ready_s: float, allowance: Allowance, reservation: Reservation
) -> tuple[Window, float]:
    """When to come back, as a delay from now: not before `ready_s`, and after those who were told before."""
    if reservation.is_urgent:
        return window, ready_s - now_s
    at_s = max(ready_s, window.appointment_s + allowance.spacing_s(reservation.tokens))
    if at_s > ready_s + SPREAD_S:
        at_s = ready_s
    return msgspec.structs.replace(window, appointment_s=at_s), at_s - now_s
