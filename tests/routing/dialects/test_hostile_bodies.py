"""No body that the door lets in makes a dialect raise: it leaves, or it is refused with a path and a reason."""

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.chat import ChatRequest, InvalidRequest
from routing.catalog import Deployment, Model, Target
from routing.dialects.base import Asking, Unsupported, WireRequest
from routing.dialects.names import escaped, unescaped
from routing.dialects.registry import DIALECTS

KEYS = [
    *("type", "function", "name", "text", "url", "image_url", "input_audio", "file", "file_data", "arguments", "id"),
    *(
        "parameters",
        "anyOf",
        "properties",
        "required",
        "$ref",
        "$defs",
        "schema",
        "json_schema",
        "ttl",
        "mode",
        "tools",
    ),
    *("strict", "allowed_tools", "include_usage", "budget_tokens", "data", "format", "signature", "summary", "items"),
]
WORDS = [
    "function",
    "text",
    "image_url",
    "file",
    "input_audio",
    "object",
    "json_schema",
    "ephemeral",
    "required",
    "#/$defs/x",
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-2, 10**10)
    | st.floats(allow_nan=False)
    | st.sampled_from(WORDS)
    | st.text(max_size=4)
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=10,
)
MESSAGE_KEYS = [
    *("content", "tool_calls", "function_call", "tool_call_id", "refusal", "reasoning_details", "audio", "name"),
    *("cache_control", "reasoning_content", "is_error"),
]
MESSAGES = st.builds(
    lambda role, more: {**more, "role": role},
    st.sampled_from(["system", "user", "assistant", "tool", "function", "developer"]),
    st.dictionaries(st.sampled_from(MESSAGE_KEYS), JSON, max_size=4),
)
FIELDS = [
    *("tools", "functions", "tool_choice", "function_call", "parallel_tool_calls", "response_format", "stop", "user"),
    *(
        "temperature",
        "top_p",
        "top_k",
        "reasoning_effort",
        "thinking",
        "stream",
        "stream_options",
        "service_tier",
        "seed",
    ),
    *("modalities", "max_tokens", "metadata", "safety_identifier", "cache_control"),
]
TARGETS = [
    Target(Deployment(model=model.id, provider="p", upstream="up"), model)
    for model in (
        Model("m/unknown"),
        Model("m/able", has_json_schema=True, has_strict_tools=True, has_sampling=False, has_reasoning=True),
    )
]


@pytest.mark.parametrize("name", DIALECTS)
@given(
    messages=st.lists(MESSAGES, min_size=1, max_size=4),
    more=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5),
    target=st.sampled_from(TARGETS),
)
def test_no_body_raises(name: str, messages: list[Any], more: dict[str, Any], target: Target):
    body = {**more, "messages": messages}
    try:
        request = ChatRequest.of(msgspec.json.encode(body), body)
    except InvalidRequest:
        return
    wire = DIALECTS[name].encode(request, target, Asking())
    if isinstance(wire, Unsupported):
        assert wire.field.split("[")[0].split(".")[0] in body
        assert wire.reason
        return
    assert isinstance(wire, WireRequest)
    msgspec.json.decode(wire.body)


@given(name=st.text(max_size=30), limit=st.sampled_from([64, 128]))
def test_names_come_back_as_they_went(name: str, limit: int):
    wire = escaped(name, re.compile(f"[a-zA-Z0-9_-]{{1,{limit}}}"))
    if wire is not None:
        assert re.fullmatch("[a-zA-Z0-9_-]+", wire)
        assert unescaped(wire) == name


@pytest.mark.parametrize("made_up", ["tyx_", "tyx_ffffff_", "tyx__", "tyx_110000_", "plain"])
def test_names_that_a_model_made_up_do_no_harm(made_up: str):
    assert isinstance(unescaped(made_up), str)
