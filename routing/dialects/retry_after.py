"""Reads how long a provider asks us to stay away, from the hints that providers really send.

A hint is a span ("6m0s", "93ms"), plain seconds ("7.6"), or a moment: an HTTP date, RFC 3339, or a Unix time in seconds
or milliseconds. A moment is measured from the reply's own `date` header, so that our clock does not matter; without
one it is unknown. Names of headers must be in lower case.
"""

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER_S = 7 * 86_400.0
"""Longest wait believed. Daily limits reset within it; beyond it is a mistake that would park a key for ever."""
UNIX_S = (1e9, 1e10)
"""A number in here can only be a Unix time: as a span it would be 30 years or more, as a moment it is 2001 to 2286."""
UNIX_MS = (1e12, 1e13)

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_SPAN = re.compile(r"(?:\d{1,20}(?:\.\d{1,20})?(?:ms|s|m|h|d))+", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_RESET = re.compile(
    r"(?P<head>(?:x-)?rate-?limit)-reset(?P<tail>-[a-z0-9-]+)?|(?P<stem>anthropic-ratelimit-[a-z0-9-]+)-reset"
)
"""Headers of when a budget is whole again. OpenAI, Azure and Groq: `x-ratelimit-reset-tokens`; Cerebras:
`x-ratelimit-reset-tokens-minute`; Together, OpenRouter, Moonshot: `x-ratelimit-reset`; Anthropic:
`anthropic-ratelimit-input-tokens-reset`; the IETF draft: `ratelimit-reset`."""
_LONG_WINDOWS = re.compile(r"day|week|month|unified")
"""Budgets of a day or more say nothing unless they are used up: their reset is hours away on every reply."""
LONGEST_HINT = 1_000
"""Characters of a hint; a longer one is none."""


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds from `retry-after` and `retry-after-ms`, whichever is longer; None when neither can be read.

    Azure sends `retry-after-ms: 0` beside a positive `retry-after`: a nought never shortens another hint.
    """
    date = headers.get("date")
    milliseconds = (_number(headers.get(name)) for name in ("retry-after-ms", "x-ms-retry-after-ms"))
    hints = [wait_s(headers.get("retry-after"), date), *(ms if ms is None else ms / 1_000 for ms in milliseconds)]
    return longest(hint if hint is None else _bounded(hint) for hint in hints)


def limit_reset_s(headers: Mapping[str, str]) -> float | None:
    """Seconds until the used-up budget of the rate-limit headers is whole again; None when none of them can be read.

    These headers stand on every reply, so ask only when the reply is a 429. With no budget at 0 the longest reset
    counts: the call may have been larger than what was left.
    """
    waits = list(_resets(headers))
    used_up = [wait for wait, is_used_up in waits if is_used_up]
    return max(used_up or [wait for wait, _ in waits], default=None)


def wait_s(text: str | None, date: str | None) -> float | None:
    """Seconds of one hint in any of its shapes; None if it is none, or a moment and `date` is no HTTP date."""
    if text is None or len(text) > LONGEST_HINT:
        return None
    number = _number(text)
    if number is None:
        span = span_s(text)
        return span if span is not None else _until(_moment(text), date)
    if UNIX_S[0] <= number < UNIX_S[1]:
        return _until(dt.datetime.fromtimestamp(number, dt.UTC), date)
    if UNIX_MS[0] <= number < UNIX_MS[1]:
        return _until(dt.datetime.fromtimestamp(number / 1_000, dt.UTC), date)
    return _bounded(number)


def span_s(text: str | None) -> float | None:
    """A span as OpenAI and Groq write it ("1h2m3s", "20s", "93ms"), or plain seconds; None if it is neither."""
    if text is None:
        return None
    text = text.strip()
    if not _SPAN.fullmatch(text):
        number = _number(text)
        return None if number is None else _bounded(number)
    return _bounded(sum(float(amount) * _UNIT_S[unit] for amount, unit in _PART.findall(text)))


def longest(hints: Iterable[float | None]) -> float | None:
    """The longest of the hints that were given; None when none was."""
    return max((hint for hint in hints if hint is not None), default=None)


def _resets(headers: Mapping[str, str]) -> Iterator[tuple[float, bool]]:
    """Each budget's wait in seconds, and whether it is known to be used up."""
    for name, text in headers.items():
        parts = _RESET.fullmatch(name)
        if parts is None:
            continue
        wait = wait_s(text, headers.get("date"))
        if wait is not None:
            is_used_up = _number(headers.get(f"{parts['head'] or parts['stem']}-remaining{parts['tail'] or ''}")) == 0
            if is_used_up or not _LONG_WINDOWS.search(name):
                yield wait, is_used_up


def _number(text: str | None) -> float | None:
    """A plain decimal; no sign, no exponent, no `inf`, no `nan`."""
    text = text.strip() if text is not None and len(text) <= LONGEST_HINT else ""
    return float(text) if _NUMBER.fullmatch(text) else None


def _moment(text: str) -> dt.datetime | None:
    """An HTTP date or a moment of RFC 3339; None for any other text, and for one without a zone."""
    for read in (dt.datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text.strip())
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
        return moment if moment.tzinfo is not None else None
    return None


def _until(moment: dt.datetime | None, date: str | None) -> float | None:
    now = _moment(date) if date is not None else None
    return None if moment is None or now is None else _bounded(max((moment - now).total_seconds(), 0.0))


def _bounded(seconds: float) -> float:
    return min(seconds, MAX_RETRY_AFTER_S)
