"""Which tools are called, with which arguments, and the sentence that quotes what they gave back.

The models only sort, so these are rules, and say so: a tool is called when the caller forces one, when the last
message names it, or when that message asks for tools in so many words.
"""

import hashlib
import random
import re
from collections.abc import Sequence

import msgspec

from sandbox.instances import broken, instance
from sandbox.speech import Ask, Call, Tool, Turn

ASKED = re.compile(r"\b(tools?|functions?)\b", re.IGNORECASE)
SEVERAL = re.compile(r"\b(parallel|both|all|each|every|several)\b", re.IGNORECASE)
MOST_CALLS = 8


def called(ask: Ask) -> tuple[Tool, ...]:
    """The tools to call now, in order; none when the answer is words.

    Results that have come are answered in words, unless the caller forces a call: then there is one, as the
    providers do it.
    """
    box = ask.toolbox
    if not box.tools or box.mode == "none" or (ask.results and box.mode != "forced"):
        return ()
    offered = tuple(tool for tool in box.tools if not box.allowed or tool.name in box.allowed)
    named = tuple(tool for tool in offered if re.search(rf"(?<![\w-]){re.escape(tool.name)}(?![\w-])", ask.query))
    is_asked = bool(ASKED.search(ask.query)) or box.mode == "forced"
    if not named and not is_asked:
        return ()
    if not box.is_parallel:
        return (named or offered)[:1]
    if SEVERAL.search(ask.query):
        several = named or offered
        return (several * 2 if len(several) == 1 else several)[:MOST_CALLS]
    return (named or offered[:1])[:MOST_CALLS]


def calls(tools: Sequence[Tool], text: str, seed: str) -> tuple[Call, ...]:
    """A call of each tool with arguments that its schema allows; the same text and seed give the same calls.

    The arguments carry the text where their schema lets them.
    """
    found = []
    for place, tool in enumerate(tools):
        told = f"{seed}/{place}/{tool.name}/{text}"
        chance = random.Random(told)  # noqa: S311 - repeatable arguments, not secrecy
        arguments = instance({"type": "object", **tool.schema}, text, chance)
        mark = hashlib.sha256(told.encode()).hexdigest()[:24]
        found.append(Call(mark, tool.name, msgspec.json.encode(arguments).decode()))
    return tuple(found)


def quoted(results: Sequence[Turn]) -> str:
    """What the tools gave back, in one sentence.

    >>> quoted([Turn("tool", '{"c": 21}', "weather")])
    'The tool weather gave back: {"c": 21}'
    """
    return "; ".join(
        f"{'The' if not at else 'the'} tool {one.tool} gave back: {one.text}" for at, one in enumerate(results)
    )


def broken_call(call: Call, tools: Sequence[Tool], *, in_syntax: bool) -> Call:
    """The call with arguments that are no JSON (their end is missing), or that their schema forbids."""
    if in_syntax:
        return msgspec.structs.replace(call, arguments=call.arguments[:-1])
    schema = next(tool.schema for tool in tools if tool.name == call.name)
    arguments = broken(schema, msgspec.json.decode(call.arguments))
    return msgspec.structs.replace(call, arguments=msgspec.json.encode(arguments).decode())
