"""Thoughts in the OpenAI wire's accents: those that are demanded back, and what a model may not do while it thinks."""

from typing import Any

import pytest

from routing.catalog import Model
from routing.dialects.base import WireRequest
from tests.routing.dialects import anthropic_wire
from tests.routing.dialects.accented import CALLED, HI, OTHER, TOOL, refused, sent, spoken, told

TEXT: list[dict[str, Any]] = [
    {"type": "text", "text": "One."},
    {"type": "text", "text": ""},
    {"type": "text", "text": "Two."},
]
THINKS = Model("moonshotai/kimi-k2.6", has_reasoning=True)
NEVER_THINKS = Model("moonshotai/kimi-k2", has_reasoning=False)
ALWAYS_THINKS = Model("moonshotai/kimi-k3", has_reasoning=True, reasoning_efforts=frozenset({"low", "high"}))
NAMED = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize("accent", ["deepseek", "moonshot", "zai"])
@pytest.mark.parametrize("role", ["system", "assistant", "tool", "developer"])
def test_text_parts_are_one_string_where_the_role_takes_only_that(accent, role):
    said = {"role": role, "content": TEXT}
    messages = [*CALLED[:2], {**said, "tool_call_id": "call_1"}] if role == "tool" else [said, HI]
    place = 2 if role == "tool" else 0
    assert sent(accent, NEVER_THINKS, messages=messages)["messages"][place]["content"] == "One.\nTwo."
    assert told(accent, NEVER_THINKS, messages=messages) == []


def test_a_user_s_text_parts_are_one_string_at_deepseek_but_not_beside_an_image():
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    assert sent("deepseek", messages=[{"role": "user", "content": TEXT}])["messages"][0]["content"] == "One.\nTwo."
    both = [{"role": "user", "content": [*TEXT, picture]}]
    assert sent("deepseek", messages=both)["messages"] == both
    for accent in ("openai", "mistral", "openrouter"):
        plain = [{"role": "user", "content": TEXT}]
        assert sent(accent, messages=plain)["messages"] == plain


@pytest.mark.parametrize(
    ("accent", "model", "fields", "thoughts"),
    [
        ("moonshot", THINKS, {}, " "),
        ("moonshot", Model("m/unknown"), {"reasoning_effort": "medium"}, " "),
        ("moonshot", ALWAYS_THINKS, {}, " "),
        ("moonshot", THINKS, {"reasoning_effort": "none"}, None),
        ("moonshot", THINKS, {"thinking": {"type": "disabled"}}, None),
        ("moonshot", NEVER_THINKS, {}, None),
        ("deepseek", THINKS, {}, " "),
        ("deepseek", THINKS, {"reasoning_effort": "none"}, None),
        ("mistral", THINKS, {}, None),
        ("openai", THINKS, {}, None),
    ],
)
def test_a_tool_loop_begun_elsewhere_has_the_thoughts_that_are_demanded(accent, model, fields, thoughts):
    call = sent(accent, model, messages=CALLED, **fields)["messages"][1]
    assert call.get("reasoning_content") == thoughts
    added = [("messages[1].reasoning_content", "added")] if thoughts else []
    assert [note for note in told(accent, model, messages=CALLED, **fields) if "messages" in note[0]] == added


@pytest.mark.parametrize("given", ["Hm.", ""])
def test_thoughts_that_came_back_stay(given):
    thoughtful = [HI, {**CALLED[1], "reasoning_content": given}, CALLED[2]]
    assert sent("moonshot", THINKS, messages=thoughtful)["messages"][1]["reasoning_content"] == given or " "
    other = [HI, {**CALLED[1], "reasoning": "Hm."}, CALLED[2]]
    assert sent("moonshot", THINKS, messages=other)["messages"][1]["reasoning_content"] == "Hm."


def test_deepseek_wants_them_of_every_answer_once_there_are_tools():
    past = [HI, {"role": "assistant", "content": "Hello."}, *CALLED]
    assert [message.get("reasoning_content") for message in sent("deepseek", messages=past)["messages"]] == [
        *(None, " ", None, " ", None),
    ]
    assert [message.get("reasoning_content") for message in sent("moonshot", messages=past)["messages"]] == [
        *(None, None, None, " ", None),
    ]
    plain = [*past[:2], HI]
    assert sent("deepseek", messages=plain)["messages"] == plain
    assert sent("deepseek", messages=plain, tools=[TOOL])["messages"][1]["reasoning_content"] == " "


@pytest.mark.parametrize(
    ("accent", "fields", "left", "adaptations"),
    [
        ("deepseek", {}, {"thinking": {"type": "disabled"}}, [("thinking", "added")]),
        (
            "deepseek",
            {"reasoning_effort": "high"},
            {"thinking": {"type": "disabled"}},
            [("reasoning_effort", "changed")],
        ),
        (
            "moonshot",
            {"thinking": {"type": "enabled"}},
            {"thinking": {"type": "disabled"}},
            [("thinking", "changed")],
        ),
        ("dashscope", {"enable_thinking": True}, {"enable_thinking": False}, [("enable_thinking", "changed")]),
        ("dashscope", {"enable_thinking": False}, {"enable_thinking": False}, []),
        ("deepseek", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, []),
        ("mistral", {}, {}, []),
    ],
)
def test_a_forced_call_ends_the_thinking_where_both_are_refused(accent, fields, left, adaptations):
    body = sent(accent, THINKS, tools=[TOOL, OTHER], tool_choice=NAMED, **fields)
    assert {name: part for name, part in body.items() if name not in ("tools", "tool_choice")} == left
    notes = told(accent, THINKS, tools=[TOOL, OTHER], tool_choice=NAMED, **fields)
    assert [note for note in notes if not note[0].startswith("tools[")] == adaptations


def test_a_forced_call_of_a_model_that_always_thinks_is_refused():
    assert refused("moonshot", ALWAYS_THINKS, tools=[TOOL], tool_choice=NAMED) == "tool_choice"
    assert sent("moonshot", NEVER_THINKS, tools=[TOOL], tool_choice=NAMED)["tool_choice"] == NAMED
    assert "thinking" not in sent("moonshot", THINKS, tools=[TOOL], tool_choice="auto")


@pytest.mark.parametrize(
    "name", ["gpt-5.4", "gpt-5.4-mini-2026-03-17", "gpt-5.6-sol", "gpt-6.1-sol", "gpt-5.10", "gpt-10"]
)
@pytest.mark.parametrize(
    ("effort", "action"),
    [({}, "added"), ({"reasoning_effort": "high"}, "changed"), ({"reasoning_effort": "none"}, None)],
)
def test_tools_end_the_thinking_of_openai_s_newer_models(name, effort, action):
    model = Model(f"openai/{name}", has_reasoning=True)
    assert sent("openai", model, tools=[TOOL], **effort)["reasoning_effort"] == "none"
    assert told("openai", model, tools=[TOOL], **effort) == ([("reasoning_effort", action)] if action else [])
    at_azure = spoken("azure", Model("mine", has_reasoning=True), upstream=name, tools=[TOOL], **effort)
    assert isinstance(at_azure, WireRequest)
    assert b'"reasoning_effort":"none"' in at_azure.body
    assert sent("openai", model, **effort) == effort
    legacy = sent("openai", model, functions=[TOOL["function"]])
    assert legacy["reasoning_effort"] == "none"


@pytest.mark.parametrize("name", ["gpt-4o", "gpt-5", "gpt-5.2", "gpt-5-mini", "o3", "gpt-4.1", "gpt-5.3-chat-latest"])
def test_tools_leave_the_effort_of_older_models_as_it_is(name):
    model = Model(f"openai/{name}")
    assert sent("openai", model, tools=[TOOL], reasoning_effort="high")["reasoning_effort"] == "high"
    assert "reasoning_effort" not in sent("openai", model, tools=[TOOL])
    assert "reasoning_effort" not in sent("openrouter", Model("openai/gpt-5.6"), tools=[TOOL])


def test_a_newer_model_that_always_thinks_is_ruled_out_for_tools():
    model = Model("openai/gpt-5.4-pro", has_reasoning=True, reasoning_efforts=frozenset({"medium", "high"}))
    assert refused("openai", model, tools=[TOOL]) == "tools"
    assert sent("openai", Model("openai/gpt-5.4-chat", has_reasoning=False), tools=[TOOL]) == {"tools": [TOOL]}


def test_a_call_of_another_model_is_signed_for_gemini_3_at_google_s_openai_face():
    wire = spoken("google", Model("google/gemini-3-pro"), upstream="gemini-3-pro-preview", messages=CALLED)
    assert isinstance(wire, WireRequest)
    assert b'"extra_content":{"google":{"thought_signature":"skip_thought_signature_validator"}}' in wire.body
    assert [note.field for note in wire.adaptations] == ["messages[1].tool_calls[0].extra_content"]
    assert sent("google", Model("google/gemini-2.5-pro"), messages=CALLED)["messages"] == CALLED
    over = [*CALLED, {"role": "assistant", "content": "Done."}, HI]
    assert sent("google", Model("google/gemini-3-pro"), messages=over)["messages"] == over


def test_claude_s_adaptive_thinking_takes_a_tool_loop_without_thoughts():
    body = [anthropic_wire.user(), anthropic_wire.assistant(None, anthropic_wire.call()), anthropic_wire.result()]
    left, notes = anthropic_wire.sent(
        anthropic_wire.NEW, messages=body, reasoning_effort="high", tools=[anthropic_wire.tool()]
    )
    assert left["thinking"] == {"type": "adaptive"}
    assert notes == []
    left, notes = anthropic_wire.sent(
        anthropic_wire.OLD, messages=body, reasoning_effort="high", tools=[anthropic_wire.tool()]
    )
    assert "thinking" not in left
    assert notes == [("reasoning_effort", "dropped")]
