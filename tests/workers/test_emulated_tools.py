"""Tool calls of models that have no tools, end to end: asked for as JSON, read back, shown their faults."""

from typing import Any

import msgspec
from openai.types.chat import ChatCompletion

from routing.catalog_load import catalog_of
from routing.checks import SHOWN_AGAIN
from routing.emulation import IN_ONE_PIECE, TOLD
from routing.plan import Plan
from tests.workers.lab import NOTHING_SHIPPED, POLICY, Lab, answers
from workers.bootstrap import planner

SMALL_A, SMALL_B = "maker/small@a", "maker/small@b"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
BODY = {
    "model": "auto",
    "messages": [{"role": "user", "content": "Where?"}],
    "tools": [{"type": "function", "function": {"name": "weather", "parameters": CITY}}],
}
REQUEST = msgspec.json.encode(BODY)
CALL = answers('{"calls": [{"name": "weather", "arguments": {"city":  "Oslo"}}]}')
WRONG = answers('{"calls": [{"name": "weather", "arguments": {"town": "Oslo"}}]}')
PROSE = answers("It rains in Oslo.")


def emulating(lab: Lab) -> None:
    policy = msgspec.structs.replace(POLICY, emulate_tools=True)
    settings = msgspec.structs.replace(lab.settings, policies={"auto": policy})
    lab.parts.plan = planner(settings, catalog_of(settings, NOTHING_SHIPPED))


def sent(lab: Lab, call: int) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(lab.server.bodies[call])
    return found


async def test_a_call_is_asked_for_as_json_and_handed_out_as_openai_would(lab: Lab):
    emulating(lab)
    lab.script(a=[CALL])
    job = await lab.claimed(request_raw=REQUEST)
    assert await lab.carry(job) == "succeeded"
    assert "tools" not in sent(lab, 0)
    assert [message["role"] for message in sent(lab, 0)["messages"]] == ["system", "user"]
    choice = ChatCompletion.model_validate_json(await lab.answer_of(job)).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert [call.model_dump()["function"] for call in choice.message.tool_calls or ()] == [
        {"name": "weather", "arguments": '{"city":  "Oslo"}'}
    ]
    (attempt,) = await lab.attempts(job)
    assert attempt.finish_reason == "tool_calls"
    assert TOLD in [adaptation["reason"] for adaptation in (await lab.row(job)).adaptations]


async def test_a_wrong_call_is_shown_to_the_model_as_it_said_it(lab: Lab):
    emulating(lab)
    lab.script(a=[WRONG, CALL])
    job = await lab.claimed(request_raw=REQUEST)
    assert await lab.carry(job) == "succeeded"
    first, second = await lab.attempts(job)
    assert (first.outcome, first.failure, second.outcome) == ("failed", "invalid_answer", "accepted")
    assert second.cost_bound_usd > first.cost_bound_usd
    system, _, own, told = sent(lab, 1)["messages"]
    assert "weather" in system["content"]
    assert own["content"] == '{"calls": [{"name": "weather", "arguments": {"town": "Oslo"}}]}'
    assert "'city' is a required property" in told["content"]
    reasons = [adaptation["reason"] for adaptation in (await lab.row(job)).adaptations]
    assert TOLD in reasons
    assert SHOWN_AGAIN in reasons


async def test_prose_twice_sends_the_job_elsewhere(lab: Lab):
    emulating(lab)
    lab.script(a=[PROSE, PROSE], b=[CALL])
    job = await lab.claimed(request_raw=REQUEST)
    assert await lab.carry(job) == "succeeded"
    assert [deployment for deployment, _ in await lab.outcomes(job)] == [SMALL_A, SMALL_A, SMALL_B]


async def test_a_stream_is_told_at_its_end(lab: Lab):
    emulating(lab)
    lab.script(a=[CALL])
    job = await lab.claimed(request_raw=msgspec.json.encode({**BODY, "stream": True}))
    assert await lab.carry(job) == "succeeded"
    assert "stream" not in sent(lab, 0)
    assert IN_ONE_PIECE in [adaptation["reason"] for adaptation in (await lab.row(job)).adaptations]
    assert ChatCompletion.model_validate_json(await lab.answer_of(job)).choices[0].message.tool_calls


async def test_without_the_policys_word_nobody_is_asked(lab: Lab):
    job = await lab.claimed(request_raw=REQUEST)
    plan = lab.parts.plan(job)
    assert isinstance(plan, Plan)
    assert plan.steps == ()
    assert "emulate_tools" in (plan.complaint or "")
