"""A call on Anthropic's wire, from the attempt to its closing: the door, the bill, and JSON without its fence."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from jobs.chat import Answer, Usage
from jobs.failures import Failure, FailureKind
from jobs.settings import Provider
from routing.plan import Plan
from tests.routing.dialects.test_anthropic_reply import error
from tests.workers.lab import Lab, reply
from tests.workers.server import sends
from workers.attempt import Attempt, Made

FENCED = '```json\n{"intent": "refund"}\n```'
USAGE = {"input_tokens": 11, "cache_read_input_tokens": 30, "output_tokens": 9}
EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"id": "msg_1", "model": "claude", "content": [], "usage": USAGE}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    *(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
        for piece in ("``", '`json\n{"intent": ', '"refund"}\n', "```")
    ),
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
    {"type": "message_stop"},
]


async def attempt(lab: Lab, **body: Any) -> Attempt:
    """An attempt at provider `a`, which speaks Anthropic's dialect here."""
    spoken = Provider(dialect="anthropic", base_url=lab.settings.providers["a"].base_url)
    lab.parts.settings = msgspec.structs.replace(lab.settings, providers={**lab.settings.providers, "a": spoken})
    request = {"model": "auto", "messages": [{"role": "user", "content": "JSON, please"}], **body}
    job = await lab.claimed(request_raw=msgspec.json.encode(request))
    plan = lab.parts.plan(job)
    assert isinstance(plan, Plan)
    return Attempt(lab.parts, job, plan, plan.steps[0])


def message(text: str) -> bytes:
    content = [{"type": "text", "text": text}]
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude"}
    return reply(200, {**head, "content": content, "stop_reason": "end_turn", "usage": USAGE})


def streamed() -> bytes:
    body = b"".join(b"data: " + msgspec.json.encode(event) + b"\n\n" for event in EVENTS)
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize("is_stream", [False, True])
async def test_json_asked_for_in_words_comes_without_its_fence(lab: Lab, is_stream: bool):
    lab.script(a=[sends(streamed() if is_stream else message(FENCED))])
    made = await (await attempt(lab, response_format={"type": "json_object"}, stream=is_stream)).call(60)
    assert isinstance(made, Made)
    assert isinstance(made.result, Answer)
    assert msgspec.json.decode(made.result.text) == {"intent": "refund"}
    assert made.closing.usage == Usage(41, 9, cached_tokens=30)
    assert made.closing.cost_usd == Decimal("0.000059")  # the price of the lab has no kind for cached tokens
    assert lab.server.heads[0].startswith(b"POST /a/v1/messages")
    assert b"anthropic-version: 2023-06-01" in lab.server.heads[0].lower()
    assert msgspec.json.decode(lab.server.bodies[0])["max_tokens"] == 100


async def test_a_fence_that_nobody_asked_to_lose_stays(lab: Lab):
    lab.script(a=[sends(message(FENCED))])
    made = await (await attempt(lab)).call(60)
    assert isinstance(made, Made)
    assert isinstance(made.result, Answer)
    assert made.result.text == FENCED


async def test_what_the_wire_cannot_carry_is_not_sent(lab: Lab):
    made = await (await attempt(lab, n=2)).call(60)
    assert isinstance(made, Made)
    assert isinstance(made.result, Failure)
    assert made.result.kind is FailureKind.UNSUPPORTED
    assert lab.server.bodies == []


async def test_an_overloaded_provider_is_told_from_a_broken_one(lab: Lab):
    lab.script(a=[sends(reply(529, msgspec.json.decode(error("overloaded_error"))))])
    made = await (await attempt(lab)).call(60)
    assert isinstance(made, Made)
    assert isinstance(made.result, Failure)
    assert made.result.kind is FailureKind.OVERLOADED
