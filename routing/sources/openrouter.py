"""Reads OpenRouter's `/api/v1/models`: USD per token as text. No open licence: it may be read, and is not shipped."""

import datetime as dt

from routing.sources.sighting import (
    Json,
    ListError,
    Reader,
    Reading,
    Said,
    amount,
    count,
    decoded,
    kinds,
    strings,
    table,
)

SOURCE = "openrouter"
PER_MILLION = 1_000_000
PRICES = {
    "input": "prompt",
    "output": "completion",
    "cached": "input_cache_read",
    "cache_write": "input_cache_write",
    "reasoning": "internal_reasoning",
    "audio_input": "audio",
}
PARAMETERS = {
    "has_tools": "tools",
    "has_forced_tools": "tool_choice",
    "has_json_mode": "response_format",
    "has_json_schema": "structured_outputs",
    "has_reasoning": "reasoning",
    "has_sampling": "temperature",
    "has_logprobs": "logprobs",
}
INPUTS = {"has_vision": "image", "has_audio": "audio", "has_pdf": "file"}


def read(raw: bytes, as_of: dt.date) -> Reading:
    """The list's models that answer with text. Raises ListError when it is no such list."""
    reader = Reader(SOURCE, as_of)
    models = decoded(raw, SOURCE).get("data")
    if not isinstance(models, list) or not models:
        raise ListError(f"{SOURCE}: no models under `data`: is this the answer of /api/v1/models?")
    for model in models:
        if not isinstance(model, dict) or not isinstance(model.get("id"), str):
            reader.leave_out("not an entry")
        elif str(model["id"]).startswith(("openrouter/", "~")):
            reader.leave_out("a router or an alias, not a model")
        elif "text" not in _modalities(model, "output", ["text"]):
            reader.leave_out("not a chat model")
        elif amount(table(model.get("pricing")).get("request")) not in (None, "0"):
            reader.leave_out("has a price per request, too")
        else:
            reader.take(SOURCE, model["id"], _said(model))
    return reader.reading()


def _said(model: Json) -> Said:
    pricing = table(model.get("pricing"))
    price = kinds({name: amount(pricing.get(key), PER_MILLION) for name, key in PRICES.items()})
    return Said(source=SOURCE, facts=_facts(model), here={}, price=price)


def _facts(model: Json) -> Json:
    takes, top = _modalities(model, "input", []), table(model.get("top_provider"))
    parameters = strings(model.get("supported_parameters"))
    window, most = count(model.get("context_length")), count(top.get("max_completion_tokens"))
    facts: Json = {name: word in takes if takes else None for name, word in INPUTS.items()}
    facts |= {name: word in parameters if parameters else None for name, word in PARAMETERS.items()}
    return facts | {
        "output_modalities": sorted(set(_modalities(model, "output", []))) or None,
        "context_tokens": window,
        "max_output_tokens": None if most == window else most,  # the window stands where the limit is not known
    }


def _modalities(model: Json, side: str, unsaid: list[str]) -> list[str]:
    return strings(table(model.get("architecture")).get(f"{side}_modalities")) or unsaid
