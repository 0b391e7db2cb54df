"""Reads how long a provider asks us to stay away, from the headers that providers really send."""

import datetime as dt
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER_S = 7 * 86_400.0
"""Longest wait believed. Daily limits reset within it; beyond it is a mistake that would park a key for ever."""

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_SPAN = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_BUDGETS = ("requests", "tokens")
_STAMPED_BUDGETS = ("requests", "tokens", "input-tokens", "output-tokens")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds from `retry-after-ms` or `retry-after`; None when neither is there or it is no number or date.

    A date is measured from the reply's own `date` header, so that our clock does not matter; without one it is unknown.
    Names must be in lower case.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _bounded(milliseconds / 1_000)
    text = headers.get("retry-after")
    if text is None:
        return None
    seconds = _number(text)
    return _bounded(seconds) if seconds is not None else _until(text, headers.get("date"))


def limit_reset_s(headers: Mapping[str, str]) -> float | None:
    """Seconds until the used-up budget of `x-ratelimit-remaining-*` is whole again (`-reset-*`: "6m0s", "93ms", "7.6").

    These headers stand on every reply, so ask only when the reply is a 429. With no budget at 0 the longest reset
    counts: the call may have been larger than what was left.
    """
    resets = {name: span_s(headers.get(f"x-ratelimit-reset-{name}")) for name in _BUDGETS}
    known = {name: reset for name, reset in resets.items() if reset is not None}
    used_up = [reset for name, reset in known.items() if headers.get(f"x-ratelimit-remaining-{name}") == "0"]
    return max(used_up or known.values(), default=None)


def limit_reset_at_s(headers: Mapping[str, str]) -> float | None:
    """The same for Anthropic's `anthropic-ratelimit-*-reset`, which are moments (RFC 3339), measured from `date`."""
    heads = [f"anthropic-ratelimit-{name}" for name in _STAMPED_BUDGETS]
    waits = {head: _until_moment(headers.get(f"{head}-reset"), headers.get("date")) for head in heads}
    known = {head: wait for head, wait in waits.items() if wait is not None}
    used_up = [wait for head, wait in known.items() if headers.get(f"{head}-remaining") == "0"]
    return max(used_up or known.values(), default=None)


def span_s(text: str | None) -> float | None:
    """A span as OpenAI and Groq write it ("1h2m3s", "20s", "93ms"), or plain seconds; None if it is neither."""
    if text is None:
        return None
    text = text.strip()
    if not _SPAN.fullmatch(text):
        number = _number(text)
        return None if number is None else _bounded(number)
    return _bounded(sum(float(amount) * _UNIT_S[unit] for amount, unit in _PART.findall(text)))


def _number(text: str | None) -> float | None:
    """A plain decimal; no sign, no exponent, no `inf`, no `nan`."""
    text = text.strip() if text is not None else ""
    return float(text) if _NUMBER.fullmatch(text) else None


def _until(text: str, date: str | None) -> float | None:
    if date is None:
        return None
    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(date)
    except (ValueError, TypeError):  # not a date; or one of the two has no zone
        return None
    return _bounded(max(wait.total_seconds(), 0.0))


def _until_moment(moment: str | None, date: str | None) -> float | None:
    if moment is None or date is None:
        return None
    try:
        wait = dt.datetime.fromisoformat(moment) - parsedate_to_datetime(date)
    except (ValueError, TypeError):  # not a moment or not a date; or one of the two has no zone
        return None
    return _bounded(max(wait.total_seconds(), 0.0))


def _bounded(seconds: float) -> float:
    return min(seconds, MAX_RETRY_AFTER_S)
