"""Which wire a path belongs to."""

from sandbox.wires.anthropic import AnthropicWire
from sandbox.wires.base import Wire
from sandbox.wires.gemini import BASE, GeminiWire
from sandbox.wires.openai import OpenAIWire

OPENAI: Wire = OpenAIWire()
PATHS: dict[str, Wire] = {
    "/v1/chat/completions": OPENAI,
    "/anthropic/v1/messages": AnthropicWire(),
}
"""Base URLs that lead here: `/v1` for OpenAI's, `/anthropic` for Anthropic's, `/gemini/v1beta` for Gemini's."""
GEMINI: Wire = GeminiWire()


def wire_of(path: str) -> Wire | None:
    """The wire whose requests come to this path; its model and method are in the path on Gemini's."""
    return GEMINI if path.startswith(BASE) else PATHS.get(path)
