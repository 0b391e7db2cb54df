"""Fits the top level of a chat-completions body to an accent and a model: length, sampling, reasoning, logprobs."""

from collections.abc import Mapping
from typing import Any

from routing.dialects.accent_table import EXTENSIONS
from routing.dialects.accents import CORE, EFFORTS, OFFICIAL
from routing.dialects.base import Asking
from routing.dialects.doubts import ABILITIES
from routing.dialects.openai_draft import NO_FIELD, REFUTED, Draft, Refused, is_default

KNOWN = OFFICIAL | EXTENSIONS

ESSENTIAL: Mapping[str, str] = {
    "n": "the provider's API gives one answer to a call",
    "modalities": "the provider's API answers in text only",
    "web_search_options": "the provider's API can't search",
}
"""Fields without which the answer would be another: a provider that has no such field can't carry the request."""

SAMPLING = ("temperature", "top_p", "frequency_penalty", "presence_penalty", "logit_bias", "top_k", "min_p")

LOGPROBS_ADDED = "the policy judges by confidence, which is read from log-probabilities"
USAGE_ADDED = "the ledger books what the stream reports at its end"
NO_SAMPLING = "the model does not take sampling parameters"
NO_REASONING = "the model does not reason"
NO_LOGPROBS = "the model gives no log-probabilities"


def fit_fields(draft: Draft, asking: Asking) -> None:
    """All of the top level but messages, tools and the format of the answer. Raises Refused."""
    _leave_out(draft)
    _fit_length(draft)
    _fit_sampling(draft)
    _fit_effort(draft)
    _fit_logprobs(draft, asking)
    _fit_stream(draft)
    _rename(draft)


def _leave_out(draft: Draft) -> None:
    takes, renames = draft.accent.takes, draft.accent.renames
    if draft.accent.as_of is None:
        takes = KNOWN  # what no dated source forbids is tried
    for field, value in tuple(draft.body.items()):
        if value is None:
            del draft.body[field]  # null is how OpenAI's API writes "not given"
        elif field in draft.refuted:
            _leave_refuted(draft, field, value)
        elif field in CORE or field in takes or renames.get(field) in takes or field not in KNOWN:
            continue
        elif field in ESSENTIAL and not is_default(field, value):
            raise Refused(field, ESSENTIAL[field])
        else:
            draft.drop(field, NO_FIELD)


def _leave_refuted(draft: Draft, field: str, value: Any) -> None:
    """What is not taken for now; tools and the format of the answer have ways of their own (`doubts.ABILITIES`)."""
    if field in ESSENTIAL and not is_default(field, value):
        raise Refused(field, REFUTED)
    if field not in ABILITIES:
        draft.drop(field, REFUTED)


def _fit_length(draft: Draft) -> None:
    """One cap under the name that the provider and the model want, at most what the model can write."""
    body, model = draft.body, draft.model
    given = "max_tokens" if body.get("max_completion_tokens") is None else "max_completion_tokens"
    cap = body.get(given)
    if cap is None:
        return
    if given == "max_completion_tokens" and "max_tokens" in body:
        if body["max_tokens"] != cap:
            draft.told("max_tokens", "dropped", "max_completion_tokens is given, too, and APIs take one of them")
        del body["max_tokens"]
    if model.max_output_tokens is not None and cap > model.max_output_tokens:
        draft.change(given, model.max_output_tokens, f"the model writes at most {model.max_output_tokens} tokens")
    wanted = draft.accent.max_tokens_field or given
    if not draft.accent.max_tokens_field and model.has_sampling is False:
        wanted = "max_completion_tokens"  # OpenAI's reasoning models answer max_tokens with 400
    if wanted != given:
        body[wanted] = body.pop(given)


def _fit_sampling(draft: Draft) -> None:
    body, accent = draft.body, draft.accent
    if draft.model.has_sampling is False:
        for field in SAMPLING:
            if field in body:
                draft.drop(field, NO_SAMPLING)
    heat = body.get("temperature")
    if isinstance(heat, int | float) and heat > accent.max_temperature:
        draft.change("temperature", accent.max_temperature, f"the provider takes at most {accent.max_temperature:g}")
    stops = body.get("stop")
    if stops == []:
        del body["stop"]
    elif isinstance(stops, list) and accent.max_stops is not None and len(stops) > accent.max_stops:
        body["stop"] = stops[: accent.max_stops]
        for place in range(accent.max_stops, len(stops)):
            draft.told(f"stop[{place}]", "cut", f"the provider takes at most {accent.max_stops} of them")


def _fit_effort(draft: Draft) -> None:
    """Move the effort to the nearest that is taken, and say it in the provider's own fields."""
    body, accent, model = draft.body, draft.accent, draft.model
    effort = body.get("reasoning_effort")
    if not isinstance(effort, str) or effort not in EFFORTS:
        return
    if model.has_reasoning is False:
        del body["reasoning_effort"]
        if effort != "none":
            draft.told("reasoning_effort", "dropped", NO_REASONING)
        return
    known = accent.efforts if model.reasoning_efforts is None else model.reasoning_efforts & set(EFFORTS)
    taken = (accent.efforts & known) or known  # the model's own words are tried where the provider's are others
    if not taken:
        draft.drop("reasoning_effort", NO_REASONING)
        return
    nearest = nearest_effort(effort, taken)
    fields = accent.effort_fields.get(nearest, {"reasoning_effort": nearest})
    if draft.say("reasoning_effort", fields, "the provider's own word for it") and nearest != effort:
        words = ", ".join(word for word in EFFORTS if word in taken)
        draft.told("reasoning_effort", "changed", f"takes only {words}")


def nearest_effort(effort: str, taken: frozenset[str]) -> str:
    """The nearest word of EFFORTS among those taken; of two equally near the lower.

    >>> nearest_effort("xhigh", frozenset({"low", "high"}))
    'high'
    """
    wanted = EFFORTS.index(effort)
    places = [place for place, word in enumerate(EFFORTS) if word in taken]
    return EFFORTS[min(places, key=lambda place: (abs(place - wanted), place))]


def _fit_logprobs(draft: Draft, asking: Asking) -> None:
    body, accent = draft.body, draft.accent
    if draft.model.has_logprobs is False:
        for field in ("logprobs", "top_logprobs"):
            draft.drop(field, NO_LOGPROBS)
        return
    is_taken = "logprobs" in accent.takes and "logprobs" not in draft.refuted
    if asking.needs_logprobs and is_taken and not body.get("logprobs"):
        draft.change("logprobs", True, LOGPROBS_ADDED)
    if accent.counts_logprobs and "logprobs" in body:
        _count_logprobs(draft)


def _count_logprobs(draft: Draft) -> None:
    """`logprobs: true, top_logprobs: 5` as `logprobs: 5`."""
    body = draft.body
    if body["logprobs"] is True:
        top = body.pop("top_logprobs", 1)
        body["logprobs"] = max(top, 1) if isinstance(top, int) else 1
        if not isinstance(top, int):
            draft.told("top_logprobs", "dropped", "it must be a number")
        elif top < 1:
            draft.told("top_logprobs", "changed", "the provider's API gives at least one alternative")
    elif body["logprobs"] is False:
        del body["logprobs"]
        draft.drop("top_logprobs", "logprobs is false")


def _fit_stream(draft: Draft) -> None:
    body = draft.body
    if not body.get("stream") or "stream_options" not in draft.accent.takes - draft.refuted:
        return
    options = body.get("stream_options")
    options = options if isinstance(options, Mapping) else {}
    if options.get("include_usage") is not True:
        draft.change("stream_options", {**options, "include_usage": True}, USAGE_ADDED)


def _rename(draft: Draft) -> None:
    """Other names and other words for the same: no adaptation."""
    body = draft.body
    for field, words in draft.accent.words.items():
        value: Any = body.get(field)
        if isinstance(value, str) and value in words:
            body[field] = words[value]
    for field, name in draft.accent.renames.items():
        if field in body:
            draft.say(field, {name: body[field]}, "the provider's own name for it")
