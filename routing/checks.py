"""Checks an answer against what its request asked for: JSON, a schema, tools that are there, arguments that fit.

Broken JSON is mended by a library, and taken only if what comes out keeps the schema. What can't be mended is a `Flaw`:
the model is shown its answer and what is wrong with it, once. An answer that was cut (`length`), filtered or refused
is no breach: it says itself that it is not whole.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import json_repair
import msgspec

from jobs.chat import Adaptation, Answer, ChatRequest
from jobs.failures import Failure, FailureKind
from routing import schemas

UNWHOLE = frozenset({"length", "content_filter"})
SHOWN_CHARACTERS = 4_000
"""Of its own answer, that the model is shown again."""
MENDED = "the answer was not quite JSON; it was mended, and what came out keeps the schema"
SHOWN_AGAIN = "the model is shown its answer before, which could not be used, and why"
NOT_JSON = "it is not JSON"


class Expected(msgspec.Struct, frozen=True, eq=False):
    """What a request wants its answer to be."""

    is_json: bool
    schema: Any
    """None: any JSON object."""
    tools: Mapping[str, Any]
    """The schemas of the arguments by tool; None: any object."""


class Flaw(msgspec.Struct, frozen=True):
    """What is wrong with an answer."""

    failure: Failure
    """Names the rule that is broken, and nothing of prompt and answer."""
    said: str
    """What the model said, cut: shown to it again."""
    told: str
    """What is wrong with that, for the model."""


class Checked(msgspec.Struct, frozen=True):
    """An answer after the check: as it came, mended, or with its flaw."""

    answer: Answer
    flaw: Flaw | None = None
    adaptations: tuple[Adaptation, ...] = ()


def expected(request: ChatRequest) -> Expected | None:
    """What the answer must keep; None for plain text, where there is nothing to check. Never raises."""
    body = request.body
    wanted = body.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    tools = dict(_tools(body)) if body.get("tools") or body.get("functions") else {}
    if kind not in ("json_object", "json_schema") and not tools:
        return None
    schema = None
    if kind == "json_schema" and isinstance(wanted, Mapping):
        named = wanted.get("json_schema")
        schema = named.get("schema") if isinstance(named, Mapping) else None
    return Expected(is_json=kind in ("json_object", "json_schema"), schema=schema, tools=tools)


def _tools(body: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
    functions = [tool.get("function") for tool in _list(body.get("tools")) if isinstance(tool, Mapping)]
    functions += _list(body.get("functions"))
    named = [function for function in functions if isinstance(function, Mapping)]
    return [(str(function.get("name")), function.get("parameters")) for function in named]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def schema_fault(request: ChatRequest) -> tuple[str, str] | None:
    """The field of a schema in the request that is none, and why; None when all are sound. Never raises."""
    body = request.body
    places: list[tuple[str, Any]] = []
    wanted = body.get("response_format")
    named = wanted.get("json_schema") if isinstance(wanted, Mapping) else None
    if isinstance(named, Mapping) and named.get("schema") is not None:
        places.append(("response_format.json_schema.schema", named["schema"]))
    for name, field in (("tools", "function.parameters"), ("functions", "parameters")):
        for index, tool in enumerate(_list(body.get(name))):
            function = tool.get("function") if name == "tools" and isinstance(tool, Mapping) else tool
            if isinstance(function, Mapping) and function.get("parameters") is not None:
                places.append((f"{name}[{index}].{field}", function["parameters"]))
    for path, schema in places:
        found = schemas.fault(schema)
        if found is not None:
            return f"{path}.{found.path}".rstrip("."), found.message
    return None


def check(wanted: Expected, answer: Answer) -> Checked:
    """Judge every choice of an answer; the first flaw counts. Never raises."""
    tree = msgspec.json.decode(answer.body)
    is_mended = False
    for choice in tree["choices"]:
        if choice.get("finish_reason") in UNWHOLE or not isinstance(choice.get("message"), dict):
            continue
        message = choice["message"]
        for judge in (_check_calls, _check_content):
            found = judge(wanted, message)
            if isinstance(found, Flaw):
                return Checked(answer, flaw=found)
            is_mended = is_mended or found
    if not is_mended:
        return Checked(answer)
    first = tree["choices"][0]["message"].get("content")
    text = first if isinstance(first, str) else answer.text
    mended = msgspec.structs.replace(answer, body=msgspec.json.encode(tree), text=text)
    return Checked(mended, adaptations=(Adaptation("response_format", "changed", MENDED),))


def unmended(answer: Answer) -> Checked:
    """An answer that could be mended, of a job that takes nothing mended."""
    message = "the answer is not quite JSON, and the answers of strict jobs are not mended"
    flaw = Flaw(Failure(FailureKind.INVALID_ANSWER, message), answer.text[:SHOWN_CHARACTERS], NOT_JSON)
    return Checked(answer, flaw=flaw)


def _check_calls(wanted: Expected, message: dict[str, Any]) -> Flaw | bool:
    """A flaw, or whether arguments were mended (in place)."""
    is_mended = False
    legacy = message.get("function_call")
    for call in (*(message.get("tool_calls") or ()), *([{"function": legacy}] if legacy else [])):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            continue
        name, arguments = str(function.get("name")), function.get("arguments")
        text = arguments if isinstance(arguments, str) else ""
        if name not in wanted.tools:
            return _flaw("a tool was called that is not among `tools`", f"There is no tool named {name!r}.", message)
        parameters = wanted.tools[name] if wanted.tools[name] is not None else {"type": "object"}
        value, was_broken = read_json(text or "{}")
        fault = _fault(parameters, value)
        if fault is not None:
            rule, told = fault
            return _flaw(f"the arguments of tool {name}: {rule}", f"The arguments of {name}: {told}", message)
        if was_broken:
            function["arguments"] = msgspec.json.encode(value).decode()
            is_mended = True
    return is_mended


def _check_content(wanted: Expected, message: dict[str, Any]) -> Flaw | bool:
    content = message.get("content")
    if not wanted.is_json or message.get("refusal") or (message.get("tool_calls") and not content):
        return False
    if not isinstance(content, str) or not content.strip():
        return False  # an empty answer is a failure of its own
    value, was_broken = read_json(content)
    fault = _fault(wanted.schema if wanted.schema is not None else {"type": "object"}, value)
    if fault is not None:
        rule, told = fault
        return _flaw(f"response_format: {rule}", told, message)
    if was_broken:
        message["content"] = msgspec.json.encode(value).decode()
    return was_broken


NOTHING = object()
"""Stands for text that holds no JSON."""


def read_json(text: str) -> tuple[Any, bool]:
    """The value, and whether the text had to be mended for it; `NOTHING` when there is no JSON in it. Never raises."""
    try:
        return msgspec.json.decode(text), False
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        pass
    if "{" not in text and "[" not in text:
        return NOTHING, False
    try:
        value = json_repair.loads(text, skip_json_loads=True)
        value = msgspec.json.decode(
            msgspec.json.encode(value)
        )  # as it will stand there: no infinity, no half of a pair
    except (ValueError, RecursionError):
        return NOTHING, False
    return (value, True) if isinstance(value, dict | list) else (NOTHING, False)


def _fault(schema: Any, value: Any) -> tuple[str, str] | None:
    """The rule that is broken, and a sentence about it."""
    if value is NOTHING:
        return NOT_JSON, f"{NOT_JSON}."
    found = schemas.breach(schema, value)
    return None if found is None else (f"the schema's {found.rule}", found.told)


def _flaw(rule: str, told: str, message: Mapping[str, Any]) -> Flaw:
    content, calls = message.get("content"), message.get("tool_calls") or message.get("function_call")
    said = content if isinstance(content, str) and content else msgspec.json.encode(calls).decode()
    failure = Failure(FailureKind.INVALID_ANSWER, f"the answer does not keep what was asked for: {rule}"[:500])
    return Flaw(failure, said[:SHOWN_CHARACTERS], told)


def corrected(request: ChatRequest, flaw: Flaw) -> tuple[ChatRequest, Adaptation]:
    """The request once more, with the answer that can't be used and why; and what stands for that in the receipt."""
    complaint = f"That answer could not be used. {flaw.told} Answer again, keeping to what was asked."
    shown = ({"role": "assistant", "content": flaw.said}, {"role": "user", "content": complaint})
    body = {**request.body, "messages": [*request.messages, *shown]}
    return ChatRequest(msgspec.json.encode(body), body), Adaptation("messages", "added", SHOWN_AGAIN)
