"""Thoughts as callers send them back, in the forms of OpenRouter and DeepSeek."""

from typing import Any

import pytest

from jobs.chat import Adaptation
from routing.dialects.parts import Reasoning
from routing.dialects.thoughts import read_reasoning


def read(**message: Any) -> tuple[list[Reasoning], list[str]]:
    notes: list[Adaptation] = []
    return read_reasoning(message, "m", notes), [note.field for note in notes]


SIGNED = {"type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "format": "anthropic-claude-v1"}
READ = Reasoning("text", "m.reasoning_details[0]", text="Hm.", signature="c2ln", format="anthropic-claude-v1")


@pytest.mark.parametrize(
    ("message", "thoughts", "noted"),
    [
        ({}, [], []),
        ({"reasoning_content": "Hm."}, [Reasoning("plain", "m.reasoning_content", text="Hm.")], []),
        ({"reasoning": "Hm."}, [Reasoning("plain", "m.reasoning", text="Hm.")], []),
        ({"reasoning": "Hm.", "reasoning_content": "Hm."}, [Reasoning("plain", "m.reasoning_content", text="Hm.")], []),
        ({"reasoning": "Other", "reasoning_content": "Hm."}, [Reasoning("plain", "m.reasoning_content", text="Hm.")],
         ["m.reasoning"]),
        ({"reasoning_content": "Hm.", "reasoning_details": [SIGNED]}, [READ], []),
        ({"reasoning_content": "Other", "reasoning_details": [SIGNED]}, [READ], ["m.reasoning_content"]),
        ({"reasoning_details": [{"type": "reasoning.summary", "summary": "In short"}]},
         [Reasoning("summary", "m.reasoning_details[0]", text="In short")], []),
        ({"reasoning_details": [{"type": "reasoning.hologram"}, None, SIGNED]},
         [Reasoning("text", "m.reasoning_details[2]", text="Hm.", signature="c2ln", format="anthropic-claude-v1")],
         ["m.reasoning_details[0]", "m.reasoning_details[1]"]),
        ({"reasoning_details": "words"}, [], ["m.reasoning_details"]),
        ({"reasoning_content": 5, "reasoning": ""}, [], []),
    ],
)  # fmt: skip
def test_thoughts(message: dict[str, Any], thoughts: list[Reasoning], noted: list[str]):
    assert read(**message) == (thoughts, noted)
