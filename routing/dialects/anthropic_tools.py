"""Tools, tool choice and the answer's form on Anthropic's wire."""

from collections.abc import Mapping
from typing import Any

import msgspec

from jobs.chat import Adaptation
from routing.catalog import Model
from routing.dialects.anthropic_blocks import Block, BlockWriter, wire_name
from routing.dialects.anthropic_schema import NotStrictError, strict_schema
from routing.dialects.parts import Notes, ToolCall, cannot, drop
from routing.dialects.schemas import object_schema, titled
from routing.dialects.toolkit import ResponseFormat, Tool, ToolChoice, Toolkit

ANSWER_TOOL = "tokenyard_answer"
"""The tool that a model without structured output has to call with its answer. Decoding turns the call into text."""
ANSWER_TOLD = "Give the final answer by calling this tool, once, with the answer as its arguments."
JSON_TOLD = "Answer with one JSON object and nothing else: no words around it, no code fence."
CHOICES = {"auto": "auto", "none": "none", "required": "any"}


class Tooling(msgspec.Struct, frozen=True):
    """What goes into the body for it."""

    tools: tuple[Block, ...] = ()
    choice: Block | None = None
    format: Mapping[str, Any] | None = None
    """`output_config.format`."""
    instruction: str | None = None
    """To be added behind the system texts."""

    @property
    def is_forced(self) -> bool:
        """The model must call a tool."""
        return self.choice is not None and self.choice["type"] in {"any", "tool"}


class ToolWriter:
    """Writes the toolkit of one request. Raises CannotCarry for what the model is known not to do."""

    def __init__(self, model: Model, writer: BlockWriter, notes: Notes) -> None:
        self._model = model
        self._writer = writer
        self._notes = notes

    def write(self, toolkit: Toolkit, past_calls: tuple[ToolCall, ...]) -> Tooling:
        """Tools, choice and format; past calls without tools get the bare definitions that the API demands."""
        tools = [self._tool(tool) for tool in self._allowed(toolkit)]
        choice = self._choice(toolkit.choice)
        if not tools and past_calls:
            tools, choice = self._stubs(past_calls), {"type": "none"}
        shaped = self._shape(toolkit.response_format, tools, choice)
        return self._serial(shaped, toolkit.is_parallel)

    def _allowed(self, toolkit: Toolkit) -> tuple[Tool, ...]:
        if toolkit.tools and self._model.has_tools is False:
            cannot("tools", "the model calls no tools")
        allowed = toolkit.choice.allowed if toolkit.choice is not None else None
        if allowed is None:
            return toolkit.tools
        for tool in toolkit.tools:
            if tool.name not in allowed:
                drop(self._notes, tool.field, "tool_choice does not allow it, and this wire has no list of that")
        return tuple(tool for tool in toolkit.tools if tool.name in allowed)

    def _tool(self, tool: Tool) -> Block:
        field = f"{tool.function_field}.parameters"
        block: Block = {"name": wire_name(tool.name, f"{tool.function_field}.name")}
        if tool.description is not None:
            block["description"] = tool.description
        strict = self._strict(tool, field) if tool.strict else None
        block["input_schema"] = object_schema(tool.parameters, field, self._notes) if strict is None else strict
        if strict is not None:
            block["strict"] = True
        return self._writer.bear(block, tool.cache)

    def _strict(self, tool: Tool, field: str) -> Block | None:
        """The schema for `strict: true`; None where that cannot be had."""
        reason = "the model is not known to keep tool schemas by construction"
        if self._model.has_strict_tools is True:
            notes: Notes = []
            try:
                root = object_schema(tool.parameters, field, notes)
                strict = strict_schema({"type": "object", **root}, field, self._model.schema_keywords, notes)
            except NotStrictError as error:
                reason = str(error)
            else:
                self._notes.extend(notes)
                return strict
        drop(self._notes, f"{tool.function_field}.strict", reason)
        return None

    def _stubs(self, calls: tuple[ToolCall, ...]) -> list[Block]:
        self._notes.append(Adaptation("tools", "added", "this wire wants the tools of earlier calls defined"))
        names = dict.fromkeys(wire_name(call.name, call.field) for call in calls)
        return [{"name": name, "input_schema": {"type": "object", "properties": {}}} for name in names]

    def _choice(self, choice: ToolChoice | None) -> Block | None:
        if choice is None:
            return None
        if choice.is_forced and self._model.has_forced_tools is False:
            cannot(choice.field, "the model can't be made to call a tool")
        if choice.name is not None:
            return {"type": "tool", "name": wire_name(choice.name, choice.field)}
        return {"type": CHOICES[choice.mode]}

    def _serial(self, tooling: Tooling, is_parallel: bool | None) -> Tooling:
        if is_parallel is not False or (tooling.choice is not None and tooling.choice["type"] == "none"):
            return tooling
        choice = {**(tooling.choice or {"type": "auto"}), "disable_parallel_tool_use": True}
        return msgspec.structs.replace(tooling, choice=choice)

    def _shape(self, asked: ResponseFormat | None, tools: list[Block], choice: Block | None) -> Tooling:
        plain = Tooling(tuple(tools), choice)
        if asked is None:
            return plain
        if asked.kind == "json_object":
            reason = "this wire has no JSON mode: the model is asked for JSON in words"
            self._notes.append(Adaptation(asked.field, "changed", reason))
            return msgspec.structs.replace(plain, instruction=JSON_TOLD)
        if choice is not None and choice["type"] == "tool":
            drop(self._notes, asked.field, "the answer is a call of the tool that tool_choice names")
            return plain
        kept = self._format(asked)
        return self._answer_tool(asked, tools, choice) if kept is None else msgspec.structs.replace(plain, format=kept)

    def _format(self, asked: ResponseFormat) -> Block | None:
        """Structured output; None where the model or the schema allows none."""
        if self._model.has_json_schema is not True:
            return None
        notes: Notes = []
        try:
            schema = strict_schema(
                titled(asked.schema, asked.name, asked.description),
                f"{asked.field}.json_schema.schema",
                self._model.schema_keywords,
                notes,
            )
        except NotStrictError:
            return None
        self._notes.extend(notes)
        if asked.strict is False:
            reason = "a schema is kept by construction here, whether asked or not"
            self._notes.append(Adaptation(f"{asked.field}.json_schema.strict", "changed", reason))
        return {"type": "json_schema", "schema": schema}

    def _answer_tool(self, asked: ResponseFormat, tools: list[Block], choice: Block | None) -> Tooling:
        field = f"{asked.field}.json_schema.schema"
        if self._model.has_tools is False or self._model.has_forced_tools is False:
            cannot(asked.field, "the model keeps no schema, and can't be made to call a tool that has one")
        reason = "this model takes a schema as that of a tool which it has to call; the call becomes the answer"
        self._notes.append(Adaptation(asked.field, "changed", reason))
        schema = object_schema(titled(asked.schema, asked.name, asked.description), field, self._notes)
        answer = {"name": ANSWER_TOOL, "description": ANSWER_TOLD, "input_schema": schema}
        is_alone = not tools or (choice is not None and choice["type"] == "none")
        forced: Block = {"type": "tool", "name": ANSWER_TOOL} if is_alone else {"type": "any"}
        return Tooling((*tools, answer), {**forced, "disable_parallel_tool_use": True} if is_alone else forced)
