"""Reads `usage` of the messages wire: from what Anthropic counts to what was used.

`input_tokens` leave out what was read from or written to a cache, so the three are summed (SDK `Usage`; 283 of 283
recorded replies). Output holds the thoughts. Counts of a stream are cumulative and never shrink. Of `iterations` (beta)
the entries `message` are within the totals and `compaction` beside them; entries of another model have another price.
"""

from collections.abc import Mapping
from typing import Any

from jobs.chat import Usage
from routing.dialects.counts import NoCount, Report, counted, found

HOUR = (("cache_creation", "ephemeral_1h_input_tokens"),)
THINKING = (("output_tokens_details", "thinking_tokens"),)
SEARCHES = (("server_tool_use", "web_search_requests"),)
WITHIN, BESIDE = "message", "compaction"
"""Types of `iterations` (SDK `BetaUsage.iterations`): whose tokens the totals hold, and whose they leave out."""


def read_usage(report: Any) -> Usage | None:
    """What was used; None when nothing was reported, or it fits no known way of counting.

    Where input or output is missing, the other is kept and the cost is unknown. Never raises.
    """
    if not isinstance(report, Mapping):
        return None
    try:
        return _read(report)
    except NoCount:
        return None


def is_odd(report: Any, usage: Usage | None) -> bool:
    """Whether counts were reported from which nobody can reckon the bill: a reason for an alarm."""
    return bool(report) and (usage is None or usage.total_tokens is None)


def _read(report: Report) -> Usage | None:
    """Raises NoCount."""
    fresh, output = counted(report.get("input_tokens")), counted(report.get("output_tokens"))
    if fresh is None and output is None:
        return None
    cached, written, hour = _cache(report)
    usage = Usage(
        input_tokens=None if fresh is None else fresh + cached + written,
        output_tokens=output,
        cached_tokens=cached,
        cache_write_tokens=written - hour,
        cache_write_1h_tokens=hour,
        reasoning_tokens=found(report, THINKING),
        searches=found(report, SEARCHES),
    )
    if usage.total_tokens is None:
        return Usage(usage.input_tokens, usage.output_tokens)
    for iteration in _iterations(report):
        usage = _added(usage, iteration)
    is_sound = usage.input_tokens and usage.reasoning_tokens <= (usage.output_tokens or 0)
    return usage if is_sound and usage.cache_write_tokens >= 0 else None


def _cache(report: Report) -> tuple[int, int, int]:
    """Tokens read from a cache, written to one, and of these those that live an hour. Raises NoCount."""
    cached = counted(report.get("cache_read_input_tokens")) or 0
    written = counted(report.get("cache_creation_input_tokens")) or 0
    return cached, written, found(report, HOUR)


def _iterations(report: Report) -> list[Report]:
    """Those that the totals leave out. Raises NoCount for one of another model: it has another price."""
    listed = report.get("iterations")
    beside = []
    for iteration in listed if isinstance(listed, list) else ():
        kind = iteration.get("type") if isinstance(iteration, Mapping) else None
        if kind == BESIDE:
            beside.append(iteration)
        elif kind != WITHIN:
            raise NoCount(f"an iteration of type {str(kind)[:40]}")
    return beside


def _added(usage: Usage, report: Report) -> Usage:
    """Both together. Raises NoCount."""
    cached, written, hour = _cache(report)
    fresh, output = counted(report.get("input_tokens")) or 0, counted(report.get("output_tokens")) or 0
    return Usage(
        input_tokens=(usage.input_tokens or 0) + fresh + cached + written,
        output_tokens=(usage.output_tokens or 0) + output,
        cached_tokens=usage.cached_tokens + cached,
        cache_write_tokens=usage.cache_write_tokens + written - hour,
        cache_write_1h_tokens=usage.cache_write_1h_tokens + hour,
        reasoning_tokens=usage.reasoning_tokens,
        searches=usage.searches,
    )
