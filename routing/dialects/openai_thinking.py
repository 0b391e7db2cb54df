"""Ends a model's thinking where the provider's API has it only without tools, or without a forced call."""

import functools
import re

from routing.dialects.openai_draft import Draft, Refused

EFFORT = "reasoning_effort"
FORCED = "the provider's API takes no forced call while the model thinks: its thinking is off"
WITH_TOOLS = "the provider's chat completions take no tools while the model thinks: its thinking is off"
ALWAYS = "the model always thinks, and the provider's API takes that {beside} only without"


def fit_thinking(draft: Draft) -> None:
    """Comes behind the tools and the effort. Raises Refused for a model that is known to think always."""
    accent, body = draft.accent, draft.body
    if not body.get("tools") and not body.get("functions"):
        return
    names = (draft.upstream, draft.model.id)
    if accent.tools_end_thinking and any(_pattern(accent.tools_end_thinking).search(name) for name in names):
        _end(draft, "tools", WITH_TOOLS)
    elif accent.forced_ends_thinking and body.get("tool_choice") not in (None, "auto", "none"):
        _end(draft, "tool_choice", FORCED)


def is_thinking_off(draft: Draft) -> bool:
    """Whether the request tells the model not to think, in the provider's own fields."""
    off = draft.accent.effort_fields.get("none", {EFFORT: "none"})
    return all(draft.body.get(field) == value for field, value in off.items())


def _end(draft: Draft, beside: str, reason: str) -> None:
    model, given = draft.model, draft.given
    if model.has_reasoning is False or EFFORT in draft.refuted or is_thinking_off(draft):
        return
    if model.reasoning_efforts is not None and "none" not in model.reasoning_efforts:
        raise Refused(beside, ALWAYS.format(beside=beside))
    off = draft.accent.effort_fields.get("none", {EFFORT: "none"})
    for field in (EFFORT, *(field for field in off if field != EFFORT)):
        if given.get(field) is not None:
            draft.told(field, "changed", reason)
    if all(given.get(field) is None for field in (EFFORT, *off)):
        draft.told(next(iter(off)), "added", reason)
    draft.body.pop(EFFORT, None)
    draft.body.update(off)


@functools.cache
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
