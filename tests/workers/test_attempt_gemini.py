"""A call on Gemini's wire, from the attempt to its closing: the door, the bill by kind, a wrong key, the wait."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from jobs.chat import Answer, Usage
from jobs.failures import Failure, FailureKind
from jobs.settings import Provider
from routing.plan import Plan
from tests.routing.dialects.gemini_wire import response, sse
from tests.routing.dialects.test_gemini_reply import INVALID_KEY, RETRY, error
from tests.workers.lab import Lab, reply
from tests.workers.server import sends
from workers.attempt import Attempt, Made

THOUGHTFUL = {"promptTokenCount": 41, "candidatesTokenCount": 9, "thoughtsTokenCount": 20, "totalTokenCount": 70}
CALL = {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"}


async def attempt(lab: Lab, **body: Any) -> Attempt:
    """An attempt at provider `a`, which speaks Gemini's dialect here."""
    spoken = Provider(dialect="gemini", base_url=lab.settings.providers["a"].base_url)
    lab.parts.settings = msgspec.structs.replace(lab.settings, providers={**lab.settings.providers, "a": spoken})
    request = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}], **body}
    job = await lab.claimed(request_raw=msgspec.json.encode(request))
    plan = lab.parts.plan(job)
    assert isinstance(plan, Plan)
    return Attempt(lab.parts, job, plan, plan.steps[0])


async def made(lab: Lab, **body: Any) -> Made:
    found = await (await attempt(lab, **body)).call(60)
    assert isinstance(found, Made)
    return found


def streamed(*events: dict[str, Any]) -> bytes:
    body = sse(*events)
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    ("is_stream", "method"), [(False, b":generateContent "), (True, b":streamGenerateContent?alt=sse ")]
)
async def test_a_signed_call_comes_home_and_thoughts_are_billed(lab: Lab, is_stream: bool, method: bytes):
    whole = response({"text": "Hm.", "thought": True}, CALL, usageMetadata=THOUGHTFUL)
    events = (response({"text": "Hm.", "thought": True}, finish=None), response(CALL, usageMetadata=THOUGHTFUL))
    lab.script(a=[sends(streamed(*events) if is_stream else reply(200, whole))])
    found = await made(lab, stream=is_stream)
    assert isinstance(found.result, Answer)
    message = json.loads(found.result.body)["choices"][0]["message"]
    assert message["reasoning_content"] == "Hm."
    assert message["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "c2ln"}}
    assert found.closing.usage == Usage(41, 29, reasoning_tokens=20)
    assert found.closing.cost_usd == Decimal("0.000099")
    assert lab.server.heads[0].startswith(b"POST /a/models/")
    assert method in lab.server.heads[0]


WRONG_KEY = error(400, "INVALID_ARGUMENT", "API key not valid.", INVALID_KEY)
LIMITED = error(429, "RESOURCE_EXHAUSTED", "Quota", RETRY)


@pytest.mark.parametrize(
    ("body", "kind", "wait_s"),
    [(WRONG_KEY, FailureKind.BAD_KEY, None), (LIMITED, FailureKind.RATE_LIMITED, 34.4)],
)
async def test_a_wrong_key_and_a_limit_are_told_by_the_body(
    lab: Lab, body: dict[str, Any], kind: FailureKind, wait_s: float | None
):
    lab.script(a=[sends(reply(body["error"]["code"], body))])
    found = (await made(lab)).result
    assert isinstance(found, Failure)
    assert (found.kind, found.retry_after_s) == (kind, wait_s)


async def test_what_the_wire_cannot_carry_is_not_sent(lab: Lab):
    found = await made(lab, n=9)
    assert isinstance(found.result, Failure)
    assert found.result.kind is FailureKind.UNSUPPORTED
    assert lab.server.bodies == []
