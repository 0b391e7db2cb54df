"""Tools for models that have none: told in the prompt, and called by a JSON answer that is read back as tool calls.

Only where a policy says `emulate_tools = true` and the model is known to lack tools. It works over any dialect, since
it turns a request into another one and an answer into another one; all that changes stands among the adaptations.

Over the wire goes `{"calls": [{"name": ..., "arguments": {...}}]}` or `{"answer": ...}`, asked for in words, and by
schema or JSON mode where the model has these. `routing.emulated_answers` reads it back.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from jobs.chat import Adaptation, ChatRequest
from jobs.policy import Policy
from routing.abilities import PLAIN
from routing.catalog import Model, Target
from routing.dialects.base import Asking, Dialect, Unsupported, WireRequest
from routing.dialects.parts import CannotCarry, cannot
from routing.dialects.toolkit import FIELDS, Tool, Toolkit, read_toolkit
from routing.eligibility import Needs, Option, needs_of
from routing.retelling import has_calls, retold

TOLD = "the model has no tools: they are told in the prompt, and calls are read from a JSON answer"
IN_WORDS = "the model has no tools: it is asked for in words, and held to by a check"
IN_ONE_PIECE = "calls are read from the whole answer: it comes in one piece"
NOT_ITS_TOKENS = "the tokens are those of the JSON around the answer"
NO_PREFILL = "it is to be continued, and an answer that calls tools in JSON can't be"
_BEGINNING = "Your whole answer is one JSON object, with nothing before or after it and no code fence around it."
_MESSAGE = re.compile(r"messages\[(\d+)\]")
_OURS = FIELDS | {"stream", "stream_options", "logprobs", "top_logprobs"}
"""Fields of the body that the emulation answers for."""


class Terms(msgspec.Struct, frozen=True):
    """What an answer may be."""

    names: frozenset[str] = frozenset()
    """Tools that may be called; empty: the answer is no JSON of ours."""
    is_forced: bool = False
    is_parallel: bool = True
    is_json: bool = False
    """The answer itself is to be JSON, not a text."""


class Emulation(msgspec.Struct, frozen=True):
    """A request without tools that asks for the same, and what its answers are read by."""

    request: ChatRequest
    adaptations: tuple[Adaptation, ...]
    terms: Terms
    is_shifted: bool
    """A message of ours stands in front of the caller's."""

    def over(self, wire: WireRequest | Unsupported) -> WireRequest | Unsupported:
        """What a dialect made of `request`, in terms of the caller's own request."""
        if isinstance(wire, Unsupported):
            return replace(wire, field=self._place(wire.field))
        has_our_form = bool(self.terms.names)  # the caller's is told already; without tools to call it leaves as it is
        theirs = [
            replace(change, field=self._place(change.field))
            for change in wire.adaptations
            if not (has_our_form and change.field.startswith("response_format"))
        ]
        return replace(wire, adaptations=(*self.adaptations, *theirs))

    def _place(self, field: str) -> str:
        found = _MESSAGE.match(field) if self.is_shifted else None
        if found is None:
            return field
        place = int(found[1]) - 1
        return "tools" if place < 0 else f"messages[{place}]{field[found.end() :]}"


def emulation_of(request: ChatRequest, policy: Policy, model: Model) -> Emulation | Unsupported | None:
    """How a model without tools carries a request with them; None when there is no need, or the policy says no.

    Unsupported for what no text can stand for: tools that are no functions, a result without its call, an answer that
    goes on with a given beginning or is to be spoken. Never raises.
    """
    if not policy.emulate_tools or model.has_tools is not False:
        return None
    body = request.body
    if not (body.get("tools") or body.get("functions")) and not has_calls(request.messages):
        return None
    kit = read_toolkit(request)
    if isinstance(kit, Unsupported):
        return kit
    try:
        return _emulate(request, kit, model)
    except CannotCarry as stop:
        return stop.unsupported


def carry(
    dialect: Dialect, request: ChatRequest | Emulation, target: Target, asking: Asking
) -> WireRequest | Unsupported:
    """The call by which a dialect carries a request, emulated or as it is. Never raises."""
    if isinstance(request, Emulation):
        return request.over(dialect.encode(request.request, target, asking))
    return dialect.encode(request, target, asking)


class Carried(msgspec.Struct, frozen=True):
    """A request as a candidate without tools carries it, and what that needs."""

    emulation: Emulation | Unsupported
    needs: Needs


def emulations(options: Iterable[Option], request: ChatRequest, policy: Policy, needs: Needs) -> Mapping[str, Carried]:
    """Those of a policy's options that are asked for tool calls as JSON, by id. `needs` are the request's own.

    Complex tool work stays such: without tools of their own none of them is marked reliable for it.
    """
    if not policy.emulate_tools or needs.asked is PLAIN:
        return {}
    found: dict[str, Carried] = {}
    for option in options:
        emulation = emulation_of(request, policy, option.model) if option.fault is None else None
        if emulation is None:
            continue
        mine = needs if isinstance(emulation, Unsupported) else needs_of(emulation.request, needs.intent, policy)
        asked = replace(mine.asked, is_complex_tool_work=needs.asked.is_complex_tool_work)
        found[option.id] = Carried(emulation, replace(mine, asked=asked))
    return found


def _emulate(request: ChatRequest, kit: Toolkit, model: Model) -> Emulation:
    messages, changes = retold(request.messages)
    tools = _callable(kit)
    if not tools:
        dropped = [Adaptation("tools", "dropped", "no tool may be called, and the model has none")] if kit.tools else []
        kept = {key: value for key, value in request.body.items() if key not in FIELDS or key == "response_format"}
        body = {**kept, "messages": messages}
        return Emulation(_request(body), (*dropped, *changes), Terms(), is_shifted=False)
    _check_form(request)
    shape = kit.response_format
    terms = Terms(
        names=frozenset(tool.name for tool in tools),
        is_forced=kit.choice is not None and kit.choice.is_forced,
        is_parallel=kit.is_parallel is not False,
        is_json=shape is not None,
    )
    schema = None if shape is None else shape.schema or {"type": "object"}
    told, is_shifted = _with_words(messages, _words(tools, terms, schema))
    body = {key: value for key, value in request.body.items() if key not in _OURS}
    body["messages"] = told
    if (form := _form(model, tools, terms, schema)) is not None:
        body["response_format"] = form
    return Emulation(_request(body), (*_changes(request.body, kit), *changes), terms, is_shifted=is_shifted)


def _request(body: dict[str, Any]) -> ChatRequest:
    return ChatRequest(msgspec.json.encode(body), body)


def _check_form(request: ChatRequest) -> None:
    """Raises CannotCarry for answers that can't be one JSON object."""
    modalities = request.body.get("modalities")
    if request.body.get("audio") or (isinstance(modalities, list) and "audio" in modalities):
        cannot("modalities", "an answer that calls tools in JSON can't be spoken")
    if request.messages[-1]["role"] == "assistant":
        cannot(f"messages[{len(request.messages) - 1}]", NO_PREFILL)


def _callable(kit: Toolkit) -> tuple[Tool, ...]:
    choice = kit.choice
    if choice is None:
        return kit.tools
    if choice.mode == "none":
        return ()
    allowed = (choice.name,) if choice.mode == "named" else choice.allowed
    return tuple(tool for tool in kit.tools if allowed is None or tool.name in allowed)


def _changes(body: Mapping[str, Any], kit: Toolkit) -> Iterable[Adaptation]:
    """What is told instead of what was asked for, field by field."""
    field = kit.tools[0].field.partition("[")[0]
    yield Adaptation(field, "changed", TOLD)
    for tool in kit.tools:
        if tool.strict:
            yield Adaptation(f"{tool.function_field}.strict", "dropped", IN_WORDS)
        if tool.cache is not None:
            yield Adaptation(tool.cache.field, "dropped", "the model has no tools whose definitions could be cached")
    for name in ("tool_choice", "function_call", "parallel_tool_calls", "response_format"):
        if body.get(name) not in (None, "auto", True):
            yield Adaptation(name, "changed", IN_WORDS)
    if body.get("stream"):
        yield Adaptation("stream", "changed", IN_ONE_PIECE)
    if body.get("logprobs"):
        yield Adaptation("logprobs", "dropped", NOT_ITS_TOKENS)
    yield from kit.adaptations


def _words(tools: Sequence[Tool], terms: Terms, schema: Mapping[str, Any] | None) -> str:
    """The instruction."""
    lines = [_BEGINNING, 'To have a tool called: {"calls": [{"name": "<its name>", "arguments": {<its arguments>}}]}.']
    lines.append("Several calls may stand in the list." if terms.is_parallel else "One call at a time.")
    lines.append("You will be told the results in the next message.")
    if terms.is_forced:
        lines.append("Now you have to call a tool.")
    elif schema is None:
        lines.append('To answer without a call: {"answer": "<your text>"}.')
    else:
        lines.append('To answer without a call: {"answer": <JSON>}, whose JSON keeps this JSON Schema:')
        lines.append(_json(schema))
    lines.append("The tools, each with the JSON Schema of its arguments:")
    lines += [_json(_shown(tool)) for tool in tools]
    return "\n".join(lines)


def _shown(tool: Tool) -> dict[str, Any]:
    about = {"name": tool.name} | ({"description": tool.description} if tool.description else {})
    return {**about, "arguments": tool.parameters or {"type": "object", "properties": {}}}


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _with_words(messages: list[Mapping[str, Any]], words: str) -> tuple[list[Mapping[str, Any]], bool]:
    """The words at the end of the system prompt that the conversation begins with, or as one of its own."""
    first = messages[0]
    content = first.get("content")
    if first["role"] not in ("system", "developer") or not isinstance(content, str | list):
        return [{"role": "system", "content": words}, *messages], True
    longer = [*content, {"type": "text", "text": words}] if isinstance(content, list) else f"{content}\n\n{words}"
    return [{**first, "content": longer}, *messages[1:]], False


def _form(model: Model, tools: Sequence[Tool], terms: Terms, schema: Mapping[str, Any] | None) -> Any:
    """The strongest `response_format` that the model is known to have."""
    if model.has_json_schema:
        envelope = {"name": "calls_or_answer", "schema": _envelope(tools, terms, schema)}
        return {"type": "json_schema", "json_schema": envelope}
    return {"type": "json_object"} if model.has_json_mode else None


def _envelope(tools: Sequence[Tool], terms: Terms, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """The JSON Schema of the whole answer."""
    kinds = [
        {
            "type": "object",
            "properties": {"name": {"type": "string", "enum": [tool.name]}, "arguments": _inside(tool.parameters)},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool in tools
    ]
    calls: dict[str, Any] = {"type": "array", "items": kinds[0] if len(kinds) == 1 else {"anyOf": kinds}}
    answer = {"type": "string"} if schema is None else _inside(schema)
    return {
        "type": "object",
        "properties": {"calls": calls} if terms.is_forced else {"calls": calls, "answer": answer},
        "required": ["calls"] if terms.is_forced else [],
        "additionalProperties": False,
    }


def _inside(schema: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """A schema as part of another; one with references, which would point elsewhere there, as any object."""
    if not schema or '"$' in _json(schema):
        return {"type": "object"}
    return schema
