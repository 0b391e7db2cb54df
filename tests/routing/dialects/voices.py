"""Every dialect and accent as a voice to be judged, and the models that it is made to speak to."""

import itertools
from typing import Any

import msgspec

from jobs.chat import ChatRequest, InvalidRequest
from routing.catalog import Deployment, Model, Target
from routing.dialects.base import Asking, Dialect, Unsupported, WireRequest
from routing.dialects.registry import ACCENTED, DIALECTS

VOICES: dict[str, Dialect] = {
    **DIALECTS,
    **{f"{dialect}/{accent}": voice for dialect, accents in ACCENTED.items() for accent, voice in accents.items()},
}

POOR = Model(
    "m/poor",
    max_output_tokens=100,
    has_json_schema=False,
    has_json_mode=False,
    has_strict_tools=False,
    has_sampling=False,
    has_logprobs=False,
    has_prefill=False,
    has_reasoning=False,
)
"""Known not to have what can be left out or said in another way."""
RICH = Model(
    "m/rich",
    context_tokens=1_000_000,
    max_output_tokens=64_000,
    has_tools=True,
    has_parallel_tools=True,
    has_forced_tools=True,
    has_json_mode=True,
    has_json_schema=True,
    has_strict_tools=True,
    has_vision=True,
    has_audio=True,
    has_pdf=True,
    has_reasoning=True,
    reasoning_efforts=frozenset({"low", "medium", "high"}),
    has_sampling=True,
    has_prefill=True,
    has_logprobs=True,
)
UNKNOWN = Model("m/unknown")
MODELS = {model.id: model for model in (POOR, RICH, UNKNOWN)}


def target(model: Model, upstream: str = "up/stream-1") -> Target:
    """A deployment of it, without an accent: the voice has its own."""
    return Target(Deployment(model=model.id, provider="p", upstream=upstream), model)


def parsed(body: dict[str, Any]) -> ChatRequest | None:
    """The request; None when the door would refuse it."""
    raw = msgspec.json.encode(body)
    try:
        return ChatRequest.of(raw, body)
    except InvalidRequest:
        return None


def spoken(voice: Dialect, body: dict[str, Any], model: Model) -> WireRequest | Unsupported | None:
    """What would leave; None when the door would refuse the body."""
    request = parsed(body)
    return None if request is None else voice.encode(request, target(model), Asking())


def paths(value: Any, *steps: Any) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, outer ones first."""
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    below = itertools.chain.from_iterable(paths(part, *steps, step) for step, part in inner)
    return [*([steps] if steps else []), *below]


def shown(path: tuple[Any, ...]) -> str:
    """A path as adaptations write it: `messages[2].content[0]`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def at(value: Any, path: tuple[Any, ...]) -> Any:
    """What stands there."""
    for step in path:
        value = value[step]
    return value


def replaced(value: Any, path: tuple[Any, ...], part: Any) -> Any:
    """A copy with another part there; only what lies on the way is copied."""
    if not path:
        return part
    step, *rest = path
    if isinstance(value, list):
        return [replaced(item, tuple(rest), part) if place == step else item for place, item in enumerate(value)]
    return {name: replaced(item, tuple(rest), part) if name == step else item for name, item in value.items()}


def without(value: Any, path: tuple[Any, ...]) -> Any:
    """A copy that lacks the part there."""
    *way, last = path
    holder = at(value, tuple(way))
    if isinstance(holder, list):
        rest: Any = [item for place, item in enumerate(holder) if place != last]
    else:
        rest = {name: item for name, item in holder.items() if name != last}
    return replaced(value, tuple(way), rest)
