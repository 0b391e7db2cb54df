"""Ids: UUIDv7 inside (time-ordered, so they partition and page by time), `job_` + 26 base32 outside."""

import datetime as dt
import re
import uuid

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32, lower case
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_VALUES = {char: value for value, char in enumerate(_ALPHABET)}
_SHAPE = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")
PREFIXES = frozenset({"job", "att", "batch", "file", "wh", "key", "evt", "budget", "tenant"})


class InvalidId(ValueError):
    """The text is not an id of the wanted kind."""


def floor_uuid(moment: dt.datetime) -> uuid.UUID:
    """The smallest UUIDv7-ordered value of a moment: the bound of a partition or of a time range."""
    seconds = int(moment.replace(microsecond=0).timestamp())  # whole, because a float of milliseconds may round down
    return uuid.UUID(int=((seconds * 1000 + moment.microsecond // 1000) & 0xFFFF_FFFF_FFFF) << 80)


def moment_of(value: uuid.UUID) -> dt.datetime:
    """When a UUIDv7 was made (UTC, to the ms)."""
    return _EPOCH + dt.timedelta(milliseconds=value.int >> 80)


def show(prefix: str, value: uuid.UUID) -> str:
    """The outside form: `show("job", u)` gives `job_` + 26 characters that sort by time."""
    number = value.int
    chars = [_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)]
    return f"{prefix}_{''.join(chars)}"


def pattern(prefix: str) -> str:
    """What an outside id of this kind looks like, as a regular expression of JSON Schema."""
    return f"^{prefix}_{_SHAPE.pattern}$"


def read(prefix: str, text: str) -> uuid.UUID:
    """The uuid behind an outside id. Raises InvalidId with a sentence that says what was expected."""
    head, _, body = text.partition("_")
    if head != prefix or not _SHAPE.fullmatch(body):
        raise InvalidId(f"expected an id like {prefix}_ followed by 26 characters, got {text[:60]!r}")
    number = 0
    for char in body:
        number = number << 5 | _VALUES[char]
    return uuid.UUID(int=number)
