"""What a request asks of a model beyond text, read once, and what a model is known to lack for it."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from jobs.chat import ChatRequest

SPECIAL = ("tools", "functions", "response_format", "modalities", "audio")
"""Fields of the body that can ask for more than text; without them only the messages have to be looked at."""
SPEAKERS = frozenset({"system", "developer", "user", "assistant"})
NESTED_DEPTH = 2
"""So many objects inside each other make a tool's schema a nested one."""
_PART_KINDS = {
    "image_url": "image",
    "input_image": "image",
    "input_audio": "sound",
    "audio_url": "sound",
    "file": "file",
    "input_file": "file",
    "document_url": "file",
    "file_url": "file",
}
SCHEMA_MAPS = frozenset({"properties", "$defs", "definitions", "patternProperties", "dependentSchemas", "dependencies"})
"""Keywords of JSON Schema whose values hold schemas by name."""
SCHEMA_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
SINGLE_SCHEMAS = frozenset(
    {
        "items",
        "additionalItems",
        "unevaluatedItems",
        "contains",
        "additionalProperties",
        "unevaluatedProperties",
        "propertyNames",
        "not",
        "if",
        "then",
        "else",
        "contentSchema",
    }
)
"""Keywords whose value is a schema; that of `items` was a list of them up to draft-07."""


class Asked(msgspec.Struct, frozen=True):
    """What a request asks for."""

    has_tools: bool = False
    forces_tools: bool = False
    """`tool_choice` is required, or names one."""
    is_complex_tool_work: bool = False
    """Nested schemas, or several calls at once."""
    has_json: bool = False
    """`response_format` json_object or json_schema."""
    strict_keywords: frozenset[str] = frozenset()
    """JSON Schema keywords of schemas that the provider is to keep by construction (`strict: true`)."""
    part_kinds: frozenset[str] = frozenset()
    """image, sound, file."""
    wants_sound: bool = False
    """The answer is to be spoken."""
    has_prefill: bool = False
    """The last message is the assistant's, to be continued."""
    has_calls: bool = False
    """The conversation has tool calls in it."""


PLAIN = Asked()


def asked_of(request: ChatRequest) -> Asked:
    """Read a request. Never raises; a conversation in plain text costs little more than a look at each message."""
    body, messages = request.body, request.messages
    is_special = any(body.get(name) for name in SPECIAL)
    is_plain = all(isinstance(message.get("content"), str) and message.get("role") in SPEAKERS for message in messages)
    is_plain = is_plain and not any("tool_calls" in message or "function_call" in message for message in messages)
    if is_plain and not is_special and messages[-1].get("role") != "assistant":
        return PLAIN
    functions, stricts = _functions(body), _strict_schemas(body)
    calls = [message["tool_calls"] for message in messages if isinstance(message.get("tool_calls"), list)]
    is_parallel = body.get("parallel_tool_calls") is True or any(len(made) > 1 for made in calls)
    is_nested = any(depth_of(function.get("parameters")) >= NESTED_DEPTH for function in functions)
    return Asked(
        has_tools=bool(body.get("tools") or body.get("functions")),
        forces_tools=bool(functions) and body.get("tool_choice") not in (None, "auto", "none"),
        is_complex_tool_work=bool(functions) and (is_parallel or is_nested),
        has_json=_kind(body.get("response_format")) in ("json_object", "json_schema"),
        strict_keywords=frozenset(keyword for schema in stricts for keyword in keywords_of(schema)),
        part_kinds=frozenset(_parts(messages)),
        wants_sound=bool(body.get("audio")) or "audio" in _list(body.get("modalities")),
        has_prefill=messages[-1].get("role") == "assistant",
        has_calls=bool(calls) or any(message.get("role") not in SPEAKERS for message in messages),
    )


def _functions(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = [tool.get("function") for tool in _list(body.get("tools")) if isinstance(tool, Mapping)]
    return [function for function in (*found, *_list(body.get("functions"))) if isinstance(function, Mapping)]


def _strict_schemas(body: Mapping[str, Any]) -> list[Any]:
    found = [function.get("parameters") for function in _functions(body) if function.get("strict") is True]
    wanted = body.get("response_format")
    named = wanted.get("json_schema") if isinstance(wanted, Mapping) else None
    if isinstance(named, Mapping) and named.get("strict") is True:
        found.append(named.get("schema"))
    return found


def _parts(messages: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for message in messages:
        for part in _list(message.get("content")):
            kind = _PART_KINDS.get(_kind(part) or "")
            if kind is not None:
                yield kind


def keywords_of(schema: Any) -> set[str]:
    """Every keyword that a JSON Schema and those inside it use; names of properties are none."""
    found: set[str] = set()
    for inner, _ in _schemas(schema):
        found.update(inner)
    return found


def depth_of(schema: Any) -> int:
    """How many objects lie inside each other: 1 for an object of plain values."""
    return max((depth for inner, depth in _schemas(schema) if "properties" in inner), default=0)


def _schemas(schema: Any) -> Iterable[tuple[Mapping[str, Any], int]]:
    """Every schema in a schema, with the number of objects around it, its own included."""
    waiting: list[tuple[Any, int]] = [(schema, 0)]
    while waiting:
        node, outside = waiting.pop()
        if not isinstance(node, Mapping):
            continue
        depth = outside + ("properties" in node)
        yield node, depth
        waiting += [(child, depth) for name in SINGLE_SCHEMAS if (child := node.get(name)) is not None]
        waiting += [(child, depth) for name in SCHEMA_LISTS for child in _list(node.get(name))]
        for name in SCHEMA_MAPS:
            inside = node.get(name)
            if isinstance(inside, Mapping):
                waiting += [(child, depth) for child in inside.values()]


def _kind(value: Any) -> str | None:
    kind = value.get("type") if isinstance(value, Mapping) else None
    return kind if isinstance(kind, str) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
