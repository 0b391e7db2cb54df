"""Decides how long a key that its provider refuses (bad key, no money) is left alone: longer each time.

Its Lua twin for the whole fleet is `workers/lua/trouble.lua`; one suite runs both on the same histories, so change them
together. A key is meant by its place in the settings, its trouble by the secret that stood there: a person who puts
another secret in and restarts need not wait out the old one's time.
"""

import hashlib

import msgspec

from jobs.failures import FailureKind

DISABLE_S = 60.0
"""A key that was refused, or has no money, is left alone this long; doubles each time ..."""
MAX_DISABLE_S = 900.0
"""... up to this."""
KEY_FAILURES = frozenset({FailureKind.BAD_KEY, FailureKind.NO_CREDIT})
PRINT_DIGITS = 8


class Trouble(msgspec.Struct, frozen=True):
    """What a provider has against a key."""

    kind: FailureKind
    print: str
    """Of the secret that was refused: see `fingerprint`."""
    strikes: int
    """Times disabled without a success between."""
    since_s: float
    """When it was disabled first."""
    until_s: float
    """It is left alone until then, then tried by whoever comes."""


def strike(known: Trouble | None, now_s: float, kind: FailureKind, fingerprint: str) -> Trouble:
    """The provider refused the key. Calls that were on their way when the first one failed say nothing new."""
    if known is not None and known.print == fingerprint:
        if now_s < known.until_s:
            return known
        strikes, since_s = known.strikes + 1, known.since_s
    else:
        strikes, since_s = 1, now_s
    return Trouble(kind, fingerprint, strikes, since_s, now_s + disable_time_s(strikes))


def clear(known: Trouble | None, fingerprint: str) -> Trouble | None:
    """The key worked: None, unless the trouble is another secret's."""
    return None if known is None or known.print == fingerprint else known


def disable_time_s(strikes: int) -> float:
    """60, 120, 240, 480, 900, 900, ... seconds."""
    return min(MAX_DISABLE_S, DISABLE_S * 2.0 ** min(strikes - 1, 10))


def fingerprint(secret: str | None) -> str:
    """Eight hex digits that tell one secret from another and give none away; empty for no secret."""
    return hashlib.sha256(secret.encode()).hexdigest()[:PRINT_DIGITS] if secret else ""
