"""The tools of a request, which of them may be called, and the form that the answer must have, as typed values."""

from collections.abc import Mapping
from typing import Any

import msgspec

from jobs.chat import Adaptation, ChatRequest
from routing.dialects.base import Unsupported
from routing.dialects.parts import CacheMark, CannotCarry, Notes, cannot, drop_unknown, read_mark


class Tool(msgspec.Struct, frozen=True):
    """A function that the model may call."""

    name: str
    field: str
    """`tools[0]`, or `functions[0]` for the legacy form."""
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    """JSON Schema as the caller wrote it; None: no arguments."""
    strict: bool | None = None
    cache: CacheMark | None = None

    @property
    def function_field(self) -> str:
        """Path of the object that holds name and parameters: `tools[0].function`."""
        return f"{self.field}.function" if self.field.startswith("tools") else self.field


class ToolChoice(msgspec.Struct, frozen=True):
    """What the model must or may call."""

    mode: str
    """auto, none, required (any of them), or named."""
    field: str = "tool_choice"
    name: str | None = None
    """The tool that must be called, when mode is named."""
    allowed: tuple[str, ...] | None = None
    """Only these may be called (OpenAI's `allowed_tools`); mode is auto or required then."""

    @property
    def is_forced(self) -> bool:
        """The model has to call a tool."""
        return self.mode in {"required", "named"}


class ResponseFormat(msgspec.Struct, frozen=True):
    """The form that the answer must have."""

    kind: str
    """json_object or json_schema; `text` is no format at all and is read as None."""
    field: str = "response_format"
    name: str | None = None
    description: str | None = None
    schema: Mapping[str, Any] | None = None
    strict: bool | None = None


class Toolkit(msgspec.Struct, frozen=True):
    """All of it. A choice without tools never stands here."""

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice | None = None
    """None when the caller left it out."""
    is_parallel: bool | None = None
    """`parallel_tool_calls`; None when the caller left it out, which allows several calls."""
    response_format: ResponseFormat | None = None
    adaptations: tuple[Adaptation, ...] = ()


FIELDS = frozenset({"tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "response_format"})
"""Of the body, what `read_toolkit` answers for."""

_TOOL_KEYS = frozenset({"type", "function", "cache_control", "prompt_cache_breakpoint"})
_FUNCTION_KEYS = frozenset({"name", "description", "parameters", "strict", "cache_control"})
_FORMAT_KEYS = frozenset({"type", "json_schema"})
_SCHEMA_KEYS = frozenset({"name", "description", "schema", "strict"})


def read_toolkit(request: ChatRequest) -> Toolkit | Unsupported:
    """Tools, choice and response format of a request; never raises.

    Unsupported for tools that are no functions, for a choice that names no tool of the request, and for what is not
    what OpenAI's reference says it must be.
    """
    body = request.body
    if body.keys().isdisjoint(FIELDS):
        return Toolkit()
    notes: Notes = []
    try:
        tools = _tools(body, notes)
        choice = _choice(body, tools, notes) if tools else None
        shape = _response_format(body.get("response_format"), notes)
    except CannotCarry as stop:
        return stop.unsupported
    parallel = body.get("parallel_tool_calls")
    if not tools:
        for key in ("tool_choice", "parallel_tool_calls", "function_call"):
            if body.get(key) not in (None, "none", "auto", True):
                notes.append(Adaptation(key, "dropped", "there are no tools that it could speak of"))
    is_parallel = parallel if isinstance(parallel, bool) and tools else None
    return Toolkit(tuple(tools), choice, is_parallel, shape, tuple(notes))


def _tools(body: Mapping[str, Any], notes: Notes) -> list[Tool]:
    tools: list[Tool] = []
    for key, read in (("tools", _tool), ("functions", _function)):
        given = body.get(key) or []
        if not isinstance(given, list):
            cannot(key, f"{key} must be a list")
        tools += [read(tool, f"{key}[{place}]", notes) for place, tool in enumerate(given)]
    return tools


def _tool(tool: Any, where: str, notes: Notes) -> Tool:
    if not isinstance(tool, Mapping) or tool.get("type") not in ("function", None):
        cannot(where, "only tools of type function can be carried")
    drop_unknown(tool, _TOOL_KEYS, where, notes)
    read = _function(tool.get("function"), f"{where}.function", notes)
    mark = read_mark(tool, where, notes) or read.cache
    return msgspec.structs.replace(read, field=where, cache=mark)


def _function(function: Any, where: str, notes: Notes) -> Tool:
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str) or not function["name"]:
        cannot(where, "a function must have a name")
    drop_unknown(function, _FUNCTION_KEYS, where, notes)
    description, parameters, strict = (function.get(key) for key in ("description", "parameters", "strict"))
    if parameters is not None and not isinstance(parameters, Mapping):
        cannot(f"{where}.parameters", "parameters must be a JSON Schema object")
    return Tool(
        name=function["name"],
        field=where,
        description=description if isinstance(description, str) else None,
        parameters=parameters,
        strict=strict if isinstance(strict, bool) else None,
        cache=read_mark(function, where, notes),
    )


def _choice(body: Mapping[str, Any], tools: list[Tool], notes: Notes) -> ToolChoice | None:
    key = "tool_choice" if body.get("tool_choice") is not None else "function_call"
    if key == "tool_choice" and body.get("function_call") is not None:
        notes.append(Adaptation("function_call", "dropped", "tool_choice is given, too, and replaced it"))
    given = body.get(key)
    if given is None:
        return None
    if isinstance(given, str):
        mode = "required" if given == "any" else given
        return ToolChoice(mode, key) if mode in {"auto", "none", "required"} else _odd(key)
    if not isinstance(given, Mapping):
        return _odd(key)
    names = tuple(tool.name for tool in tools)
    if given.get("type") == "allowed_tools":
        return _allowed(given.get("allowed_tools"), f"{key}.allowed_tools", names)
    named = given.get("function", given if key == "function_call" else None)
    name = named.get("name") if isinstance(named, Mapping) else None
    if name not in names:
        cannot(key, "it names no function of this request")
    return ToolChoice("named", key, name=name)


def _allowed(given: Any, where: str, names: tuple[str, ...]) -> ToolChoice:
    mode = given.get("mode") if isinstance(given, Mapping) else None
    listed = given.get("tools") if isinstance(given, Mapping) else None
    if mode not in ("auto", "required") or not isinstance(listed, list) or not listed:
        cannot(where, "allowed_tools must hold a mode, auto or required, and a list of tools")
    allowed: list[str] = []
    for place, tool in enumerate(listed):
        function = tool.get("function") if isinstance(tool, Mapping) else None
        name = function.get("name") if isinstance(function, Mapping) else None
        if name not in names:
            cannot(f"{where}.tools[{place}]", "it names no function of this request")
        allowed.append(name)
    return ToolChoice(mode, allowed=tuple(allowed))


def _odd(key: str) -> ToolChoice:
    return cannot(key, "it must be auto, none, required, or name a function of this request")


def _response_format(given: Any, notes: Notes) -> ResponseFormat | None:
    where = "response_format"
    if given is None:
        return None
    kind = given.get("type") if isinstance(given, Mapping) else None
    if kind not in ("text", "json_object", "json_schema"):
        cannot(where, "its type must be text, json_object or json_schema")
    drop_unknown(given, _FORMAT_KEYS, where, notes)
    if kind != "json_schema":
        return ResponseFormat(kind) if kind == "json_object" else None
    inner, field = given.get("json_schema"), f"{where}.json_schema"
    if not isinstance(inner, Mapping) or not isinstance(inner.get("schema"), Mapping):
        cannot(field, "json_schema must hold a schema")
    drop_unknown(inner, _SCHEMA_KEYS, field, notes)
    name, description, strict = (inner.get(key) for key in ("name", "description", "strict"))
    return ResponseFormat(
        kind=kind,
        name=name if isinstance(name, str) else None,
        description=description if isinstance(description, str) else None,
        schema=inner["schema"],
        strict=strict if isinstance(strict, bool) else None,
    )
