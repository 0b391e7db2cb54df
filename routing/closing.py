"""Decides how long a model of a key, or a whole key, is left alone after its provider refused it, and who asks first.

A closing begins with a refusal (429; or a key that may not use this model). When its time is up, one call is let in as
a probe, under a lease; the others wait for what it finds. Its success opens the place for all, another refusal closes
it again, and a call without evidence (cut, a bad request, a server error) hands the probe on. So a provider that
refuses for ever is asked once in each of the times that it names, however many jobs wait.

Its Lua twin for the whole fleet is `workers/lua/closing.lua`; one suite runs both on the same histories, so change them
together. Like a trouble, a closing is meant by the secret that was refused: another one in its place is tried at once.
"""

from enum import StrEnum

import msgspec

from jobs.failures import Failure, FailureKind, Scope
from routing.breaker import PASS, Pass
from routing.limits import Refusal
from routing.trouble import KEY_FAILURES, disable_time_s

MAX_CLOSE_S = 7 * 86_400.0
"""The longest time that is believed: daily and weekly limits reset within it."""
TRY_EVERY_S = 900.0
"""A longer closing is tried this often. A time named days ahead may be wrong (a clock, a header read in another unit)
or outdated (somebody paid, or raised the limit); finding out costs one refused call in fifteen minutes."""
UNNAMED_S = 1.0
"""A 429 that names no time; doubles with each probe that is refused ..."""
MAX_UNNAMED_S = 60.0
"""... up to this: providers count in minutes."""
PROBE_POLL_S = 5.0
"""Others ask again after this long while a probe is out."""
KEEP_S = 600.0
"""A closing whose time was up so long ago, and that nobody probed, is forgotten."""


class Reach(StrEnum):
    """What a call's end closes."""

    NOTHING = "nothing"
    MODEL = "model"
    """This model with this key."""
    KEY = "key"
    """The key with all its models."""


class Closing(msgspec.Struct, frozen=True):
    """A model of a key, or a whole key, that is left alone."""

    kind: FailureKind
    """What the provider said: rate_limited, bad_key or no_credit."""
    print: str
    """Of the secret that was refused: `routing.trouble.fingerprint`."""
    strikes: int
    """Refusals in a row: the one that began it, and the probes that were refused since."""
    since_s: float
    """When it began."""
    until_s: float
    """The end that the provider named."""
    try_at_s: float
    """Nobody is let in before; then one probe at a time."""
    probe: str = ""
    """The probe that is out; empty: none."""
    probe_until_s: float = 0.0
    """It is out until then at the latest."""


class Refused(msgspec.Struct, frozen=True):
    """A refusal as a closing sees it."""

    kind: FailureKind
    print: str
    asked_s: float | None = None
    """How long the provider asked us to stay away; None: it named no time."""


def reach(failure: Failure | None, *, counts_by_key: bool) -> Reach:
    """What a call's end closes. `counts_by_key`: the provider counts the limits of a key for all its models together.

    >>> reach(Failure(FailureKind.RATE_LIMITED, "slow down"), counts_by_key=False)
    <Reach.MODEL: 'model'>
    """
    if failure is None or failure.scope is Scope.REQUEST:
        return Reach.NOTHING
    if failure.kind is FailureKind.RATE_LIMITED:
        return Reach.KEY if counts_by_key or failure.scope is Scope.ACCOUNT else Reach.MODEL
    if failure.kind in KEY_FAILURES:
        return Reach.KEY if failure.scope is Scope.ACCOUNT else Reach.MODEL
    return Reach.NOTHING


def held_back(known: Closing | None, now_s: float) -> Refusal | None:
    """Why nobody is let in yet; None once the time is up, whoever is the probe then."""
    if known is None or now_s >= known.try_at_s:
        return None
    return refusal(known, known.try_at_s - now_s)


def admit(known: Closing | None, now_s: float, lease_s: float, probe: str) -> tuple[Closing | None, Pass | Refusal]:
    """Let a call in, as the probe if the time is up, or refuse it with the time until it makes sense to ask.

    `lease_s` is how long a probe may be out before another one is let in, `probe` the id that this one would have.
    """
    known = current(known, now_s)
    if known is None:
        return None, PASS
    if now_s < known.try_at_s:
        return known, refusal(known, known.try_at_s - now_s)
    if now_s < known.probe_until_s:
        return known, refusal(known, min(PROBE_POLL_S, known.probe_until_s - now_s))
    return msgspec.structs.replace(known, probe=probe, probe_until_s=now_s + lease_s), Pass(probe)


def close(known: Closing | None, now_s: float, refused: Refused, let_in: Pass = PASS) -> Closing:
    """The provider refused a call; `let_in` is how that call came in.

    Only the first refusal and those of probes are strikes. Of calls that were on their way meanwhile a later time that
    the provider named stands, and all the rest is nothing new.
    """
    known = current(known, now_s)
    if known is None or known.print != refused.print:
        rest_s = rest_time_s(refused, 1)
        return Closing(refused.kind, refused.print, 1, now_s, now_s + rest_s, now_s + min(rest_s, TRY_EVERY_S))
    rest_s = rest_time_s(refused, known.strikes)
    if not is_out(known, let_in):
        if not _is_named(refused):
            return known
        until_s = max(known.until_s, now_s + rest_s)
        return msgspec.structs.replace(
            known, until_s=until_s, try_at_s=max(known.try_at_s, now_s + min(rest_s, TRY_EVERY_S))
        )
    strikes = known.strikes + 1
    until_s = now_s + rest_time_s(refused, strikes)
    if not _is_named(refused):  # the end that was named before stands
        until_s = max(until_s, known.until_s)
    try_at_s = now_s + min(until_s - now_s, TRY_EVERY_S)
    return Closing(refused.kind, refused.print, strikes, known.since_s, until_s, try_at_s)


def succeed(known: Closing | None, let_in: Pass) -> Closing | None:
    """A call was answered: the probe's success opens the place, others were on their way when it closed."""
    return None if known is None or is_out(known, let_in) else known


def excuse(known: Closing | None, let_in: Pass) -> Closing | None:
    """A call ended without evidence, or was never made: its probe's lease is given back."""
    if known is None or not is_out(known, let_in):
        return known
    return msgspec.structs.replace(known, probe="", probe_until_s=0.0)


def current(known: Closing | None, now_s: float) -> Closing | None:
    """The closing, unless its time was up long ago."""
    if known is None or now_s >= max(known.until_s, known.probe_until_s) + KEEP_S:
        return None
    return known


def is_out(known: Closing, let_in: Pass) -> bool:
    """Whether this call is the probe that the closing waits for."""
    return let_in.is_probe and let_in.probe == known.probe


def refusal(known: Closing | None, delay_s: float) -> Refusal:
    """In the words of the gate: a limit, or a key that may not be used."""
    is_limit = known is None or known.kind is FailureKind.RATE_LIMITED
    return Refusal("rate_limit" if is_limit else "key_disabled", delay_s)


def rest_time_s(refused: Refused, strikes: int) -> float:
    """How long a place is left alone after so many refusals in a row."""
    if refused.kind is not FailureKind.RATE_LIMITED:
        return disable_time_s(strikes)
    if refused.asked_s is not None and _is_named(refused):
        return min(refused.asked_s, MAX_CLOSE_S)
    return min(MAX_UNNAMED_S, UNNAMED_S * 2.0 ** min(strikes - 1, 10))


def _is_named(refused: Refused) -> bool:
    """Whether the provider named a time. Nought and a NaN name none."""
    return refused.kind is FailureKind.RATE_LIMITED and refused.asked_s is not None and refused.asked_s > 0
