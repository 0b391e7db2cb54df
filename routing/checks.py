"""Checks an answer against what its request asked for: JSON, a schema, tools that are there, arguments that fit.

Broken JSON is mended where nothing of it is lost by that (`routing.mending`), and taken only if what comes out keeps
the schema. What can't be mended is a `Flaw`: the model is shown its answer and what is wrong with it, once. An answer
that was cut (`length`), filtered or refused is no breach: it says itself that it is not whole.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from jobs.chat import Adaptation, Answer, ChatRequest
from jobs.failures import Failure, FailureKind
from routing import schemas
from routing.mending import Fault, mend, repeats_a_key

UNWHOLE = frozenset({"length", "content_filter"})
SHOWN_CHARACTERS = 4_000
"""Of its own answer, that the model is shown again."""
MENDED = "the answer was not quite JSON; it was mended, and what came out keeps the schema"
SHOWN_AGAIN = "the model is shown its answer before, which could not be used, and why"


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
    flaw = Flaw(Failure(FailureKind.INVALID_ANSWER, message), answer.text[:SHOWN_CHARACTERS], Fault.NOTHING.told)
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
        read = read_json(text or "{}")
        fault = _fault(parameters, read)
        if fault is not None:
            rule, told = fault
            return _flaw(f"the arguments of tool {name}: {rule}", f"The arguments of {name}: {told}", message)
        if read.is_mended:
            function["arguments"] = read.text
            is_mended = True
    return is_mended


def _check_content(wanted: Expected, message: dict[str, Any]) -> Flaw | bool:
    content = message.get("content")
    if not wanted.is_json or message.get("refusal") or (message.get("tool_calls") and not content):
        return False
    if not isinstance(content, str) or not content.strip():
        return False  # an empty answer is a failure of its own
    read = read_json(content)
    fault = _fault(wanted.schema if wanted.schema is not None else {"type": "object"}, read)
    if fault is not None:
        rule, told = fault
        return _flaw(f"response_format: {rule}", told, message)
    if read.is_mended:
        message["content"] = read.text
    return read.is_mended


class Read(msgspec.Struct, frozen=True):
    """JSON as a model wrote it, or as it was mended."""

    fault: Fault | None = None
    """Why it can't be read; there is no value then."""
    value: Any = None
    text: str = ""
    """Its JSON: numbers as they were written, keys in their order."""
    is_mended: bool = False


def read_json(text: str) -> Read:
    """The JSON value that a text is, mended where that loses nothing. Never raises."""
    try:
        read = _read_strictly(text)
        if read is None:
            mended = mend(text)
            if isinstance(mended, Fault):
                return Read(mended)
            # A mended text that is no JSON has half of a surrogate pair, or a number that is out of range.
            read = _read_strictly(mended, is_mended=True) or Read(Fault.BROKEN)
        if read.fault is None and repeats_a_key(read.text):
            return Read(Fault.REPEATED)
    except RecursionError:
        return Read(Fault.TOO_DEEP)
    return read


def _read_strictly(text: str, *, is_mended: bool = False) -> Read | None:
    """None for what is no JSON. Raises RecursionError."""
    try:
        return Read(value=msgspec.json.decode(text), text=text, is_mended=is_mended)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None


def _fault(schema: Any, read: Read) -> tuple[str, str] | None:
    """The rule that is broken, and a sentence about it."""
    if read.fault is not None:
        return str(read.fault), read.fault.told
    found = schemas.breach(schema, read.value)
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
