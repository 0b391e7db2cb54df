"""Requests that all three wires can carry, in each one's own words."""

from typing import Any

SMALL = "sandbox/intent-small"
ORDER = {
    "type": "object",
    "properties": {
        "customer": {
            "type": "object",
            "properties": {"name": {"type": "string", "maxLength": 20}, "tier": {"type": "string", "enum": ["a", "b"]}},
            "required": ["name", "tier"],
            "additionalProperties": False,
        },
        "lines": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {"sku": {"type": "string"}, "count": {"type": "integer", "minimum": 1, "maximum": 9}},
                "required": ["sku", "count"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["customer", "lines"],
    "additionalProperties": False,
}
"""Arguments with an object, an array of objects and an enum."""
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = {"weather": WEATHER, "order": ORDER}


def openai_body(text: str = "Hi", **more: Any) -> dict[str, Any]:
    return {"model": SMALL, "messages": [{"role": "user", "content": text}], **more}


def anthropic_body(text: str = "Hi", **more: Any) -> dict[str, Any]:
    return {"model": SMALL, "max_tokens": 500, "messages": [{"role": "user", "content": text}], **more}


def gemini_body(text: str = "Hi", **more: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": text}]}], **more}


OPENAI_TOOLS: Any = [
    {"type": "function", "function": {"name": name, "parameters": schema}} for name, schema in TOOLS.items()
]
ANTHROPIC_TOOLS: Any = [{"name": name, "input_schema": schema} for name, schema in TOOLS.items()]
GEMINI_TOOLS: Any = [
    {"functionDeclarations": [{"name": name, "parametersJsonSchema": schema} for name, schema in TOOLS.items()]}
]
