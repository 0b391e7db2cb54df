"""Makes a chat.completion, or a chunk of one, what the official types allow; a strict client takes each of them.

What a provider says beyond those types goes to `provider_fields`, where no client looks for anything else: Groq's
`x_groq`, a finish reason of its own, OpenRouter's cost. Reasoning by any of its names becomes `reasoning_content`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

import msgspec

from routing.dialects.openai_face import (
    FINISH_REASONS,
    SERVICE_TIERS,
    Annotation,
    Audio,
    AudioPiece,
    CompletionDetails,
    PromptDetails,
    fits,
)
from routing.dialects.openai_shape import official_finish, read_usage, split_content

Body = dict[str, Any]

PROVIDER_FIELDS = "provider_fields"
DETAILS = {
    "prompt_tokens_details": PromptDetails.__struct_fields__,
    "completion_tokens_details": CompletionDetails.__struct_fields__,
}
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


def clean_chunk(chunk: Mapping[str, Any], head: Mapping[str, Any], places: Mapping[int, Sequence[int]]) -> Body:
    """One chunk. `head` lends what it lacks; `places` has the index of each tool call in its deltas, by choice."""
    extras: Body = {}
    body = _head({**head, **{name: part for name, part in chunk.items() if part is not None}}, CHUNK, extras)
    choices = chunk.get("choices")
    body["choices"] = [
        _choice_piece(choice, places, extras)
        for choice in (choices if isinstance(choices, list) else ())
        if isinstance(choice, Mapping)
    ]
    return _with_extras(body, extras)


CHUNK = "chat.completion.chunk"


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


def _usage(usage: Any, extras: Body) -> Body:
    """Usage that adds up, in the official keys; nothing when the provider's makes no sense."""
    read = read_usage(usage)
    if read is None:
        extras["usage"] = usage
        return {}
    shown: Body = {
        "prompt_tokens": read.input_tokens,
        "completion_tokens": read.output_tokens,
        "total_tokens": read.input_tokens + read.output_tokens,
    }
    for name, fields in DETAILS.items():
        given = usage.get(name)
        given = given if isinstance(given, Mapping) else {}
        details = {field: given[field] for field in fields if is_whole(given.get(field))}
        if details:
            shown[name] = details
    if read.cached_tokens:
        shown.setdefault("prompt_tokens_details", {}).setdefault("cached_tokens", read.cached_tokens)
    if read.reasoning_tokens:
        shown.setdefault("completion_tokens_details", {}).setdefault("reasoning_tokens", read.reasoning_tokens)
    rest = {name: part for name, part in usage.items() if part is not None and shown.get(name) != part}
    if rest:
        extras["usage"] = rest
    return {"usage": shown}


def _choice(place: int, choice: Mapping[str, Any], extras: Body) -> Body:
    mine: Body = {}
    index = choice.get("index")
    index = index if is_whole(index) else place
    message = choice.get("message")
    shown = {
        "index": index,
        "message": _message(message if isinstance(message, Mapping) else {}, mine),
        "logprobs": clean_logprobs(choice.get("logprobs"), mine),
        "finish_reason": _finish(choice.get("finish_reason"), mine),
    }
    _keep(choice, ("index", "message", "logprobs", "finish_reason"), mine)
    _put(extras, index, mine)
    return shown


def _choice_piece(choice: Mapping[str, Any], places: Mapping[int, Sequence[int]], extras: Body) -> Body:
    mine: Body = {}
    index = choice.get("index")
    index = index if is_whole(index) else 0
    delta = choice.get("delta")
    reason = choice.get("finish_reason")
    shown = {
        "index": index,
        "delta": _delta(delta if isinstance(delta, Mapping) else {}, places.get(index, ()), mine),
        "finish_reason": None if reason is None else _finish(reason, mine),
    }
    if choice.get("logprobs") is not None:
        shown["logprobs"] = clean_logprobs(choice["logprobs"], mine)
    _keep(choice, ("index", "delta", "logprobs", "finish_reason"), mine)
    _put(extras, index, mine)
    return shown


def _put(extras: Body, index: int, mine: Body) -> None:
    if mine:
        extras.setdefault("choices", {})[str(index)] = mine


def _keep(part: Mapping[str, Any], known: Sequence[str], mine: Body) -> None:
    mine |= {name: value for name, value in part.items() if name not in known and value is not None}


def _finish(reason: Any, mine: Body) -> str:
    """OpenAI's word; the provider's own, where it is another, stays with the extras."""
    if reason in FINISH_REASONS:
        return str(reason)
    mine["finish_reason"] = reason
    return official_finish(str(reason))


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
    if fits(message.get("audio"), Audio):
        shown["audio"] = message["audio"]
    _keep(message, (*_KNOWN, *(["audio"] if "audio" in shown else [])), mine)
    return shown


_KNOWN = ("role", "content", "refusal", "tool_calls", "function_call", "annotations", "reasoning_details", *_REASONING)


def _delta(delta: Mapping[str, Any], places: Sequence[int], mine: Body) -> Body:
    shown: Body = {}
    if delta.get("role") is not None:
        shown["role"] = "assistant"
    content, thoughts = split_content(delta.get("content"))
    if content is not None:
        shown["content"] = content
    if isinstance(delta.get("refusal"), str):
        shown["refusal"] = delta["refusal"]
    shown |= _reasoning(delta, thoughts)
    calls = delta.get("tool_calls")
    if isinstance(calls, list) and calls:
        shown["tool_calls"] = [_call_piece(place, call) for place, call in zip(places, calls, strict=False)]
    if isinstance(delta.get("function_call"), Mapping):
        shown["function_call"] = _function_piece(delta["function_call"])
    if fits(delta.get("audio"), AudioPiece):
        shown["audio"] = delta["audio"]
    known = (*(name for name in _KNOWN if name != "annotations"), *(["audio"] if "audio" in shown else []))
    _keep(delta, known, mine)
    return shown


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


def _call_piece(place: int, call: Any) -> Body:
    call = call if isinstance(call, Mapping) else {}
    shown: Body = {"index": place}
    if isinstance(call.get("id"), str):
        shown |= {"id": call["id"], "type": "function"}
    if isinstance(call.get("function"), Mapping):
        shown["function"] = _function_piece(call["function"])
    return _signed(shown, call)


def _function_piece(function: Mapping[str, Any]) -> Body:
    shown = {"name": function["name"]} if isinstance(function.get("name"), str) else {}
    if function.get("arguments") is not None:
        shown["arguments"] = _arguments(function["arguments"])
    return shown


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
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    raw = token.get("bytes")
    return {"token": token["token"], "logprob": float(value), "bytes": raw if fits(raw, list[int]) else None}
