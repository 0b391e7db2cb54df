"""Facts that calls corrected: known at once where it was learnt, soon in the fleet, shown to people, tried again."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from jobs.chat import Adaptation, Answer, ChatRequest
from jobs.failures import Failure, FailureKind
from jobs.gatekeys import Refuted, read_refuted, refuted_parts, refuted_text
from jobs.health import HealthReader
from routing.catalog import Deployment, Model, Target
from routing.dialects.doubts import KEPT_S
from tests.workers.fleet import Clock
from tests.workers.lab import Lab, answers, reply
from tests.workers.server import Answering, sends
from workers.doubts import Doubts
from workers.scripts import Scripts

REQUEST = ChatRequest.parse(b'{"messages": [{"role": "user", "content": "Hi"}], "verbosity": "low"}')
COMPLAINT = Failure(FailureKind.BAD_REQUEST, "No", status=400, code="unsupported_parameter", field="verbosity")
QUIET = Failure(FailureKind.BAD_REQUEST, "No", status=400, field="prompt_cache_key")
ANSWER = Answer(b"{}", "Hi", "stop")


def target(accent: str = "") -> Target:
    """A deployment that no other test knows."""
    model = Model("maker/small")
    return Target(Deployment(model=model.id, provider=f"p@{uuid.uuid4().hex}", upstream="s"), model, accent)


@asynccontextmanager
async def doubts_of(url: str, clock: Clock) -> AsyncIterator[Doubts]:
    scripts = Scripts(url, clock)
    made = Doubts(scripts, clock)
    yield made
    await made.settled()
    await scripts.aclose()


async def test_a_correction_holds_for_an_hour_in_the_whole_fleet(redis_url: str):
    here, clock = target(), Clock()
    async with doubts_of(redis_url, clock) as one, doubts_of(redis_url, clock) as other:
        assert one.see("openai", here, REQUEST, (), COMPLAINT)
        assert one.refuted(here.deployment.id) == {"verbosity"}
        assert one.refuted("maker/other@p") == frozenset()
        await one.settled()
        await other.poll()
        assert other.refuted(here.deployment.id) == {"verbosity"}
        clock.now_s += KEPT_S + 1
        assert other.refuted(here.deployment.id) == frozenset()
        await other.poll()
        assert other.refuted(here.deployment.id) == frozenset()


async def test_what_was_answered_within_the_hour_is_given_up_only_for_a_code_that_says_so(redis_url: str):
    here, clock = target("mistral"), Clock()
    request = ChatRequest.parse(b'{"messages": [{"role": "user", "content": "Hi"}], "prompt_cache_key": "k"}')
    async with doubts_of(redis_url, clock) as doubts:
        assert not doubts.see("openai", here, request, (), ANSWER)
        assert not doubts.see("openai", here, request, (), QUIET)
        clock.now_s += KEPT_S + 1
        assert doubts.see("openai", here, request, (), QUIET)
        assert doubts.refuted(here.deployment.id) == {"prompt_cache_key"}


async def test_other_ends_teach_nothing(redis_url: str):
    here = target()
    async with doubts_of(redis_url, Clock()) as doubts:
        plain = ChatRequest.parse(b'{"messages": [{"role": "user", "content": "Hi"}]}')
        assert not doubts.see("openai", here, plain, (), COMPLAINT)
        assert not doubts.see("anthropic", here, REQUEST, (), COMPLAINT)
        assert not doubts.see("openai", here, REQUEST, (), Failure(FailureKind.TRANSIENT, "No"))
        added = (Adaptation("logprobs", "added", "a policy"),)
        said = Failure(FailureKind.BAD_REQUEST, "No", code="unsupported_parameter", field="logprobs")
        assert doubts.see("openai", here, plain, added, said)
        known = Target(here.deployment, here.model, "", frozenset({"logprobs"}))
        assert not doubts.see("openai", known, plain, added, said)


async def test_while_redis_is_away_a_process_goes_by_what_it_learnt_itself():
    here = target()
    async with doubts_of("redis://127.0.0.1:1/0", Clock()) as doubts:
        assert doubts.see("openai", here, REQUEST, (), COMPLAINT)
        await doubts.settled()
        await doubts.poll()
        assert doubts.refuted(here.deployment.id) == {"verbosity"}


async def test_people_are_shown_what_holds(redis_url: str):
    here = target()
    scripts = Scripts(redis_url)
    doubts = Doubts(scripts, asyncio.get_running_loop().time)
    doubts.see("openai", here, REQUEST, (), COMPLAINT)
    await doubts.settled()
    reader = HealthReader(redis_url)
    found = await reader.read({})
    (view,) = [each for each in found.refuted if each.deployment == here.deployment.id]
    assert (view.field, view.code) == ("verbosity", "unsupported_parameter")
    assert 0 <= view.for_s < 60
    assert KEPT_S - 60 < view.again_s <= KEPT_S
    await reader.aclose()
    await scripts.aclose()


def test_the_hash_is_read_back_and_what_is_foreign_is_passed_over():
    assert refuted_parts(refuted_text("ma ker/n@me@p", "response_format.json_schema")) == (
        "ma ker/n@me@p",
        "response_format.json_schema",
    )
    assert read_refuted(b'{"since_s": "1.5", "until_s": "2"}') == Refuted(1.5, 2.0)
    assert read_refuted(b"\xff") is None
    assert read_refuted(b"[]") is None


def complains(field: str) -> Answering:
    error: dict[str, Any] = {"message": "no", "type": "invalid_request_error", "param": field, "code": None}
    return sends(reply(400, {"error": error | {"code": "unsupported_parameter"}}))


async def test_the_job_that_taught_it_is_answered_without_the_field_and_told(lab: Lab, redis_url: str):
    scripts = Scripts(redis_url)
    doubts = Doubts(scripts, asyncio.get_running_loop().time)
    lab.parts.refuted, lab.parts.saw_end = doubts.refuted, doubts.see
    lab.script(a=[complains("verbosity"), answers(), answers()])
    raw = b'{"model": "auto", "messages": [{"role": "user", "content": "Hi"}], "verbosity": "low"}'
    job = await lab.claimed(request_raw=raw)
    assert await lab.carry(job) == "succeeded"
    assert [outcome for _, outcome in await lab.outcomes(job)] == ["failed", "accepted"]
    again = await lab.claimed(request_raw=raw)
    assert await lab.carry(again) == "succeeded"
    assert [b"verbosity" in body for body in lab.server.bodies] == [True, False, False]
    told = (await lab.row(again)).adaptations
    assert [change["field"] for change in told if change["action"] == "dropped"] == ["verbosity"]
    await doubts.settled()
    await scripts.aclose()
