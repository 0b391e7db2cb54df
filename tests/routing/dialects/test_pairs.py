"""Two fields that mean one thing: whatever a wire makes of them, each one's value leaves or is told."""

import itertools
from typing import Any

import pytest

from routing.dialects.accent_table import ACCENTS
from tests.routing.dialects.accented import HI, TOOL, sent, told
from tests.routing.dialects.test_nothing_silent import silent_places
from tests.routing.dialects.voices import RICH, UNKNOWN, VOICES

TWO_VALUES: dict[str, list[Any]] = {
    "reasoning_effort": ["none", "low", "max"],
    "thinking": [{"type": "enabled"}, {"type": "disabled"}, {"type": "enabled", "budget_tokens": 2048}],
    "enable_thinking": [True, False],
    "reasoning": [{"effort": "high"}, {"effort": "none"}, {"max_tokens": 2000}],
    "max_tokens": [16, 4096],
    "max_completion_tokens": [16, 4096],
    "seed": [7, 8],
    "random_seed": [7, 8],
    "user": ["u", "v"],
    "user_id": ["u", "v"],
    "safety_identifier": ["u", "v"],
    "logprobs": [True, False],
    "top_logprobs": [3],
    "function_call": ["none", {"name": "f"}],
    "tool_choice": ["none", "required", {"type": "function", "function": {"name": "f"}}],
}
"""Fields that some wire writes to the place of another, with values that agree and values that do not."""
SAME_PLACE = (
    ("reasoning_effort", "thinking", "enable_thinking", "reasoning"),
    ("max_tokens", "max_completion_tokens"),
    ("seed", "random_seed"),
    ("user", "user_id", "safety_identifier"),
    ("logprobs", "top_logprobs"),
    ("function_call", "tool_choice"),
)


def test_each_accent_s_own_fields_stand_among_those_that_are_tried_in_pairs():
    for accent in ACCENTS.values():
        pairs = [("reasoning_effort", name) for fields in accent.effort_fields.values() for name in fields]
        for one, other in [*pairs, *accent.renames.items()]:
            assert any({one, other} <= set(group) for group in SAME_PLACE)


@pytest.mark.parametrize("name", VOICES)
def test_of_two_fields_that_mean_one_thing_each_leaves_or_is_told(name):
    for group in SAME_PLACE:
        for one, other in itertools.combinations(group, 2):
            for first, second, model in itertools.product(TWO_VALUES[one], TWO_VALUES[other], (RICH, UNKNOWN)):
                more = {"functions": [{"name": "f"}]} if one == "function_call" else {}
                body = {"model": "auto", "messages": [HI], **more, one: first, other: second}
                assert silent_places(VOICES[name], body, model) == []


@pytest.mark.parametrize(
    ("accent", "given", "left", "adaptations"),
    [
        ("dashscope", {"reasoning_effort": "none", "enable_thinking": True}, {"enable_thinking": True}, True),
        (
            "deepseek",
            {"reasoning_effort": "max", "thinking": {"type": "enabled"}},
            {"thinking": {"type": "enabled"}, "reasoning_effort": "max"},
            False,
        ),
        (
            "deepseek",
            {"reasoning_effort": "max", "thinking": {"type": "disabled"}},
            {"thinking": {"type": "disabled"}},
            True,
        ),
    ],
)
def test_the_provider_s_own_field_wins_and_the_effort_is_told(accent, given, left, adaptations):
    assert sent(accent, **given) == left
    assert told(accent, **given) == ([("reasoning_effort", "dropped")] if adaptations else [])


def test_a_legacy_choice_beside_the_newer_one_is_told():
    both: dict[str, Any] = {"functions": [TOOL["function"]], "function_call": {"name": "f"}, "tool_choice": "required"}
    assert sent("deepseek", **both)["tool_choice"] == "required"
    assert ("function_call", "dropped") in told("deepseek", **both)


def test_two_texts_of_thoughts_that_differ_are_told():
    said = {"role": "assistant", "content": "So", "reasoning_content": "A", "reasoning": "B"}
    assert sent("deepseek", messages=[HI, said, HI])["messages"][1]["reasoning_content"] == "A"
    assert told("deepseek", messages=[HI, said, HI]) == [("messages[1].reasoning", "dropped")]
    assert told("deepseek", messages=[HI, {**said, "reasoning": "A"}, HI]) == []
    assert len(sent("mistral", messages=[HI, {**said, "reasoning": "A"}, HI])["messages"][1]["content"]) == 2
