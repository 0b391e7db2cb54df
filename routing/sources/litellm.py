"""Reads LiteLLM's `model_prices_and_context_window.json` (MIT): USD per token, one entry for each route.

What it means is told by the list's own `sample_spec` and by the names of its keys. Not taken: regional twins (they are
priced apart, and a region is another address), commitments, fine-tunes, what answers with no text, prices of urgent or
patient service tiers, and off-peak hours (the price of the busy hours stands: the amount may be too high, not too low).
"""

import datetime as dt
import re
from collections.abc import Iterator

from routing.sources.sighting import (
    Json,
    Reader,
    Reading,
    Said,
    amount,
    count,
    day,
    decoded,
    flag,
    kinds,
    known_provider,
    strings,
    table,
)

SOURCE = "litellm"
PER_MILLION = 1_000_000
CHAT = "/v1/chat/completions"
PRICES = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cached": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
    "reasoning": "output_cost_per_reasoning_token",
    "audio_input": "input_cost_per_audio_token",
    "audio_output": "output_cost_per_audio_token",
    "image_input": "input_cost_per_image_token",
    "image_output": "output_cost_per_image_token",
    "citation": "citation_cost_per_token",
    "batch_input": "input_cost_per_token_batches",
    "batch_output": "output_cost_per_token_batches",
}
LONG_KINDS = ("input", "output", "cached", "cache_write", "cache_write_1h")
ABOVE = re.compile(r"(?:input|output)_cost_per_token_above_(\d+)k_tokens")
FLAGS = {
    "has_tools": "supports_function_calling",
    "has_parallel_tools": "supports_parallel_function_calling",
    "has_json_schema": "supports_response_schema",
    "has_vision": "supports_vision",
    "has_audio": "supports_audio_input",
    "has_pdf": "supports_pdf_input",
    "has_reasoning": "supports_reasoning",
    "has_sampling": "supports_sampling_params",
    "has_prefill": "supports_assistant_prefill",
    "has_mid_system": "supports_mid_conversation_system",
}
PLACES = {"eu", "us"}
"""Parts of the world whose prices are taken apart: `azure/eu/...` is served by `azure-eu`."""


def read(raw: bytes, as_of: dt.date) -> Reading:
    """The list's chat models. Raises ListError when it is no such list."""
    reader = Reader(SOURCE, as_of)
    for key, entry in decoded(raw, SOURCE).items():
        if key == "sample_spec" or not isinstance(entry, dict):
            reader.leave_out("not an entry")
        elif reason := _unfit(key, entry, as_of):
            reader.leave_out(reason)
        else:
            _take(reader, key, entry)
    return reader.reading()


def _unfit(key: str, entry: Json, as_of: dt.date) -> str | None:
    mode = entry.get("mode")
    if mode != "chat" and not (mode == "responses" and CHAT in strings(entry.get("supported_endpoints"))):
        return "not a chat model"
    if key.startswith("ft:") or "/ft:" in key:
        return "a fine-tune"
    gone = day(entry.get("deprecation_date"))
    if gone is not None and gone <= as_of:
        return "taken away by its provider"
    if amount(entry.get("input_cost_per_request")) not in (None, "0"):
        return "has a price per request, too"
    return None


def _take(reader: Reader, key: str, entry: Json) -> None:
    provider = known_provider(entry.get("litellm_provider"))
    head, slash, rest = key.partition("/")
    upstream = rest if slash and known_provider(head) == provider else key
    place, slash, rest = upstream.partition("/")
    region = place if slash and place in PLACES else None
    if slash and (region or place in ("global", "global-standard")):
        upstream = rest
    here: Json = {} if region is None else {"region": region}
    here |= {
        "has_batch": True if "input_cost_per_token_batches" in entry else None,
        "has_caching": flag(entry.get("supports_prompt_caching")),
        "retires_on": day(entry.get("deprecation_date")),
    }
    said = Said(
        source=_source(entry),
        facts=_facts(entry),
        here={name: value for name, value in here.items() if value is not None},
        price=_price(entry),
    )
    reader.take(f"{provider}-{region}" if region else provider, upstream, said)


def _source(entry: Json) -> str:
    """The list, and whom it cites."""
    cited = entry.get("source")
    return f"{SOURCE}: {cited}" if isinstance(cited, str) and cited.startswith("http") else SOURCE


def _facts(entry: Json) -> Json:
    facts: Json = {name: flag(entry.get(key)) for name, key in FLAGS.items()}
    if flag(entry.get("supports_native_structured_output")):
        facts["has_json_schema"] = True
    choice, forced = flag(entry.get("supports_tool_choice")), flag(entry.get("supports_forced_tool_use"))
    facts["has_forced_tools"] = choice if forced is None else forced
    efforts = strings(entry.get("reasoning_effort_levels"))
    facts["reasoning_efforts"] = sorted(set(efforts)) or None
    facts["output_modalities"] = sorted(set(strings(entry.get("supported_output_modalities")))) or None
    most_in, most_out = count(entry.get("max_input_tokens")), count(entry.get("max_output_tokens"))
    # The list writes the window where it does not know how much an answer may hold.
    return facts | {"max_input_tokens": most_in, "max_output_tokens": None if most_out == most_in else most_out}


def _price(entry: Json) -> Json:
    said = {name: amount(entry.get(key), PER_MILLION) for name, key in PRICES.items()}
    price = kinds(said | {"search": _search(entry)})
    longer = [*_above(entry, price)]
    ranges = [*_ranges(entry)]
    if ranges and not longer:
        price |= {name: text for name, text in ranges[0].items() if name != "above_input_tokens"}
        longer = ranges[1:]
    return price | ({"long": longer} if longer else {})


def _search(entry: Json) -> str | None:
    """The price of a million searches; None where it depends on how much a search reads, which no count tells."""
    sizes = {amount(size, PER_MILLION) for size in table(entry.get("search_context_cost_per_query")).values()}
    return sizes.pop() if len(sizes) == 1 else None


def _above(entry: Json, price: Json) -> Iterator[Json]:
    """Lists of long prompts: keys that end in `_above_200k_tokens`."""
    steps = {int(found[1]) for key in entry if (found := ABOVE.fullmatch(key))}
    for step in sorted(steps):
        said = {name: amount(entry.get(f"{PRICES[name]}_above_{step}k_tokens"), PER_MILLION) for name in LONG_KINDS}
        whole = {name: said[name] or price.get(name) for name in ("input", "output")}
        if all(whole.values()):
            yield kinds(said | whole) | {"above_input_tokens": step * 1000}


def _ranges(entry: Json) -> Iterator[Json]:
    """The same as a list of ranges, `tiered_pricing`; the first is the plain price."""
    tiers = entry.get("tiered_pricing")
    for tier in tiers if isinstance(tiers, list) else ():
        bounds = table(tier).get("range")
        start = bounds[0] if isinstance(bounds, list) and bounds else None
        said = {name: amount(table(tier).get(PRICES[name]), PER_MILLION) for name in LONG_KINDS}
        if said["input"] and said["output"]:
            yield kinds(said) | {"above_input_tokens": count(start) or 0}
