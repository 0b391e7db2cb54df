"""Requests and replies of the Gemini wire, written short, and what leaves or comes of them."""

import json
from typing import Any

import msgspec

from jobs.chat import Answer, ChatRequest
from jobs.failures import Failure
from routing.catalog import Deployment, Model, Target
from routing.dialects.base import Asking, Unsupported, WireReply, WireRequest
from routing.dialects.gemini import GeminiDialect
from tests.routing.dialects.oracles import completion_faults, gemini_request_faults

DIALECT = GeminiDialect()
OLD = Model("google/gemini-2.0-flash", max_output_tokens=8_000)
FLASH = Model("google/gemini-2.5-flash", max_output_tokens=64_000, has_reasoning=True)
PRO = Model("google/gemini-2.5-pro", max_output_tokens=64_000, has_reasoning=True)
NEW = Model("google/gemini-3-flash-preview", max_output_tokens=64_000, has_reasoning=True)
Body = dict[str, Any]
USAGE = {"promptTokenCount": 41, "candidatesTokenCount": 9, "totalTokenCount": 50}


def encoded(model: Model = NEW, asking: Asking | None = None, **body: Any) -> WireRequest | Unsupported:
    given = {"messages": [{"role": "user", "content": "Hi"}], **body}
    served = Deployment(model=model.id, provider="google", upstream=model.id.rpartition("/")[2])
    return DIALECT.encode(ChatRequest.parse(msgspec.json.encode(given)), Target(served, model), asking or Asking())


def sent(model: Model = NEW, **body: Any) -> tuple[Body, list[tuple[str, str]]]:
    """The body that leaves, valid by the SDK's types, and what was noted of it."""
    wire = encoded(model, **body)
    assert isinstance(wire, WireRequest), wire
    left: Body = msgspec.json.decode(wire.body)
    assert gemini_request_faults(left) == []
    return left, [(note.field, note.action) for note in wire.adaptations]


def config(model: Model = NEW, **body: Any) -> tuple[Body, list[tuple[str, str]]]:
    """The same for what stands in generationConfig."""
    left, notes = sent(model, **body)
    return left.get("generationConfig", {}), notes


def refused(model: Model = NEW, **body: Any) -> str:
    wire = encoded(model, **body)
    assert isinstance(wire, Unsupported)
    assert wire.reason
    return wire.field


def response(*parts: Body, finish: str | None = "STOP", **more: Any) -> Body:
    """A GenerateContentResponse with one candidate; `candidate` is merged into it."""
    content = {"parts": list(parts), "role": "model"} if parts else {"role": "model"}
    candidate = {"content": content, "index": 0, **more.pop("candidate", {})}
    if finish is not None:
        candidate["finishReason"] = finish
    head = {"modelVersion": "gemini-3-flash", "responseId": "r1", "usageMetadata": USAGE}
    return {"candidates": [candidate], **head, **more}


def decoded(body: Any, status: int = 200, **headers: str) -> Answer | Failure:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return DIALECT.decode(WireReply(status=status, headers=headers, body=raw))


def answered(body: Any) -> Answer:
    """The answer of a reply that is one; its completion must please OpenAI's types."""
    answer = decoded(body)
    assert isinstance(answer, Answer), answer
    assert completion_faults(answer.body) == []
    return answer


def failed(body: Any, status: int = 200, **headers: str) -> Failure:
    found = decoded(body, status, **headers)
    assert isinstance(found, Failure), found
    return found


def message(answer: Answer, place: int = 0) -> Body:
    found: Body = json.loads(answer.body)["choices"][place]["message"]
    return found


def sse(*events: Body, end: str = "\r\n\r\n") -> bytes:
    return "".join(f"data: {json.dumps(event, ensure_ascii=False)}{end}" for event in events).encode()
