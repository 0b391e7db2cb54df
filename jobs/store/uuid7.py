"""Makes ids: UUIDv7, strictly growing within a process."""

import threading
import time
import uuid
from os import urandom

_lock = threading.Lock()
_last = 0


def uuid7() -> uuid.UUID:
    """A UUIDv7 (RFC 9562): 48 bits of Unix ms, then 12 counting and 62 random bits; strictly growing in a process."""
    global _last  # noqa: PLW0603 -- the counter is the point: two ids of one ms must keep their order
    stamp = (time.time_ns() << 12) // 1_000_000  # ms with 12 fractional bits
    with _lock:
        _last = stamp = max(stamp, _last + 1)
    tail = int.from_bytes(urandom(8), "big") & 0x3FFF_FFFF_FFFF_FFFF
    value = ((stamp >> 12) << 80) | (0x7 << 76) | ((stamp & 0xFFF) << 64) | (0b10 << 62) | tail
    return uuid.UUID(int=value)
