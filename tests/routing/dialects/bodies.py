"""Hypothesis strategies over the whole OpenAI chat-completions body, with what real callers put into it.

`bodies()` draws a body that an OpenAI-compatible API could be sent: each field of the official `CompletionCreateParams`
and the extensions of vendors. `official=True` leaves out what the official types do not know, `broken=True` lets tool
results lose their calls and calls their results. Field values stand in `fields.py`, conversations here.
"""

import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.routing.dialects.fields import (
    EXTENSION_FIELDS,
    FUNCTIONS,
    OFFICIAL_FIELDS,
    PARTICIPANTS,
    json_schemas,
    texts,
    tool_names,
)

Body = dict[str, Any]
Message = dict[str, Any]

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJeLjz9MKMSAwIG9iago8PD4+CmVuZG9iagp0cmFpbGVyCjw8Pj4KJSVFT0YK"
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA="

TRICKY_ARGUMENTS = (
    "{}",
    "",
    '{"a": 1.0,  "b":"\\u00e9\\n", "c": 12345678901234567890123}',
    '{"price": 0.1000000000000000055511151231257827, "many": [1e2, 1E-7, -0.0, 10000000000000000000]}',
    '{ "deep" : {"list": [{"x": null}, true, "\\ud83d\\ude00"]}}',
    '{"text": "line\\u2028end"}',
)
UNREADABLE_ARGUMENTS = ('{"city": "Par', "Paris", "[1, 2]", '{"a": 1} trailing', "null")
"""What models really write now and then, and callers send back: no JSON, or no object."""


def bodies(*, official: bool = False, broken: bool = False) -> SearchStrategy[Body]:
    """Whole request bodies."""
    return _bodies(official, broken)


@st.composite
def _bodies(draw: DrawFn, official: bool, broken: bool) -> Body:
    tools = draw(st.one_of(st.just([]), st.lists(function_tools(), min_size=1, max_size=3, unique_by=_name)))
    body: Body = {
        "model": draw(st.sampled_from(["auto", "openai/gpt-4o"])),
        "messages": draw(conversations(tuple(map(_name, tools)), official=official, broken=broken)),
    }
    if tools or draw(st.integers(0, 15)) == 15:
        body["tools"] = tools
        body |= draw(_choices_of_tools(tuple(map(_name, tools))))
    elif draw(st.integers(0, 9)) == 9:
        body |= draw(FUNCTIONS)
    body |= draw(_some(OFFICIAL_FIELDS))
    if not official:
        body |= draw(_some(EXTENSION_FIELDS))
        if draw(st.integers(0, 7)) == 7 and body.get("tools"):
            body["tools"][0]["cache_control"] = draw(_marks)
    if body.get("stream") is not True:
        body.pop("stream_options", None)
    return body


@st.composite
def _some(draw: DrawFn, fields: dict[str, SearchStrategy[Any]]) -> Body:
    """A handful of the fields: all at once would hide one behind the other, and be slow to shrink."""
    names = draw(st.lists(st.sampled_from(sorted(fields)), max_size=5, unique=True))
    return {name: draw(fields[name]) for name in names}


def _choices_of_tools(names: tuple[str, ...]) -> SearchStrategy[Body]:
    """`tool_choice` in all its forms, and `parallel_tool_calls`."""
    forms: list[Any] = ["auto", "none"]
    if names:
        named = [{"type": "function", "function": {"name": name}} for name in names]
        allowed = [{"mode": mode, "tools": named[:1]} for mode in ("auto", "required")]
        forms += ["required", *named, *({"type": "allowed_tools", "allowed_tools": some} for some in allowed)]
    return st.fixed_dictionaries(
        {}, optional={"tool_choice": st.sampled_from(forms), "parallel_tool_calls": st.booleans()}
    )


@st.composite
def function_tools(draw: DrawFn) -> Body:
    """A function with its schema, strict or not."""
    function: Body = {"name": draw(tool_names)}
    function |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "description": texts,
                "parameters": json_schemas,
                "strict": st.sampled_from([True, False, None]),
            },
        )
    )
    return {"type": "function", "function": function}


@st.composite
def conversations(
    draw: DrawFn, tools: tuple[str, ...] = (), *, official: bool = False, broken: bool = False
) -> list[Message]:
    """Messages in any order that an API takes; with `broken`, also tool results and calls that have no other half."""
    turns = draw(st.lists(_turns(tools, official), max_size=4))
    messages = [message for turn in turns for message in turn]
    if draw(st.integers(0, 4)):
        messages += draw(_users)
    messages = messages or draw(_users)
    _number_calls(messages, draw(st.sampled_from(_ID_FORMS)))
    if broken:
        results = [place for place, message in enumerate(messages) if message["role"] == "tool"]
        if len(results) > 0 and draw(st.booleans()):
            del messages[draw(st.sampled_from(results))]
        else:
            orphan = {"role": "tool", "tool_call_id": "call_nobody", "content": "lost"}
            messages.insert(draw(st.integers(0, len(messages))), orphan)
    if not official:
        _mark(draw, messages)
    return messages


def _turns(tools: tuple[str, ...], official: bool) -> SearchStrategy[list[Message]]:
    answers = _assistants(official)
    calls = _tool_turns(tools or ("old_tool",), official)
    return st.one_of(_instructions, _users, _users, answers, answers, calls, calls, calls, _function_turns)


_instructions = st.builds(
    lambda role, content, name: [{"role": role, "content": content, **name}],
    st.sampled_from(["system", "developer"]),
    st.one_of(texts, st.lists(st.builds(lambda text: {"type": "text", "text": text}, texts), min_size=1, max_size=2)),
    PARTICIPANTS,
)

_images = st.builds(
    lambda url, detail: {"type": "image_url", "image_url": {"url": url, **detail}},
    st.sampled_from(["https://example.com/cat.png?size=1", f"data:image/png;base64,{PNG}"]),
    st.fixed_dictionaries({}, optional={"detail": st.sampled_from(["auto", "low", "high"])}),
)
_FILES: list[Body] = [
    {"filename": "a b.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
    {"file_data": f"data:application/pdf;base64,{PDF}"},
    {"file_id": "file-1"},
]
_files = st.sampled_from(_FILES).map(lambda file: {"type": "file", "file": dict(file)})
_sounds = st.sampled_from(["wav", "mp3"]).map(
    lambda name: {"type": "input_audio", "input_audio": {"data": WAV, "format": name}}
)
_text_parts = st.builds(lambda text: {"type": "text", "text": text}, texts)
_parts = st.one_of(_text_parts, _text_parts, _images, _files, _sounds)

_users = st.builds(
    lambda content, name: [{"role": "user", "content": content, **name}],
    st.one_of(texts, texts, st.lists(_parts, min_size=1, max_size=3)),
    PARTICIPANTS,
)


_refusals = texts.map(lambda text: f"I can't: {text}")


@st.composite
def _assistants(draw: DrawFn, official: bool) -> list[Message]:
    """What the model said before: text, parts, nothing, a refusal, with its thoughts."""
    refusal = {"type": "refusal", "refusal": draw(_refusals)}
    content = draw(
        st.one_of(texts, st.just(""), st.none(), st.lists(_text_parts, min_size=1, max_size=2), st.just([refusal]))
    )
    message: Message = {"role": "assistant", "content": content, **draw(PARTICIPANTS)}
    if draw(st.integers(0, 9)) == 9:
        message["refusal"] = draw(st.one_of(st.none(), _refusals))
    if not official:
        message |= draw(_thoughts)
    return [message]


_THOUGHTS: list[Message] = [
    {},
    {},
    {"reasoning_content": "First, count."},
    {"reasoning_content": None},
    {
        "reasoning_content": "Hm.",
        "reasoning_details": [
            {
                "type": "reasoning.text",
                "text": "Hm.",
                "signature": "c2ln",
                "format": "anthropic-claude-v1",
                "index": 0,
            },
            {"type": "reasoning.encrypted", "data": "cmVk", "format": "anthropic-claude-v1", "index": 1},
        ],
    },
    {"reasoning_details": [{"type": "reasoning.encrypted", "data": "Z29v", "format": "google-gemini-v1", "index": 0}]},
]
# Copied: no two bodies may share a part, since a test may take one away.
_thoughts = st.sampled_from(_THOUGHTS).map(lambda thoughts: dict(json.loads(json.dumps(thoughts))))


@st.composite
def _tool_turns(draw: DrawFn, tools: tuple[str, ...], official: bool) -> list[Message]:
    """An assistant's calls and all their results, in any order, as texts or parts."""
    named = draw(st.lists(st.sampled_from(tools), min_size=1, max_size=3))
    calls = [
        {"id": f"#{place}", "type": "function", "function": {"name": name, "arguments": draw(arguments)}}
        for place, name in enumerate(named)
    ]
    asks: Message = {
        "role": "assistant",
        "content": draw(st.one_of(st.none(), st.just(""), texts)),
        "tool_calls": calls,
    }
    if not official:
        asks |= draw(_thoughts)
        if draw(st.integers(0, 5)) == 5:
            calls[0]["extra_content"] = {"google": {"thought_signature": "c2lnbmF0dXJl"}}
    answers = [
        {
            "role": "tool",
            "tool_call_id": call["id"],
            "content": draw(st.one_of(texts, st.lists(_text_parts, min_size=1, max_size=2))),
        }
        for call in calls
    ]
    return [asks, *draw(st.permutations(answers))]


_function_turns = st.builds(
    lambda given, result: [
        {"role": "assistant", "content": None, "function_call": {"name": "old_function", "arguments": given}},
        {"role": "function", "name": "old_function", "content": result},
    ],
    st.sampled_from(TRICKY_ARGUMENTS),
    texts,
)

_json_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=4), inner, max_size=2)),
    max_leaves=4,
)
arguments = st.one_of(
    st.sampled_from(TRICKY_ARGUMENTS),
    st.sampled_from(TRICKY_ARGUMENTS),
    st.sampled_from(UNREADABLE_ARGUMENTS),
    st.dictionaries(st.text(max_size=4), _json_values, max_size=3).map(lambda given: json.dumps(given, indent=1)),
)
"""JSON texts of tool arguments as models write them: any spacing, any number, now and then broken."""

_ID_FORMS = ("call_{}", "call_Abc-9_{}", "toolu_01{}", "a1B2c3D{:02}", "functions.f:{}", "{}")
"""Ids of several vendors: OpenAI, Anthropic, Mistral (nine characters), Kimi (a dot, a colon), a bare number."""


def _number_calls(messages: list[Message], form: str) -> None:
    """Give the calls ids that are unique in the conversation, and their results the same."""
    count = 0
    ids: dict[str, str] = {}
    for message in messages:
        if message.get("tool_calls"):
            ids = {}
            for call in message["tool_calls"]:
                ids[call["id"]] = form.format(count)
                call["id"] = ids[call["id"]]
                count += 1
        elif message["role"] == "tool":
            message["tool_call_id"] = ids[message["tool_call_id"]]


_marks = st.sampled_from(
    [{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}, {"type": "ephemeral", "ttl": "5m"}]
)


def _mark(draw: DrawFn, messages: list[Message]) -> None:
    """Prompt-cache marks as Anthropic, OpenRouter and Qwen take them: on parts, or on a whole message."""
    places: list[Any] = [part for message in messages for part in _parts_of(message) if part["type"] != "refusal"]
    places += [message for message in messages if message["role"] != "assistant"]
    if places and draw(st.integers(0, 5)) == 5:
        draw(st.sampled_from(places))["cache_control"] = draw(_marks)


def _parts_of(message: Message) -> list[Body]:
    content = message.get("content")
    return content if isinstance(content, list) else []


def _name(tool: Body) -> str:
    return str(tool["function"]["name"])
