"""Decides about webhook deliveries: when to try again, what a reply means, how to sign; pure.

The wire is Standard Webhooks 1.0.0: `webhook-id`, `webhook-timestamp`, and `webhook-signature` with an HMAC-SHA256 of
`id.timestamp.body` for each secret that is valid. https://www.standardwebhooks.com
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from jobs.events import SECRET_PREFIX
from routing.dialects.retry_after import retry_after_s

SCHEDULE_S = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds before each try: ten tries in 75.6 hours. Svix's schedule, one try a day longer."""
JITTER = 0.1
"""Up to so much of a wait is added, so that what failed together does not come back together."""
MOST_RETRY_AFTER_S = 86_400.0
DISABLE_AFTER_S = 5 * 86_400.0
"""An endpoint that has only failed for so long is disabled (Svix's rule)."""
QUIET_AFTER = 3
"""Failures in a row after which an endpoint gets one try at a time, with pauses between them."""
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 300.0
TOLD_S = frozenset({429, 503})
GONE = 410


class Fate(StrEnum):
    """What a reply means for its delivery."""

    DELIVERED = "delivered"
    AGAIN = "again"
    GONE = "gone"
    """410: the receiver wants no more of them; its endpoint is disabled."""


class Reply(msgspec.Struct, frozen=True):
    """What came back: a status with its headers (names in lower case), or what stood in the way."""

    status: int | None = None
    headers: Mapping[str, str] = {}
    error: str | None = None
    """`timeout`, `refused: ...`, `no_connection`, ...; None when there is a status."""


def fate(reply: Reply) -> Fate:
    """2xx is delivered; 410 is gone; all else, redirects too, is tried again."""
    if reply.status is not None and 200 <= reply.status < 300:
        return Fate.DELIVERED
    return Fate.GONE if reply.status == GONE else Fate.AGAIN


def wait_s(tried: int, reply: Reply, chance: float) -> float | None:
    """Seconds to the next try of a delivery that was tried `tried` times (1 or more); None when it was the last.

    A 429 or 503 that names a longer wait in Retry-After gets it, up to a day. `chance` is from 0 to 1.
    """
    if tried >= len(SCHEDULE_S):
        return None
    wait = SCHEDULE_S[tried] * (1 + JITTER * chance)
    return max(wait, told_s(reply))


def told_s(reply: Reply) -> float:
    """For how long the receiver asked to be left alone; 0 when it did not."""
    told = retry_after_s(reply.headers) if reply.status in TOLD_S else None
    return min(told or 0.0, MOST_RETRY_AFTER_S)


def pause_s(failures: int, reply: Reply, chance: float) -> float:
    """Seconds an endpoint rests after so many failures in a row: its deliveries wait without using up a try.

    0 below QUIET_AFTER, then 5 s doubling to 5 min; longer when the receiver asks for it.
    """
    if failures < QUIET_AFTER:
        return told_s(reply)
    pause = min(FIRST_PAUSE_S * 2.0 ** min(failures - QUIET_AFTER, 10), LONGEST_PAUSE_S)
    return max(pause * (1 + JITTER * chance), told_s(reply))


def why_disabled(reply: Reply, failing_s: float) -> str | None:
    """The reason to disable an endpoint after this reply; None to keep it. `failing_s`: since its first failure."""
    if fate(reply) is Fate.GONE:
        return "it answered 410 Gone"
    if failing_s >= DISABLE_AFTER_S:
        return "every try of 5 days failed"
    return None


def signature(secrets: Iterable[str], event_id: str, timestamp_s: int, body: bytes) -> str:
    """The `webhook-signature` header: one `v1,<base64>` for each secret (`whsec_<base64>`), separated by spaces."""
    content = f"{event_id}.{timestamp_s}.".encode() + body
    return " ".join(f"v1,{_sign(secret, content)}" for secret in secrets)


def _sign(secret: str, content: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    return base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
