"""Requests for the Anthropic wire, written short, and what leaves of them."""

from typing import Any

import msgspec

from jobs.chat import ChatRequest
from routing.catalog import Deployment, Model, Target
from routing.dialects.anthropic import AnthropicDialect
from routing.dialects.base import Asking, Unsupported, WireRequest
from tests.routing.dialects.oracles import anthropic_request_faults

DIALECT = AnthropicDialect()
PLAIN = Model("anthropic/claude-plain", max_output_tokens=8_000)
OLD = Model("anthropic/claude-4-5", max_output_tokens=64_000, has_prefill=True, has_sampling=True, has_reasoning=True)
NEW = Model(
    "anthropic/claude-5",
    max_output_tokens=128_000,
    has_prefill=False,
    has_sampling=False,
    has_reasoning=True,
    has_json_schema=True,
    has_strict_tools=True,
    reasoning_efforts=frozenset({"none", "low", "medium", "high", "max"}),
)
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
Body = dict[str, Any]


def encoded(model: Model = PLAIN, **body: Any) -> WireRequest | Unsupported:
    given = {"messages": [user()], **body}
    target = Target(Deployment(model=model.id, provider="anthropic", upstream="claude-x"), model)
    return DIALECT.encode(ChatRequest.parse(msgspec.json.encode(given)), target, Asking())


def sent(model: Model = PLAIN, **body: Any) -> tuple[Body, list[tuple[str, str]]]:
    """The body that leaves, valid by the SDK's types, and what was noted of it."""
    wire = encoded(model, **body)
    assert isinstance(wire, WireRequest), wire
    left: Body = msgspec.json.decode(wire.body)
    assert anthropic_request_faults(left) == []
    return left, [(note.field, note.action) for note in wire.adaptations]


def refused(model: Model = PLAIN, **body: Any) -> str:
    wire = encoded(model, **body)
    assert isinstance(wire, Unsupported)
    assert wire.reason
    return wire.field


def user(content: Any = "Hi", **more: Any) -> Body:
    return {"role": "user", "content": content, **more}


def assistant(content: Any = None, *calls: Body, **more: Any) -> Body:
    return {"role": "assistant", "content": content, **({"tool_calls": list(calls)} if calls else {}), **more}


def call(name: str = "f", arguments: str = "{}", named: str = "call_1") -> Body:
    return {"id": named, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(content: Any = "done", named: str = "call_1", **more: Any) -> Body:
    return {"role": "tool", "tool_call_id": named, "content": content, **more}


def tool(name: str = "f", **more: Any) -> Body:
    return {"type": "function", "function": {"name": name, "parameters": SCHEMA, **more}}


def json_schema(schema: Body = SCHEMA, **more: Any) -> Body:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, **more}}


def text(words: str) -> Body:
    return {"type": "text", "text": words}
