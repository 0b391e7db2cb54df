"""Nothing is changed in silence: what a request says reaches the wire, or stands in its adaptations.

Two questions to every place of every generated body, for each dialect and accent. *If it were not there*, would another
request leave? *If it said something else*, would another request leave? Where not, the place must be reported, or hold
what a table here gives as saying nothing, with its reason.
"""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing.catalog import Model
from routing.dialects.base import Dialect, Unsupported, WireRequest
from routing.dialects.openai_draft import DEFAULTS
from routing.dialects.registry import DIALECTS
from tests.routing.dialects import oracles
from tests.routing.dialects.bodies import bodies
from tests.routing.dialects.voices import MODELS, VOICES, at, paths, replaced, shown, spoken, without

THOROUGH = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

SAYS_NOTHING: list[tuple[str, tuple[Any, ...], str]] = [
    # By the last names of a place and its value: why it could as well be absent.
    ("", (None,), "null is how OpenAI's API writes: not given"),
    ("strict", (False,), "schemas are kept by construction only on demand"),
    ("detail", ("auto",), "what holds without it"),
    ("function.type", ("function",), "there is nothing else that it could be"),
    ("type", ("function",), "calls and tools of another type are refused"),
    ("arguments", ("", "{}"), "a call without arguments"),
    ("parameters", ({}, {"type": "object"}, {"type": "object", "properties": {}}), "a function without parameters"),
    ("parameters.type", ("object",), "arguments are always an object"),
    ("parameters.properties", ({},), "an object without named properties"),
    ("stream_options.include_usage", (True,), "every stream is asked for its usage"),
    ("include_obfuscation", (False,), "only OpenAI's own streams are padded"),
    ("stream", (False,), "a whole answer is what comes without it"),
    ("reasoning_details.index", tuple(range(9)), "the order of the list says it"),
    ("content", ("", {"type": "text", "text": ""}), "no text"),
    ("text", ("",), "no text"),
]

CAPS = (("max_tokens",), ("max_completion_tokens",))
IDS = (("user",), ("safety_identifier",))
"""Two names of one field: the same value twice says no more than once."""
UNHEARD_WITHOUT_TOOLS = {"tool_choice", "parallel_tool_calls", "tools"}
"""A choice among no tools says nothing; APIs even refuse it."""
WORDS = {"role", "type", "model", "arguments", "tool_call_id", "id", "format", "$ref", "$schema"}
"""Strings that are not free: another word there is another kind of thing, or no valid body."""


def says_nothing(body: dict[str, Any], path: tuple[Any, ...], model: Model) -> bool:
    """Whether the place holds what the tables give as the same as nothing."""
    value = at(body, path)
    if len(path) == 1 and value in DEFAULTS.get(path[0], ()):
        return True
    names = ".".join(step for step in path if isinstance(step, str))
    return says_it_again(body, path, model) or any(
        (names == ending or names.endswith("." + ending) or not ending) and value in values
        for ending, values, _ in SAYS_NOTHING
    )


def says_it_again(body: dict[str, Any], path: tuple[Any, ...], model: Model) -> bool:
    """Whether the rest of the request, or the model, says the same already."""
    no_effort = body.get("reasoning_effort") == "none"
    return (
        (path == ("reasoning_effort",) and no_effort and model.has_reasoning is False)
        or (path[0] == "thinking" and no_effort and body["thinking"] == {"type": "disabled"})
        or any(path in names and len({body.get(name) for (name,) in names}) == 1 for names in (CAPS, IDS))
        or (path[-1] == "reasoning_content" and at(body, path) in told_in_details(at(body, path[:-1])))
        or (path == ("parallel_tool_calls",) and body.get("tool_choice") == "none")
        # Where a model has structured output on a wire without the word, it keeps its schema always.
        or (path[-2:] == ("json_schema", "strict") and at(body, path) is True and model.has_json_schema is True)
        or (path[0] in UNHEARD_WITHOUT_TOOLS and not body.get("tools"))
        or is_said_elsewhere(body, path, ".".join(step for step in path if isinstance(step, str)))
    )


def is_said_elsewhere(body: dict[str, Any], path: tuple[Any, ...], names: str) -> bool:
    """Whether another place of the body says the same, or takes the sense from it."""
    if names == "parallel_tool_calls":  # of no calls, how many at once
        return "none" in (body.get("tool_choice"), body.get("function_call"))
    if names == "reasoning_effort":  # a vendor's own field may say the same; one of the two is told then
        return body.get("thinking") is not None
    if names == "tool_choice":
        return allows_all(body["tool_choice"], body)
    if names.endswith("reasoning_content"):  # a copy of what the details hold
        details = at(body, path[:-1]).get("reasoning_details") or []
        return bool(at(body, path) == "".join(detail.get("text", "") for detail in details))
    return names.endswith("reasoning_details.index")  # the order of the list says it


def allows_all(choice: Any, body: dict[str, Any]) -> bool:
    """The model may call any tool, or none, which is what holds without a choice."""
    allowed = choice.get("allowed_tools", {}) if isinstance(choice, dict) else {}
    return bool(allowed) and allowed["mode"] == "auto" and len(allowed["tools"]) == len(body.get("tools") or ())


def told_in_details(message: dict[str, Any]) -> list[str]:
    """The texts of `reasoning_details`, of which `reasoning_content` is the plain copy."""
    details = message.get("reasoning_details")
    pieces = details if isinstance(details, list) else []
    return [str(piece.get("text")) for piece in pieces if isinstance(piece, dict)]


def is_told(wire: WireRequest, path: tuple[Any, ...]) -> bool:
    """Whether an adaptation names the place, a part of it, or what it is a part of (but not: all messages)."""
    place = shown(path)
    for adaptation in wire.adaptations:
        field = adaptation.field
        if field == place or field.startswith((f"{place}.", f"{place}[")):
            return True
        whole = field not in {"messages", "tools"} or adaptation.action == "dropped"
        if whole and place.startswith((f"{field}.", f"{field}[")):
            return True
    return False


def same_wire(one: WireRequest, other: WireRequest | Unsupported | None) -> bool:
    if not isinstance(other, WireRequest):
        return False
    if any(told.action == "added" and told not in one.adaptations for told in other.adaptations):
        return False  # what is missing was filled in, and that is told
    return (one.body, one.path, one.headers) == (other.body, other.path, other.headers)


def other_values(path: tuple[Any, ...], value: Any) -> list[Any]:
    """Something else that could stand there."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1, value + 3]
    free = isinstance(value, str) and not any(step in WORDS for step in path[-1:])
    return [f"{value}x"] if free and path[0] in {"messages", "tools", "functions", "user", "stop"} else []


def silent_places(voice: Dialect, body: dict[str, Any], model: Model) -> list[str]:
    wire = spoken(voice, body, model)
    if not isinstance(wire, WireRequest):
        return []  # nothing leaves: the refusal is the report
    silent, left = [], json.loads(wire.body)
    for path in paths(body):
        if path == ("model",):
            continue  # the deployment's own name always takes its place
        stands = path[0] in left and left[path[0]] == at(body, path[:1])  # as the caller wrote it, in its own place
        told = is_told(wire, path) or (len(path) == 1 and stands)
        bare = spoken(voice, without(body, path), model)
        is_seen = told or (isinstance(bare, WireRequest) and is_told(bare, path))  # its absence is told, too
        if not is_seen and same_wire(wire, bare) and not says_nothing(body, path, model):
            silent.append(f"gone without a word: {shown(path)} = {at(body, path)!r}")
        for value in other_values(path, at(body, path)):
            changed = replaced(body, path, value)
            other = spoken(voice, changed, model)
            unheard = same_wire(wire, other) and isinstance(other, WireRequest) and not is_told(other, path)
            if unheard and not told and not (says_nothing(body, path, model) and says_nothing(changed, path, model)):
                silent.append(f"not heard: {shown(path)} = {at(body, path)!r} and {value!r}")
    return silent


@pytest.mark.parametrize("name", VOICES)
@THOROUGH
@given(body=bodies(), model=st.sampled_from(sorted(MODELS)))
def test_nothing_is_dropped_in_silence(name, body, model):
    assert silent_places(VOICES[name], body, MODELS[model]) == []


def sent_arguments(body: dict[str, Any]) -> list[str]:
    """The arguments of all calls of the conversation, in order."""
    calls = [call for message in body["messages"] for call in message.get("tool_calls") or ()]
    return [call["function"]["arguments"] for call in calls]


def wire_calls(body: dict[str, Any]) -> list[Any]:
    """The same on the wire: the JSON text at OpenAI's, the value at the others."""
    if "contents" in body:
        parts = [part for content in body["contents"] for part in content["parts"]]
        return [part["functionCall"].get("args", {}) for part in parts if "functionCall" in part]
    blocks = [block for message in body["messages"] for block in _blocks(message)]
    return [*sent_arguments(body), *(block["input"] for block in blocks if block.get("type") == "tool_use")]


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    return content if isinstance(content, list) else []


def exact(text: str | bytes) -> Any:
    """JSON with every number as it is written."""
    return json.loads(text, parse_float=Decimal)


def readable(arguments: str) -> Any:
    """The arguments as an object; None when they are no JSON object."""
    try:
        value = exact(arguments or "{}")
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


@pytest.mark.parametrize("name", VOICES)
@THOROUGH
@given(body=bodies())
def test_tool_arguments_leave_exact(name, body):
    for message in body["messages"]:
        message.pop("function_call", None)
    body["messages"] = [message for message in body["messages"] if message["role"] != "function"]
    wire = spoken(VOICES[name], body, MODELS["m/unknown"]) if body["messages"] else None
    if not isinstance(wire, WireRequest):
        return
    sent, left = sent_arguments(body), wire_calls(exact(wire.body))
    assert len(sent) == len(left)
    if name.startswith("openai"):
        assert left == sent
        return
    for given_text, value in zip(sent, left, strict=True):
        wanted = readable(given_text)
        assert value == wanted or (wanted is None and any(".arguments" in told.field for told in wire.adaptations))


@pytest.mark.parametrize("name", DIALECTS)
@THOROUGH
@given(body=bodies(), model=st.sampled_from(sorted(MODELS)))
def test_what_leaves_is_what_the_vendors_own_types_allow(name, body, model):
    body.pop("an_extension", None)  # known to nobody, so it is passed on
    wire = spoken(VOICES[name], body, MODELS[model])
    assert not isinstance(wire, WireRequest) or oracles.request_faults(name, wire) == []


@THOROUGH
@given(body=bodies())
def test_openais_own_wire_gets_the_body_as_it_is_but_for_what_is_told(body):
    wire = spoken(VOICES["openai"], body, MODELS["m/unknown"])
    assert isinstance(wire, WireRequest)
    left = {**json.loads(wire.body), "model": body["model"]}
    for path in paths(body):
        leaf = at(body, path)
        if isinstance(leaf, dict | list) or is_told(wire, path) or says_nothing(body, path, MODELS["m/unknown"]):
            continue
        assert at(left, path) == leaf


JUNK = st.sampled_from([None, 0, -1.5, True, "", "x", [], ["x"], [None, 7], {}, {"x": 1}, [{"type": ["x"]}], 10**30])


@pytest.mark.parametrize("name", DIALECTS)
@THOROUGH
@given(data=st.data(), body=bodies(broken=True), model=st.sampled_from(sorted(MODELS)))
def test_whatever_the_door_lets_in_is_encoded_or_refused(name, data, body, model):
    for _ in range(data.draw(st.integers(0, 2))):
        body = replaced(body, data.draw(st.sampled_from(paths(body))), data.draw(JUNK))
    for accented in [voice for voice in VOICES if voice.partition("/")[0] == name]:
        wire = spoken(VOICES[accented], body, MODELS[model])  # raises nothing
        assert wire is None or isinstance(wire, WireRequest | Unsupported)


def test_the_judge_finds_a_planted_silence():
    class Forgetful:
        def encode(self, request, target, asking):
            body = {name: part for name, part in request.body.items() if name != "seed"}
            wire = VOICES["openai"].encode(type(request)(request.raw, body), target, asking)
            assert isinstance(wire, WireRequest)
            return wire

    body = {"messages": [{"role": "user", "content": "Hi"}], "seed": 7, "stop": ["x"]}
    assert silent_places(Forgetful(), body, MODELS["m/unknown"]) == [  # type: ignore[arg-type]
        "gone without a word: seed = 7",
        "not heard: seed = 7 and 8",
        "not heard: seed = 7 and 10",
    ]
