"""What Gemini's API refuses although its types allow it: turns, pairs of calls and results, schemas, clashes."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from sandbox.speech import Refusal
from sandbox.wires.base import wrong
from sandbox.wires.gemini_request import (
    Content,
    FunctionCallingConfig,
    FunctionDeclaration,
    GenerateCall,
    Schema,
    ThinkingConfig,
)

FUNCTION_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
"""At most 64 characters (API reference, FunctionDeclaration.name)."""
MOST_STOPS = 5
TYPES = frozenset({"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"})
FORMATS = frozenset({None, "enum", "date-time", "float", "double", "int32", "int64"})
JSON_TYPES = frozenset({"application/json", "text/x.enum"})


def check(call: GenerateCall) -> None:
    """Raises Refusal (400) in the API's words for the first thing that is wrong."""
    for complaint in _complaints(call):
        raise Refusal(400, complaint)


def _complaints(call: GenerateCall) -> Iterator[str]:
    if not call.contents:
        yield "* GenerateContentRequest.contents: contents is not specified"
    yield from _of_contents(call)
    yield from _of_pairs(call)
    yield from _of_functions(call)
    yield from _of_config(call)


def _of_contents(call: GenerateCall) -> Iterator[str]:
    for place, content in enumerate(call.contents):
        if not content.parts:
            yield f"* GenerateContentRequest.contents[{place}].parts: contents.parts must not be empty."
        for at, part in enumerate(content.parts):
            where = f"* GenerateContentRequest.contents[{place}].parts[{at}]"
            if part.kinds != 1:
                yield f"{where}.data: required oneof field 'data' must have one initialized field"
            if part.function_call is not None and content.role != "model":
                yield f"{where}: Function call is only allowed in a turn of role 'model'"
            if part.function_response is not None and content.role == "model":
                yield f"{where}: Function response is not allowed in a turn of role 'model'"
    told = call.system_instruction
    if told is not None and any(part.text is None for part in told.parts):
        yield "* GenerateContentRequest.system_instruction: only text is supported"


def _of_pairs(call: GenerateCall) -> Iterator[str]:
    """A turn of calls follows the user's or a response's, and is followed by as many responses of the same names."""
    waiting: list[str] = []
    before: Content | None = None
    for content in call.contents:
        names = [part.function_response.name for part in content.parts if part.function_response is not None]
        if (waiting or names) and len(names) != len(waiting):
            yield (
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn."
            )
        if sorted(names) != sorted(waiting):
            yield "Please ensure that each function response has the name of its function call."
        waiting = [part.function_call.name for part in content.parts if part.function_call is not None]
        if waiting and (before is None or before.role == "model"):
            yield (
                "Please ensure that function call turn comes immediately after a user turn or after a function "
                "response turn."
            )
        before = content
    if waiting:
        yield "Please ensure that function call turns are followed by function responses."


def _of_functions(call: GenerateCall) -> Iterator[str]:
    names = [function.name for function in call.functions]
    for place, function in enumerate(call.functions):
        yield from _of_function(function, f"* GenerateContentRequest.tools[0].function_declarations[{place}]")
    config = call.tool_config.function_calling_config if call.tool_config is not None else None
    config = config or FunctionCallingConfig()
    allowed = config.allowed_function_names or []
    odd = ", ".join(name for name in allowed if name not in names)
    yield from wrong(
        (len(set(names)) < len(names), "Duplicate function declaration found"),
        (
            allowed and config.mode not in {"ANY", "VALIDATED"},
            "allowed_function_names should only be set when the function calling mode is ANY or VALIDATED.",
        ),
        (odd, f"allowed_function_names has names that are not declared: {odd}"),
        (
            config.mode == "ANY" and not names,
            "Function calling config is set without function_declarations.",
        ),
    )


def _of_function(function: FunctionDeclaration, where: str) -> Iterator[str]:
    schema, shape = function.parameters, function.parameters_json_schema
    yield from wrong(
        (
            FUNCTION_NAME.fullmatch(function.name) is None,
            f"{where}.name: Invalid function name. Must start with a letter or an underscore.",
        ),
        (
            schema is not None and shape is not None,
            f"{where}: parameters and parameters_json_schema exclude each other",
        ),
        (
            schema is not None and (schema.type or "").upper() != "OBJECT",
            f"{where}.parameters.type: should be OBJECT",
        ),
        (
            shape is not None and shape.get("type") != "object",
            f"{where}.parameters_json_schema: type should be object",
        ),
    )
    if schema is not None:
        yield from _of_schema(schema, f"{where}.parameters")


def _of_schema(schema: Schema, where: str) -> Iterator[str]:
    kind = (schema.type or "").upper()
    properties = schema.properties or {}
    odd = ", ".join(name for name in schema.required or () if name not in properties)
    yield from wrong(
        (schema.type is not None and kind not in TYPES, f"Invalid value at '{where}.type': {schema.type}"),
        (schema.type is None and not schema.any_of, f"{where}.type: must be specified"),
        (
            schema.format not in FORMATS,
            f"{where}.format: only 'enum' and 'date-time' are supported for STRING type",
        ),
        (
            schema.enum is not None and (kind != "STRING" or "" in schema.enum),
            f"{where}.enum: only allowed for STRING type, and cannot be empty",
        ),
        (kind == "ARRAY" and schema.items is None, f"{where}.items: missing field."),
        (odd, f"{where}.required[0]: property is not defined: {odd}"),
    )
    for name, inner in properties.items():
        yield from _of_schema(inner, f"{where}.properties[{name}]")
    for inner in (*(schema.any_of or ()), *([schema.items] if schema.items is not None else ())):
        yield from _of_schema(inner, f"{where}.items")


def _of_config(call: GenerateCall) -> Iterator[str]:
    config = call.generation_config
    where = "* GenerateContentRequest.generation_config"
    schema, shape = config.response_schema, config.response_json_schema
    has_schema = schema is not None or shape is not None
    thinking = config.thinking_config or ThinkingConfig()
    yield from wrong(
        (len(config.stop_sequences or ()) > MOST_STOPS, f"{where}.stop_sequences: at most {MOST_STOPS} are allowed"),
        (
            has_schema and config.response_mime_type not in JSON_TYPES,
            "response_schema needs response_mime_type application/json",
        ),
        (
            schema is not None and shape is not None,
            "response_schema and response_json_schema exclude each other",
        ),
        (
            config.response_mime_type not in {None, "text/plain", *JSON_TYPES},
            f"{where}.response_mime_type: allowed are text/plain, application/json",
        ),
        (
            config.logprobs is not None and not config.response_logprobs,
            "Logprobs needs response_logprobs to be true",
        ),
        (
            thinking.thinking_budget is not None and thinking.thinking_level is not None,
            "You can only set one of thinking budget and thinking level.",
        ),
    )
    if schema is not None:
        yield from _of_schema(schema, f"{where}.response_schema")


def plain(schema: Schema) -> dict[str, Any]:
    """The schema as JSON Schema: lower-case types, numbers for the counts that may come as text."""
    found: dict[str, Any] = {}
    for key, value in msgspec.to_builtins(schema).items():
        if value is None or key in {"propertyOrdering", "example", "nullable"}:
            continue
        found[key] = int(value) if key.startswith(("min", "max")) and isinstance(value, str) else value
    if schema.type is not None:
        found["type"] = schema.type.lower()
    if found.get("format") not in {None, "date-time"}:
        del found["format"]
    if schema.properties is not None:
        found["properties"] = {name: plain(inner) for name, inner in schema.properties.items()}
    if schema.items is not None:
        found["items"] = plain(schema.items)
    if schema.any_of is not None:
        found["anyOf"] = [plain(inner) for inner in schema.any_of]
    return found
