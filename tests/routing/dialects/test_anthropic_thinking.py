"""Sampling, effort and thoughts on the Anthropic wire (wire-formats 2.6, cases 24 and 26-28)."""

from typing import Any

import msgspec
import pytest

from routing.catalog import Model
from tests.routing.dialects.anthropic_wire import (
    NEW,
    OLD,
    Body,
    assistant,
    call,
    refused,
    result,
    sent,
    tool,
    user,
)


def test_case_16_a_forced_call_excludes_thinking():
    body, notes = sent(OLD, tools=[tool()], tool_choice="required", reasoning_effort="high")
    assert "thinking" not in body
    assert notes == [("reasoning_effort", "dropped")]
    body, notes = sent(NEW, tools=[tool()], tool_choice="required", reasoning_effort="high")
    assert body["thinking"] == {"type": "disabled"}
    assert body["output_config"] == {"effort": "high"}
    assert notes == [("reasoning_effort", "changed")]
    body, notes = sent(NEW, tools=[tool()], tool_choice="required", thinking={"type": "adaptive"})
    assert (body["thinking"], "output_config" in body) == ({"type": "disabled"}, False)
    assert notes == [("thinking", "dropped")]
    never = msgspec.structs.replace(NEW, has_forced_tools=False)
    assert refused(never, tools=[tool()], tool_choice="required") == "tool_choice"


@pytest.mark.parametrize(
    ("model", "given", "wire", "noted"),
    [
        (OLD, {"temperature": 0}, {"temperature": 0}, []),
        (OLD, {"temperature": 1.7}, {"temperature": 1.0}, [("temperature", "changed")]),
        (OLD, {"temperature": 1}, {}, []),
        (OLD, {"temperature": 0.2, "top_p": 0.9}, {"temperature": 0.2}, [("top_p", "dropped")]),
        (OLD, {"temperature": 0.2, "top_p": 1}, {"temperature": 0.2}, []),
        (OLD, {"top_p": 0.9, "top_k": 40}, {"top_p": 0.9, "top_k": 40}, []),
        (NEW, {"temperature": 0.2, "top_p": 0.5}, {}, [("temperature", "dropped"), ("top_p", "dropped")]),
        (NEW, {"temperature": 1.0}, {}, []),
        (OLD, {"temperature": 0.2, "reasoning_effort": "low"}, {}, [("temperature", "dropped")]),
    ],
)
def test_case_24_sampling(model: Model, given: Body, wire: Body, noted: list[tuple[str, str]]):
    body, notes = sent(model, **given)
    assert {key: body[key] for key in ("temperature", "top_p", "top_k") if key in body} == wire
    assert notes == noted


@pytest.mark.parametrize(
    ("model", "given", "thinking", "effort", "noted"),
    [
        (OLD, {"reasoning_effort": "medium"}, {"type": "enabled", "budget_tokens": 32_000}, None, []),
        (OLD, {"reasoning_effort": "low", "max_tokens": 2_000}, {"type": "enabled", "budget_tokens": 1_024}, None, []),
        (OLD, {"reasoning_effort": "low", "max_tokens": 1_024}, None, None, [("reasoning_effort", "dropped")]),
        (OLD, {"reasoning_effort": "none"}, {"type": "disabled"}, None, []),
        (OLD, {"thinking": {"type": "enabled", "budget_tokens": 2_048}},
         {"type": "enabled", "budget_tokens": 2_048}, None, []),
        (OLD, {"thinking": {"type": "enabled", "budget_tokens": 5}},
         {"type": "enabled", "budget_tokens": 1_024}, None, [("thinking", "changed")]),
        (OLD, {"reasoning_effort": "ultra"}, None, None, [("reasoning_effort", "dropped")]),
        (NEW, {"reasoning_effort": "high"}, {"type": "adaptive"}, "high", []),
        (NEW, {"reasoning_effort": "xhigh"}, {"type": "adaptive"}, "high", [("reasoning_effort", "changed")]),
        (NEW, {"reasoning_effort": "minimal"}, {"type": "adaptive"}, "low", [("reasoning_effort", "changed")]),
        (NEW, {"reasoning_effort": "none"}, {"type": "disabled"}, None, []),
        (msgspec.structs.replace(NEW, reasoning_efforts=frozenset({"low", "high"})), {"reasoning_effort": "none"},
         {"type": "adaptive"}, "low", [("reasoning_effort", "changed")]),
        (msgspec.structs.replace(NEW, reasoning_efforts=None), {"reasoning_effort": "medium"},
         {"type": "adaptive"}, "medium", []),
        (msgspec.structs.replace(OLD, has_reasoning=False), {"reasoning_effort": "high"}, None, None,
         [("reasoning_effort", "dropped")]),
        (OLD, {"reasoning_effort": "high", "messages": [user(), assistant("It is")]}, None, None,
         [("reasoning_effort", "dropped")]),
    ],
)  # fmt: skip
def test_case_26_effort(model: Model, given: Body, thinking: Any, effort: str | None, noted: list[tuple[str, str]]):
    body, notes = sent(model, **given)
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == effort
    assert notes == noted


DETAILS = [
    {
        "type": "reasoning.text",
        "text": "Hm.\u2028",
        "signature": "c2ln+/=",
        "format": "anthropic-claude-v1",
        "index": 0,
    },
    {"type": "reasoning.encrypted", "data": "cmVk", "format": "anthropic-claude-v1", "index": 1},
]


def test_case_27_signed_thoughts_go_back_unchanged_and_first():
    messages = [user(), assistant("Let me", call(), reasoning_content="Hm.\u2028", reasoning_details=DETAILS), result()]
    body, notes = sent(OLD, tools=[tool()], reasoning_effort="high", messages=messages)
    assert body["messages"][1]["content"][:2] == [
        {"type": "thinking", "thinking": "Hm.\u2028", "signature": "c2ln+/="},
        {"type": "redacted_thinking", "data": "cmVk"},
    ]
    assert body["thinking"]["type"] == "enabled"
    assert notes == []


def test_case_27_a_tool_loop_without_its_thoughts_goes_on_without_thinking():
    messages = [user(), assistant(None, call()), result()]
    body, notes = sent(OLD, tools=[tool()], reasoning_effort="high", messages=messages)
    assert "thinking" not in body
    assert notes == [("reasoning_effort", "dropped")]
    body, notes = sent(NEW, tools=[tool()], reasoning_effort="high", messages=messages)
    assert body["thinking"] == {"type": "adaptive"}
    assert notes == []


def test_case_28_thoughts_of_others_stay_here():
    google = [{"type": "reasoning.encrypted", "data": "Z29v", "format": "google-gemini-v1", "index": 0}]
    signed = {**call(), "extra_content": {"google": {"thought_signature": "c2ln"}}}
    body, notes = sent(
        tools=[tool()],
        messages=[user(), assistant("a", reasoning_content="Hm."), user(), assistant(None, signed,
                  reasoning_details=google), result()],
    )  # fmt: skip
    assert [block["type"] for message in body["messages"] for block in message["content"]] == [
        "text", "text", "text", "tool_use", "tool_result",
    ]  # fmt: skip
    assert notes == [
        ("messages[1].reasoning_content", "dropped"),
        ("messages[3].reasoning_details[0]", "dropped"),
        ("messages[3].tool_calls[0].extra_content", "dropped"),
    ]
