"""Reads the JSON by which a model without tools answers (`routing.emulation`) back as content and tool calls."""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from jobs.chat import Adaptation, Answer
from jobs.failures import Failure, FailureKind
from routing.checks import MENDED, SHOWN_CHARACTERS, UNWHOLE, Checked, Expected, Flaw, check, read_json
from routing.dialects.fences import Unfencer
from routing.emulation import Emulation, Terms
from routing.mending import Fault


def check_answer(emulation: Emulation | None, wanted: Expected, answer: Answer) -> Checked:
    """`routing.checks.check`, after an emulated answer was read back. Never raises."""
    if emulation is None or not emulation.terms.names:
        return check(wanted, answer)
    read = _read(emulation, answer)
    if read.flaw is not None:
        return read
    checked = check(wanted, read.answer)
    flaw = checked.flaw
    if flaw is not None:  # the model is shown what it said, not what we made of that
        flaw = replace(flaw, said=answer.text[:SHOWN_CHARACTERS])
    return replace(checked, flaw=flaw, adaptations=(*read.adaptations, *checked.adaptations))


class _Call(msgspec.Struct, frozen=True):
    name: str
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class _Said(msgspec.Struct, frozen=True):
    """What is looked for in an answer."""

    calls: list[_Call] | None = None
    answer: msgspec.Raw = msgspec.Raw(b"null")


_said = msgspec.json.Decoder(_Said)
_NULL, _QUOTE = b"null", b'"'


def _read(emulation: Emulation, answer: Answer) -> Checked:
    """Every choice with its JSON as content and tool calls; the first flaw counts."""
    tree = msgspec.json.decode(answer.body)
    seed = hashlib.blake2b(emulation.request.raw + answer.body, digest_size=8).hexdigest()
    is_mended = False
    for place, choice in enumerate(tree["choices"]):
        message = choice.get("message")
        if choice.get("finish_reason") in UNWHOLE or not isinstance(message, dict) or message.get("refusal"):
            continue
        text = message.get("content")
        found = _take_apart(text if isinstance(text, str) else "", emulation.terms)
        if isinstance(found, Flaw):
            return Checked(answer, flaw=found)
        content, calls, was_broken = found
        is_mended = is_mended or was_broken
        choice["logprobs"] = None
        message["content"] = content
        if calls:
            choice["finish_reason"] = "tool_calls"
            message["tool_calls"] = [_shown_call(call, f"{seed}{place:04x}", n) for n, call in enumerate(calls)]
    first = tree["choices"][0]
    text = first["message"].get("content")
    read = replace(
        answer,
        body=msgspec.json.encode(tree),
        text=text if isinstance(text, str) else "",
        finish_reason="tool_calls" if first["message"].get("tool_calls") else answer.finish_reason,
        has_tool_calls=bool(first["message"].get("tool_calls")),
    )
    return Checked(read, adaptations=(Adaptation("tools", "changed", MENDED),) if is_mended else ())


def _shown_call(call: _Call, seed: str, place: int) -> dict[str, Any]:
    """One of `message.tool_calls`; its id is as long as OpenAI's and its own in this conversation."""
    raw = bytes(call.arguments)
    arguments = msgspec.json.decode(raw) if raw.startswith(_QUOTE) else raw.decode()
    arguments = "{}" if raw == _NULL else arguments
    function = {"name": call.name, "arguments": arguments}
    return {"id": f"call_{seed}{place:04x}", "type": "function", "function": function}


_Parts = tuple[str | None, Sequence[_Call], bool]


def _take_apart(text: str, terms: Terms) -> _Parts | Flaw:
    """Content, calls, and whether the JSON was mended."""
    unfencer = Unfencer()
    bare = unfencer.add(text) + unfencer.flush()
    read = read_json(bare)
    if read.fault not in (None, Fault.NOTHING):
        return _flaw(read.fault, read.fault.told, text)
    if not isinstance(read.value, dict):
        return _flaw("it is no JSON object", "It is no JSON object.", text)
    try:
        said = _said.decode(read.text)
    except msgspec.ValidationError as error:
        return _flaw("its calls are none", f"Its JSON can't be used: {error}.", text)
    calls = said.calls or ()
    is_silent = bytes(said.answer) == _NULL
    if (broken := _breach(calls, terms, is_silent=is_silent)) is not None:
        return _flaw(broken, f"{broken[0].upper()}{broken[1:]}.", text)
    content = None if is_silent else _content(bytes(said.answer))
    return content, calls, read.is_mended


def _breach(calls: Sequence[_Call], terms: Terms, *, is_silent: bool) -> str | None:
    if terms.is_forced and not calls:
        return "a tool has to be called, and none was"
    if not calls and is_silent:
        return "it holds neither `calls` nor an `answer`"
    if len(calls) > 1 and not terms.is_parallel:
        return "only one call at a time is allowed"
    if any(call.name not in terms.names for call in calls):
        return "a tool was called that may not be"
    return None


def _content(raw: bytes) -> str:
    """The answer: the text itself where it is one, else its JSON as the model wrote it."""
    return str(msgspec.json.decode(raw)) if raw.startswith(_QUOTE) else raw.decode()


def _flaw(rule: str, told: str, text: str) -> Flaw:
    message = f"the answer does not keep what was asked for: {rule}"
    return Flaw(Failure(FailureKind.INVALID_ANSWER, message), text[:SHOWN_CHARACTERS], told)
