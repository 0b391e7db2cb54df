"""Requests in the OpenAI wire's accents, for tests that look at what leaves."""

import json
from typing import Any

from jobs.chat import ChatRequest
from routing.catalog import Deployment, Model, Target
from routing.dialects.base import Asking, Unsupported, WireRequest
from routing.dialects.registry import ACCENTED
from tests.routing.dialects.bodies import PDF, PNG, WAV

HI: dict[str, Any] = {"role": "user", "content": "Hi"}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}
OTHER: dict[str, Any] = {"type": "function", "function": {"name": "g"}}
CALLED: list[dict[str, Any]] = [
    HI,
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "ok"},
]
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
SOUND = {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}
FILE = {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}}
UNKNOWN = Model("m/x")


def spoken(accent: str, model: Model = UNKNOWN, upstream: str = "up", **fields: Any) -> WireRequest | Unsupported:
    request = ChatRequest.parse(json.dumps({"messages": [HI], **fields}).encode())
    target = Target(Deployment(model=model.id, provider="p", upstream=upstream), model)
    return ACCENTED["openai"][accent].encode(request, target, Asking())


def sent(accent: str, model: Model = UNKNOWN, **fields: Any) -> dict[str, Any]:
    """What leaves beside the model's name and the messages, when they were not given."""
    wire = spoken(accent, model, **fields)
    assert isinstance(wire, WireRequest), wire
    body: dict[str, Any] = json.loads(wire.body)
    del body["model"]
    if "messages" not in fields:
        assert body.pop("messages") == [HI]
    return body


def told(accent: str, model: Model = UNKNOWN, **fields: Any) -> list[tuple[str, str]]:
    wire = spoken(accent, model, **fields)
    assert isinstance(wire, WireRequest), wire
    return [(adaptation.field, adaptation.action) for adaptation in wire.adaptations]


def refused(accent: str, model: Model = UNKNOWN, **fields: Any) -> str:
    wire = spoken(accent, model, **fields)
    assert isinstance(wire, Unsupported), wire
    return wire.field
