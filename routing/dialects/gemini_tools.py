"""Functions, the choice among them, and the answer's form on Gemini's wire."""

from typing import Any

import msgspec

from jobs.chat import Adaptation
from routing.catalog import Model
from routing.dialects.gemini_models import Family
from routing.dialects.gemini_parts import Block, PartWriter, wire_name
from routing.dialects.gemini_schema import json_schema, openapi_schema
from routing.dialects.parts import Notes, cannot, drop
from routing.dialects.schemas import Schema, has_arguments, object_schema, titled
from routing.dialects.toolkit import ResponseFormat, Tool, ToolChoice, Toolkit

JSON = "application/json"
JSON_TOLD = "Answer with one JSON object and nothing else: no words around it, no code fence."
SCHEMA_TOLD = (
    "Answer with one JSON value that keeps this JSON Schema, and nothing else: no words around it, no code fence."
)
MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY", "named": "ANY"}


class Tooling(msgspec.Struct, frozen=True):
    """What goes into the body for it."""

    functions: tuple[Block, ...] = ()
    calling: Block | None = None
    """`toolConfig.functionCallingConfig`."""
    form: Block = {}
    """Fields of `generationConfig`."""
    instruction: str | None = None
    """To be added behind the system texts."""


class ToolWriter:
    """Writes the toolkit of one request. Raises CannotCarry for what the model is known not to do."""

    def __init__(self, model: Model, family: Family, writer: PartWriter, notes: Notes) -> None:
        self._model = model
        self._family = family
        self._writer = writer
        self._notes = notes

    def write(self, toolkit: Toolkit) -> Tooling:
        """Functions, choice and form."""
        if toolkit.tools and self._model.has_tools is False:
            cannot("tools", "the model calls no tools")
        functions = tuple(self._function(tool) for tool in toolkit.tools)
        calling = self._strict(toolkit, self._choice(toolkit.choice))
        if toolkit.is_parallel is False and (calling is None or calling["mode"] != "NONE"):
            drop(self._notes, "parallel_tool_calls", "this wire can't be told to call one function at a time")
        form, instruction = self._form(toolkit.response_format, has_functions=bool(functions))
        return Tooling(functions, calling, form, instruction)

    def _function(self, tool: Tool) -> Block:
        self._writer.unmarked(tool.cache)
        function: Block = {"name": wire_name(tool.name, f"{tool.function_field}.name")}
        if tool.description is not None:
            function["description"] = tool.description
        if has_arguments(tool.parameters):
            field = f"{tool.function_field}.parameters"
            root = object_schema(tool.parameters, field, self._notes)
            if self._family.takes_json_schema:
                function["parametersJsonSchema"] = json_schema(root, field, self._notes, is_settled=True)
            else:
                function["parameters"] = openapi_schema(root, field, self._notes)
        return function

    def _response(self, schema: Schema, field: str) -> Block:
        """The answer's schema under the name of the field that takes it."""
        if self._family.takes_response_schema:
            return {"responseJsonSchema": json_schema(schema, field, self._notes)}
        return {"responseSchema": openapi_schema(schema, field, self._notes)}

    def _choice(self, choice: ToolChoice | None) -> Block | None:
        if choice is None:
            return None
        if choice.is_forced and self._model.has_forced_tools is False:
            cannot(choice.field, "the model can't be made to call a function")
        allowed = choice.allowed if choice.name is None else (choice.name,)
        mode = MODES[choice.mode]
        if allowed is None:
            return {"mode": mode}
        # Beside AUTO the wire takes no names; VALIDATED is AUTO with calls that keep to them and to their schemas.
        names = [wire_name(name, choice.field) for name in allowed]
        return {"mode": "VALIDATED" if mode == "AUTO" else mode, "allowedFunctionNames": names}

    def _strict(self, toolkit: Toolkit, calling: Block | None) -> Block | None:
        """Calls that keep their schemas by construction: for all functions or for none, and where one must be made."""
        strict = [tool for tool in toolkit.tools if tool.strict]
        mode = calling["mode"] if calling is not None else "AUTO"
        if self._model.has_strict_tools is not True or mode == "NONE":
            for tool in strict:
                reason = "the model is not known to keep the schemas of calls by construction"
                drop(self._notes, f"{tool.function_field}.strict", "no call is made" if mode == "NONE" else reason)
            return calling
        if mode == "AUTO" and not strict:
            return calling
        for tool in toolkit.tools:
            if not tool.strict:
                reason = "this wire keeps the schemas of all functions by construction, or of none"
                self._notes.append(Adaptation(f"{tool.function_field}.strict", "added", reason))
        return {**(calling or {}), "mode": "VALIDATED"} if mode == "AUTO" else calling

    def _form(self, asked: ResponseFormat | None, *, has_functions: bool) -> tuple[Block, str | None]:
        if asked is None:
            return {}, None
        obstacle = self._obstacle(has_functions=has_functions)
        schema = titled(asked.schema, asked.name, asked.description) if asked.kind == "json_schema" else None
        if schema is not None and obstacle is None and self._model.has_json_schema is not False:
            field = f"{asked.field}.json_schema"
            if asked.strict is not True:
                self._notes.append(
                    Adaptation(f"{field}.strict", "added", "this wire keeps every schema by construction")
                )
            made = self._response(schema, f"{field}.schema")
            return {"responseMimeType": JSON, **made}, None
        if schema is not None:
            reason = f"{obstacle or 'the model keeps no schema by construction'}: told in words"
            self._notes.append(Adaptation(asked.field, "changed", reason))
            told = f"{SCHEMA_TOLD}\n{msgspec.json.encode(schema).decode()}"
            return {} if obstacle else {"responseMimeType": JSON}, told
        if obstacle is None:
            return {"responseMimeType": JSON}, None
        self._notes.append(Adaptation(asked.field, "changed", f"{obstacle}: told in words"))
        return {}, JSON_TOLD

    def _obstacle(self, *, has_functions: bool) -> str | None:
        if self._model.has_json_mode is False:
            return "the model has no JSON mode"
        if has_functions and not self._family.mixes_tools_and_json:
            return "the model takes no response format beside functions"
        return None


def declared(tooling: Tooling) -> dict[str, Any]:
    """`tools` and `toolConfig` of the body."""
    made: dict[str, Any] = {}
    if tooling.functions:
        made["tools"] = [{"functionDeclarations": list(tooling.functions)}]
    if tooling.calling is not None:
        made["toolConfig"] = {"functionCallingConfig": tooling.calling}
    return made
