"""The official SDKs' own types as judges: strict and deep, of requests that we emit and of answers that we show.

The SDKs' request types are TypedDicts: validated as they stand they take unknown keys and never look into a list of
messages (an `Iterable` field is lazy). So they are turned into JSON Schemas, closed against unknown keys wherever they
name any, and `jsonschema` walks the body. google-genai's types are models that forbid extras themselves.

Each judge returns what is wrong, empty when nothing is, so that a test can show all of it.
"""

import functools
import json
import warnings
from collections.abc import Callable
from typing import Any

from anthropic.types import message_create_params as anthropic_ga
from anthropic.types.beta import message_create_params as anthropic_beta
from google.genai import types as gemini
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat import completion_create_params as openai
from pydantic import BaseModel, TypeAdapter, ValidationError

from routing.dialects.base import WireRequest

Faults = list[str]

GEMINI_BODY: dict[str, Any] = {
    "contents": list[gemini.Content],
    "systemInstruction": gemini.Content,
    "tools": list[gemini.Tool],
    "toolConfig": gemini.ToolConfig,
    "generationConfig": gemini.GenerationConfig,
    "safetySettings": list[gemini.SafetySetting],
    "cachedContent": str,
    "serviceTier": str,
    "store": bool,
}
"""The top level of generateContent, by the API's reference; its parts have types of their own in the SDK."""


def openai_request_faults(body: dict[str, Any]) -> Faults:
    """A chat-completions body by the official `CompletionCreateParams`."""
    streaming = body.get("stream") is True
    kind = openai.CompletionCreateParamsStreaming if streaming else openai.CompletionCreateParamsNonStreaming
    return _closed_faults(kind, body)


def anthropic_request_faults(body: dict[str, Any], *, is_beta: bool = False) -> Faults:
    """A messages body by the official `MessageCreateParams`, generally available or beta."""
    streaming = body.get("stream") is True
    params: Any = anthropic_beta if is_beta else anthropic_ga
    # Out of the SDK since 1.0 because models from 4.7 on refuse them; the API takes them for the models before.
    body = {key: value for key, value in body.items() if key not in {"temperature", "top_p", "top_k"}}
    kind = params.MessageCreateParamsStreaming if streaming else params.MessageCreateParamsNonStreaming
    faults = _closed_faults(kind, body)
    for place, tool in enumerate(body.get("tools", [])):
        # The type has `Dict[str, object]` beside the object schema, so it lets any root through; the API does not.
        if "input_schema" in tool and tool["input_schema"].get("type") != "object":
            faults.append(f"tools[{place}].input_schema: the root must be of type object")
    return faults


def gemini_request_faults(body: dict[str, Any]) -> Faults:
    """A generateContent body by google-genai's types, which forbid extras."""
    faults = [f"{key}: no field of generateContent" for key in body if key not in GEMINI_BODY]
    if "contents" not in body:
        faults.append("contents: missing")
    for key in GEMINI_BODY.keys() & body.keys():
        faults += _gemini_faults(key, body[key])
    return faults


def _gemini_faults(key: str, value: Any) -> Faults:
    # As JSON: bytes (inlineData, thoughtSignature) are base64 there, and are checked to be.
    text = json.dumps(value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # the SDK only warns of a word that its enumeration does not know
            _adapter(key).validate_json(text, strict=GEMINI_BODY[key] in (str, bool))
    except ValidationError as error:
        return [f"{key}{_path(fault['loc'])}: {fault['msg']}" for fault in error.errors()]
    except (UserWarning, AttributeError) as error:
        return [f"{key}: {error}"]
    return []


REQUEST_FAULTS: dict[str, Callable[[dict[str, Any]], Faults]] = {
    "openai": openai_request_faults,
    "anthropic": lambda body: anthropic_request_faults(body, is_beta=True),
    "gemini": gemini_request_faults,
}
"""By dialect."""


def request_faults(dialect: str, wire: WireRequest) -> Faults:
    """What the vendor's own types have against the bytes that would leave."""
    return REQUEST_FAULTS[dialect](json.loads(wire.body))


def completion_faults(body: bytes) -> Faults:
    """An answer as the official `ChatCompletion`, strictly, with the fields that OpenAI's specification requires."""
    parsed = json.loads(body)
    faults = _model_faults(ChatCompletion, parsed)
    for place, choice in enumerate(parsed.get("choices", [])):
        faults += [f"choices[{place}].{key}: missing" for key in ("logprobs", "finish_reason") if key not in choice]
        message = choice.get("message", {})
        faults += [f"choices[{place}].message.{key}: missing" for key in ("content", "refusal") if key not in message]
    return faults


def chunk_faults(body: bytes) -> Faults:
    """A chunk as the official `ChatCompletionChunk`, strictly."""
    return _model_faults(ChatCompletionChunk, json.loads(body))


OURS = frozenset(
    {"images", "mime_type", "reasoning_content", "reasoning_details", "extra_content", "provider_fields", "obfuscation"}
)
"""Keys beyond the official types that an answer may hold: six of the contract, and a chunk's padding by OpenAI."""


def _model_faults(kind: type[BaseModel], parsed: dict[str, Any]) -> Faults:
    try:
        shown = kind.model_validate(parsed, strict=True)
    except ValidationError as error:
        return [f"{_path(fault['loc'])}: {fault['msg']}" for fault in error.errors()]
    return _stray(shown, "")


def _stray(value: Any, where: str) -> Faults:
    """Keys that the SDK keeps, but under no name of its types."""
    if isinstance(value, BaseModel):
        extras = value.model_extra or {}
        faults = [f"{where}.{key}: no field of {type(value).__name__}" for key in extras if key not in OURS]
        named = [(key, getattr(value, key)) for key in type(value).model_fields]
        return faults + [fault for key, part in named for fault in _stray(part, f"{where}.{key}")]
    if isinstance(value, list):
        return [fault for place, part in enumerate(value) for fault in _stray(part, f"{where}[{place}]")]
    return []


@functools.cache
def _adapter(key: str) -> TypeAdapter[Any]:
    return TypeAdapter(GEMINI_BODY[key])


@functools.cache
def _closed(kind: Any) -> Draft202012Validator:
    """The type as a schema in which each object that names its properties has no others."""
    schema = TypeAdapter(kind).json_schema()
    _close(schema)
    return Draft202012Validator(schema)


def _close(schema: Any) -> None:
    if isinstance(schema, list):
        for part in schema:
            _close(part)
    elif isinstance(schema, dict):
        if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
            schema["additionalProperties"] = False
        for part in schema.values():
            _close(part)


def _closed_faults(kind: Any, body: dict[str, Any]) -> Faults:
    faults: Faults = []
    for error in _closed(kind).iter_errors(body):
        deepest = best_match([error]) or error
        faults.append(f"{_path(deepest.absolute_path)}: {deepest.message[:300]}")
    return faults


def _path(steps: Any) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
