"""Makes a chat.completion, or a chunk of one, what the official types allow; a strict client takes each of them.

What a provider says beyond those types goes to `provider_fields`, where no client looks for anything else: Groq's
`x_groq`, a finish reason of its own, OpenRouter's cost. Reasoning by any of its names becomes `reasoning_content`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

import msgspec

from routing.dialects.endings import told_end
from routing.dialects.openai_face import PROVIDER_FIELDS, SERVICE_TIERS, Annotation, fits
from routing.dialects.openai_images import shown_images
from routing.dialects.openai_shape import split_content
from routing.dialects.openai_usage import read_usage, shown_usage, untold

Body = dict[str, Any]

_REASONING = ("reasoning_content", "reasoning")


def is_whole(part: Any) -> TypeGuard[int]:
    """A JSON integer."""
    return isinstance(part, int) and not isinstance(part, bool)


_HEAD: Mapping[str, Callable[[Any], bool]] = {
    "id": lambda part: isinstance(part, str),
    "model": lambda part: isinstance(part, str),
    "system_fingerprint": lambda part: isinstance(part, str),
    "created": is_whole,
    "service_tier": lambda part: isinstance(part, str) and part in SERVICE_TIERS,
    "obfuscation": lambda part: isinstance(part, str),
}
"""What the top level may hold beside choices and usage."""


def clean(reply: Mapping[str, Any]) -> Body:
    """A whole completion. `reply` has at least one choice with a message; everything else may be missing or odd."""
    extras: Body = {}
    body = _head(reply, "chat.completion", extras)
    body["choices"] = [
        _choice(place, choice, extras) for place, choice in enumerate(reply["choices"]) if isinstance(choice, Mapping)
    ]
    return _with_extras(body, extras)


def known_head(fields: Mapping[str, Any]) -> Body:
    """Of the fields on top of a chunk those that the official types allow; an empty one tells nothing."""
    head = {name: part for name, part in fields.items() if part and is_known(name, part)}
    created = fields.get("created")
    return head | {"created": int(created)} if isinstance(created, float) else head


def strange_parts(chunk: Mapping[str, Any]) -> Body:
    """What a chunk says beyond the official types, for `provider_fields`: of the top, of each choice, of its delta."""
    extras: Body = {}
    _head({name: part for name, part in chunk.items() if name != "usage"}, "", extras)
    choices = chunk.get("choices")
    for place, choice in enumerate(choices if isinstance(choices, list) else ()):
        if not isinstance(choice, Mapping):
            continue
        mine: Body = {}
        delta = choice.get("delta")
        _keep(choice, ("index", "delta", "message", "logprobs", "finish_reason"), mine)
        _keep(delta if isinstance(delta, Mapping) else {}, _TAKEN, mine)
        index = choice.get("index")
        _put(extras, index if is_whole(index) else place, mine)
    return extras


def _with_extras(body: Body, extras: Body) -> Body:
    if extras:
        body[PROVIDER_FIELDS] = extras
    return body


def _head(reply: Mapping[str, Any], kind: str, extras: Body) -> Body:
    """The top level but for the choices."""
    body: Body = {"id": "", "object": kind, "created": 0, "model": ""}
    for name, part in reply.items():
        if part is None or name in {"choices", "object", "error"}:
            continue
        if is_known(name, part):
            body[name] = part
        elif name == "created" and isinstance(part, float):
            body[name] = int(part)
        elif name == PROVIDER_FIELDS and isinstance(part, Mapping):
            extras.update(part)
        elif name == "usage":
            body |= _usage(part, extras)
        else:
            extras[name] = part
    return body


def is_known(name: str, part: Any) -> bool:
    """Whether the official types have such a field on top, and this value for it."""
    return name in _HEAD and _HEAD[name](part)


def _usage(report: Any, extras: Body) -> Body:
    """Usage that adds up, in the official keys; nothing when the provider's counts do not tell what was used."""
    read = read_usage(report)
    shown = None if read is None or read.total_tokens is None else shown_usage(read, report)
    if rest := untold(report, shown):
        extras["usage"] = rest
    return {} if shown is None else {"usage": shown}


def _choice(place: int, choice: Mapping[str, Any], extras: Body) -> Body:
    mine: Body = {}
    index = choice.get("index")
    index = index if is_whole(index) else place
    message = choice.get("message")
    shown_message = _message(message if isinstance(message, Mapping) else {}, mine)
    shown = {
        "index": index,
        "message": shown_message,
        "logprobs": clean_logprobs(choice.get("logprobs"), mine),
        "finish_reason": _finish(choice.get("finish_reason"), shown_message, mine),
    }
    _keep(choice, ("index", "message", "logprobs", "finish_reason"), mine)
    _put(extras, index, mine)
    return shown


def _put(extras: Body, index: int, mine: Body) -> None:
    if mine:
        extras.setdefault("choices", {})[str(index)] = mine


def _keep(part: Mapping[str, Any], known: Sequence[str], mine: Body) -> None:
    mine |= {name: value for name, value in part.items() if name not in known and value is not None}


def _finish(reason: Any, message: Mapping[str, Any], mine: Body) -> str:
    """OpenAI's word; the provider's own, where it says more, stays with the extras."""
    says = message.get("content") or message.get("refusal") or message.get("tool_calls")
    ended = told_end(str(reason), is_blank=not (says or message.get("audio") or message.get("images")))
    if ended.official != reason:
        mine["finish_reason"] = reason
    return ended.official


def _message(message: Mapping[str, Any], mine: Body) -> Body:
    content, thoughts = split_content(message.get("content"))
    refusal = message.get("refusal")
    shown: Body = {"role": "assistant", "content": content, "refusal": refusal if isinstance(refusal, str) else None}
    shown |= _reasoning(message, thoughts)
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        shown["tool_calls"] = [_call(place, call) for place, call in enumerate(calls) if isinstance(call, Mapping)]
    if isinstance(message.get("function_call"), Mapping):
        shown["function_call"] = _function(message["function_call"])
    _annotations(message.get("annotations"), shown, mine)
    if isinstance(message.get("audio"), Mapping):
        shown["audio"] = EMPTY_SOUND | sound_of(message["audio"])
    if isinstance(message.get("images"), list) and (images := shown_images(message["images"])):
        shown["images"] = images
    _keep(message, _TAKEN, mine)
    return shown


_KNOWN = (
    *("role", "content", "refusal", "tool_calls", "function_call", "annotations", "images", "reasoning_details"),
    *_REASONING,
)
_TAKEN = (*_KNOWN, "audio")
"""Fields of a message or a delta that are read."""
MOST_LOG = 1e6
"""No log-probability is further from 0."""
EMPTY_SOUND: Body = {"id": "", "data": "", "expires_at": 0, "transcript": ""}
"""What the official types demand of `message.audio`."""


def sound_of(audio: Mapping[str, Any]) -> Body:
    """The fields of `audio`, whole or a piece, that the official types can have, and those of the provider's own."""
    return {
        name: part
        for name, part in audio.items()
        if part is not None and (name not in EMPTY_SOUND or type(part) is type(EMPTY_SOUND[name]))
    }


def _reasoning(message: Mapping[str, Any], thoughts: str) -> Body:
    """Thoughts in plain text under one name, and what has to come back unchanged."""
    given = [message[name] for name in _REASONING if isinstance(message.get(name), str)]
    shown: Body = {}
    if given or thoughts:
        shown["reasoning_content"] = next((text for text in given if text), thoughts)
    if isinstance(message.get("reasoning_details"), list):
        shown["reasoning_details"] = message["reasoning_details"]
    return shown


def _call(place: int, call: Mapping[str, Any]) -> Any:
    if call.get("type") == "custom":
        return call
    call_id, function = call.get("id"), call.get("function")
    shown = {
        "id": call_id if isinstance(call_id, str) and call_id else f"call_{place}",
        "type": "function",
        "function": _function(function if isinstance(function, Mapping) else {}),
    }
    return _signed(shown, call)


def _function(function: Mapping[str, Any]) -> Body:
    return {"name": str(function.get("name") or ""), "arguments": _arguments(function.get("arguments"))}


def _arguments(arguments: Any) -> str:
    """The model's own text; some servers send the object itself."""
    if isinstance(arguments, str):
        return arguments
    return "{}" if arguments is None else msgspec.json.encode(arguments).decode()


def _signed(shown: Body, call: Mapping[str, Any]) -> Body:
    """Google's signature of a call has to come back with it."""
    return {**shown, "extra_content": call["extra_content"]} if call.get("extra_content") else shown


def _annotations(annotations: Any, shown: Body, mine: Body) -> None:
    if isinstance(annotations, list) and annotations:
        (shown if fits(annotations, list[Annotation]) else mine)["annotations"] = annotations


def clean_logprobs(logprobs: Any, mine: Body) -> Body | None:
    """Token log-probabilities in OpenAI's shape, also from Together's and vLLM's older one (two parallel lists)."""
    if not isinstance(logprobs, Mapping):
        return None
    shown = {name: _tokens(logprobs[name]) for name in ("content", "refusal") if isinstance(logprobs.get(name), list)}
    tokens, values = logprobs.get("tokens"), logprobs.get("token_logprobs")
    if not shown and isinstance(tokens, list) and isinstance(values, list) and len(tokens) == len(values):
        pairs = zip(tokens, values, strict=True)
        shown["content"] = _tokens([{"token": token, "logprob": value} for token, value in pairs])
    if not any(shown.values()):
        mine["logprobs"] = logprobs
        return None
    return {"content": shown.get("content"), "refusal": shown.get("refusal")}


def _tokens(tokens: list[Any]) -> list[Body] | None:
    shown = [_token(token) for token in tokens]
    return shown if all(token is not None for token in shown) else None  # type: ignore[return-value]


def _token(token: Any) -> Body | None:
    """One token in the official keys; None when it tells no probability."""
    if not isinstance(token, Mapping):
        return None
    others = token.get("top_logprobs")
    known = [_alternative(other) for other in (others if isinstance(others, list) else ())]
    shown = _alternative(token)
    return None if shown is None else {**shown, "top_logprobs": [other for other in known if other is not None]}


def _alternative(token: Any) -> Body | None:
    if not isinstance(token, Mapping) or not isinstance(token.get("token"), str):
        return None
    value = token.get("logprob")
    if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > MOST_LOG:
        return None
    raw = token.get("bytes")
    return {"token": token["token"], "logprob": float(value), "bytes": raw if fits(raw, list[int]) else None}
