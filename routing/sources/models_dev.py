"""Reads models.dev's `api.json` (MIT): providers with their models, USD per million tokens."""

import datetime as dt
from collections.abc import Iterator

from routing.sources.sighting import (
    Json,
    ListError,
    Reader,
    Reading,
    Said,
    amount,
    count,
    decoded,
    flag,
    kinds,
    known_provider,
    strings,
    table,
)

SOURCE = "models.dev"
PRICES = {
    "input": "input",
    "output": "output",
    "cached": "cache_read",
    "cache_write": "cache_write",
    "reasoning": "reasoning",
    "audio_input": "input_audio",
    "audio_output": "output_audio",
}
INPUTS = {"has_vision": "image", "has_audio": "audio", "has_pdf": "pdf"}


def read(raw: bytes, as_of: dt.date) -> Reading:
    """The list's models that answer with text. Raises ListError when it is no such list."""
    reader = Reader(SOURCE, as_of)
    providers = decoded(raw, SOURCE)
    if not any(table(table(entry).get("models")) for entry in providers.values()):
        raise ListError(f"{SOURCE}: no provider with models in it: is this models.dev's api.json?")
    for name, entry in providers.items():
        provider = known_provider(name)
        for key, model in table(table(entry).get("models")).items():
            if not isinstance(model, dict):
                reader.leave_out("not an entry")
            elif reason := _unfit(model):
                reader.leave_out(reason)
            else:
                reader.take(provider, str(model.get("id") or key), _said(model))
    return reader.reading()


def _unfit(model: Json) -> str | None:
    if "text" not in strings(table(model.get("modalities")).get("output")):
        return "not a chat model"
    if model.get("status") == "deprecated":
        return "taken away by its provider"
    if any(word in str(model.get("family") or "").lower() for word in ("embed", "rerank", "whisper")):
        return "not a chat model"
    return None


def _said(model: Json) -> Said:
    cost = table(model.get("cost"))
    price = kinds({name: amount(cost.get(key)) for name, key in PRICES.items()})
    longer = [*_longer(cost)]
    caching = {"has_caching": True} if "cached" in price else {}
    return Said(
        source=SOURCE,
        facts=_facts(model),
        here=caching,
        price=price | ({"long": longer} if longer else {}),
    )


def _facts(model: Json) -> Json:
    limit, modalities = table(model.get("limit")), table(model.get("modalities"))
    takes = strings(modalities.get("input"))
    context, most = count(limit.get("context")), count(limit.get("input"))
    facts: Json = {name: word in takes if takes else None for name, word in INPUTS.items()}
    return facts | {
        "has_tools": flag(model.get("tool_call")),
        "has_json_schema": flag(model.get("structured_output")),
        "has_sampling": flag(model.get("temperature")),
        "has_reasoning": flag(model.get("reasoning")),
        "output_modalities": sorted(set(strings(modalities.get("output")))) or None,
        "context_tokens": context,
        "max_input_tokens": most if most is None or context is None or most < context else None,
        "max_output_tokens": count(limit.get("output")),
    }


def _longer(cost: Json) -> Iterator[Json]:
    """Lists of long prompts, shortest first."""
    tiers = cost.get("tiers")
    found: dict[int, Json] = {}
    for tier in tiers if isinstance(tiers, list) else ():
        step = count(table(table(tier).get("tier")).get("size"))
        said = kinds({name: amount(table(tier).get(key)) for name, key in PRICES.items()})
        if step and "input" in said and "output" in said:
            found[step] = said | {"above_input_tokens": step}
    yield from (found[step] for step in sorted(found))
