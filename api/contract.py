"""What the documentation says of the routes whose bodies we read or write ourselves: schemas and examples."""

from typing import Any

import msgspec

from api.provider_shapes import ProviderList
from api.schemas import BatchLine, Envelope
from jobs.chat import ROLES

REF = "#/components/schemas/{name}"
EXAMPLE: dict[str, Any] = {
    "request": {"model": "auto", "messages": [{"role": "user", "content": "I lost my card"}]},
    "task": "support-intent",
    "lane": "interactive",
    "intent": {"max_cost_usd": "0.01"},
    "custom_id": "q-17",
}
_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 255},
    "description": "Sent again within 24 h with the same body, the request is not done again and gets the same answer.",
}
(_ENVELOPE_REF, _LINE_REF, _PROVIDERS_REF), COMPONENTS = msgspec.json.schema_components(
    [Envelope, BatchLine, ProviderList], ref_template=REF
)

SUBMIT: dict[str, Any] = {
    "parameters": [_IDEMPOTENCY],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": _ENVELOPE_REF, "example": EXAMPLE}},
    },
}
BULK: dict[str, Any] = {
    "parameters": [_IDEMPOTENCY],
    "requestBody": {
        "required": True,
        "description": "One JSON object per line: jobs as POST /v1/jobs takes them, or lines of an OpenAI batch file.",
        "content": {"application/x-ndjson": {"schema": {"anyOf": [_ENVELOPE_REF, _LINE_REF]}, "example": EXAMPLE}},
    },
}
PROVIDERS: dict[str, Any] = {
    "responses": {"200": {"description": "As it is now.", "content": {"application/json": {"schema": _PROVIDERS_REF}}}}
}
CHAT_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["messages"],
    "properties": {
        "model": {"type": "string"},
        "messages": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["role"],
                "properties": {
                    "role": {"type": "string", "enum": sorted(ROLES)},
                    "content": {"type": ["string", "array", "null"]},
                },
            },
        },
        "stream": {"type": ["boolean", "null"]},
    },
}
CHAT_ROUTE = "/v1/chat/completions"
CHAT: dict[str, Any] = {
    "parameters": [_IDEMPOTENCY],
    "requestBody": {
        "required": True,
        "description": "OpenAI's body; beside its fields task, intent, policy, strict, deadline, custom_id, webhook.",
        "content": {
            "application/json": {
                "schema": CHAT_BODY,
                "example": EXAMPLE["request"] | {"stream": True, "task": "support-intent"},
            }
        },
    },
    "responses": {
        "200": {
            "description": "OpenAI's chat.completion; with stream = true its chunks as server-sent events.",
            "content": {"application/json": {"schema": {"type": "object"}}, "text/event-stream": {}},
        }
    },
}
EVENTS: dict[str, Any] = {
    "responses": {
        "200": {
            "description": "Events: `state` (JSON with id, state, error), `chunk` (a chat.completion.chunk), `reset`.",
            "content": {"text/event-stream": {}},
        },
        "204": {"description": "The Last-Event-ID was the last one's: there is nothing more."},
    }
}
