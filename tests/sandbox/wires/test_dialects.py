"""What our dialects emit, for any request, is what the sandbox's strict wires take: two readings of the same APIs."""

import re

import pytest
from hypothesis import given, settings

from routing.dialects.base import WireRequest
from routing.dialects.registry import DIALECTS
from sandbox.speech import Refusal
from sandbox.wires.anthropic import AnthropicWire
from sandbox.wires.base import Wire
from sandbox.wires.gemini import GeminiWire
from tests.routing.dialects.bodies import bodies
from tests.routing.dialects.voices import MODELS, spoken

WIRES: dict[str, tuple[Wire, str]] = {
    "anthropic": (AnthropicWire(), "/anthropic"),
    "gemini": (GeminiWire(), "/gemini/v1beta"),
}
"""OpenAI's is not among them: that dialect hands on what its caller wrote, mistakes too."""
FOREIGN = re.compile("signature")
"""The generator makes up signatures of thoughts; each provider knows only its own."""


@pytest.mark.parametrize("dialect", sorted(DIALECTS.keys() & WIRES.keys()))
@settings(max_examples=150)
@given(body=bodies())
def test_no_request_that_a_dialect_makes_is_refused(dialect, body):
    wire, base = WIRES[dialect]
    for model in MODELS.values():
        made = spoken(DIALECTS[dialect], body, model)
        if not isinstance(made, WireRequest):
            continue
        path, _, query = (base + made.path).partition("?")
        try:
            wire.parse(made.body, path, query)
        except Refusal as refusal:
            if not FOREIGN.search(refusal.message):
                raise
