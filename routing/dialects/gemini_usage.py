"""Reads `usageMetadata` of the generateContent wire: from what Gemini counts to what was used.

The total is prompt + results of the provider's tools + candidates + thoughts, the prompt holds what came from a cache,
the candidates do not hold the thoughts, and a count of 0 is left out (google-genai 3.4,
`GenerateContentResponseUsageMetadata`; all of 395 recorded replies). Some replies of Vertex count the thoughts among
the candidates: then the total is the sum without them (LiteLLM, `is_candidate_token_count_inclusive`). So one missing
count follows from the others, and a total that neither sum explains is unknown.
"""

from collections.abc import Mapping
from typing import Any

from jobs.chat import Usage
from routing.dialects.counts import NoCount, Report, counted


def read_usage(report: Any) -> Usage | None:
    """What was used; None when nothing was reported, or it fits no known way of counting.

    Where the prompt's count is missing and does not follow, the output is kept and the cost is unknown. Never raises.
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
    prompt, total = _count(report, "prompt"), _count(report, "total") or None
    said, thoughts = _count(report, "candidates"), _count(report, "thoughts") or 0
    tools, cached = _count(report, "toolUsePrompt") or 0, _count(report, "cachedContent") or 0
    if prompt is None and said is None:
        return None
    if prompt is None:
        rest = None if total is None else total - (said or 0) - thoughts - tools
        if rest is None or rest <= 0:
            return Usage(None, (said or 0) + thoughts)
        prompt = rest
    made = (said or 0) + thoughts
    if said is None and total is None:
        return Usage(prompt + tools, None)
    if total is not None:
        made = _made(total - prompt - tools, said, thoughts)
    usage = Usage(
        input_tokens=prompt + tools,
        output_tokens=made,
        cached_tokens=cached,
        reasoning_tokens=thoughts,
        audio_input_tokens=_of(report, "promptTokensDetails", "AUDIO"),
        audio_output_tokens=_of(report, "candidatesTokensDetails", "AUDIO"),
        image_input_tokens=_of(report, "promptTokensDetails", "IMAGE"),
        image_output_tokens=_of(report, "candidatesTokensDetails", "IMAGE"),
    )
    return usage if _adds_up(usage) else None


def _made(rest: int, said: int | None, thoughts: int) -> int:
    """Output, of which the total leaves `rest` beside what was read. Raises NoCount where no sum explains it."""
    known_sums = (rest,) if said is None else ((said or 0) + thoughts, said)
    if rest < thoughts or rest not in known_sums:
        raise NoCount("the total is not the sum of its parts")
    return rest


def _adds_up(usage: Usage) -> bool:
    read, made = usage.input_tokens or 0, usage.output_tokens or 0
    return (
        read > 0
        and usage.cached_tokens <= read
        and usage.audio_input_tokens + usage.image_input_tokens <= read
        and usage.reasoning_tokens + usage.audio_output_tokens + usage.image_output_tokens <= made
    )


def _count(report: Report, name: str) -> int | None:
    return counted(report.get(f"{name}TokenCount"))


def _of(report: Report, group: str, modality: str) -> int:
    """Tokens of one modality. Raises NoCount."""
    listed = report.get(group)
    counts = [
        counted(detail.get("tokenCount")) or 0
        for detail in (listed if isinstance(listed, list) else ())
        if isinstance(detail, Mapping) and detail.get("modality") == modality
    ]
    return sum(counts)
