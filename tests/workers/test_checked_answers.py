"""Answers that must keep a schema, end to end: mended, shown to the model again, or asked for elsewhere."""

import asyncio
from decimal import Decimal

import msgspec
import pytest

from jobs.policy import Intent
from routing.checks import MENDED, SHOWN_AGAIN
from tests.workers.lab import COST_USD, Lab, answers
from workers.leases import Stop

SMALL_A, SMALL_B, LARGE = "maker/small@a", "maker/small@b", "maker/large@c"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
REQUEST = msgspec.json.encode(
    {
        "model": "auto",
        "messages": [{"role": "user", "content": "Where?"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}},
    }
)
GOOD, BROKEN, WRONG = answers('{"city": "Oslo"}'), answers("{'city': 'Oslo'}"), answers('{"town": "Oslo"}')


def messages(lab: Lab, call: int) -> list[dict[str, str]]:
    found: list[dict[str, str]] = msgspec.json.decode(lab.server.bodies[call])["messages"]
    return found


async def test_an_answer_that_keeps_its_schema_is_taken(lab: Lab):
    lab.script(a=[GOOD])
    job = await lab.claimed(request_raw=REQUEST)
    assert await lab.carry(job) == "succeeded"
    assert await lab.outcomes(job) == [(SMALL_A, "accepted")]


async def test_json_that_is_not_quite_is_mended_and_said(lab: Lab):
    lab.script(a=[BROKEN])
    job = await lab.claimed(request_raw=REQUEST)
    assert await lab.carry(job) == "succeeded"
    row = await lab.row(job)
    assert [adaptation["reason"] for adaptation in row.adaptations if adaptation["action"] == "changed"] == [MENDED]
    stored = msgspec.json.decode(await lab.answer_of(job))
    assert msgspec.json.decode(stored["choices"][0]["message"]["content"]) == {"city": "Oslo"}


async def test_a_wrong_answer_is_shown_to_the_model_with_its_fault_and_billed(lab: Lab):
    lab.script(a=[WRONG, GOOD])
    job = await lab.claimed(request_raw=REQUEST)
    assert await lab.carry(job) == "succeeded"
    first, second = await lab.attempts(job)
    assert (first.outcome, first.failure, first.cost_usd) == ("failed", "invalid_answer", COST_USD)
    assert (second.deployment, second.outcome) == (SMALL_A, "accepted")
    assert second.cost_bound_usd > first.cost_bound_usd
    assert [message["role"] for message in messages(lab, 1)] == ["user", "assistant", "user"]
    assert messages(lab, 1)[1]["content"] == '{"town": "Oslo"}'
    assert "'city' is a required property" in messages(lab, 1)[2]["content"]
    assert SHOWN_AGAIN in [adaptation["reason"] for adaptation in (await lab.row(job)).adaptations]


async def test_two_wrong_answers_send_the_job_elsewhere_with_a_clean_prompt(lab: Lab):
    lab.script(a=[WRONG, WRONG], b=[WRONG], c=[GOOD])
    job = await lab.claimed(request_raw=REQUEST)
    assert await lab.carry(job) == "succeeded"
    assert [deployment for deployment, _ in await lab.outcomes(job)] == [SMALL_A, SMALL_A, SMALL_B, LARGE]
    assert [len(messages(lab, call)) for call in range(4)] == [1, 3, 1, 1]


async def test_where_every_answer_is_wrong_the_job_fails_and_says_which_rule(lab: Lab):
    lab.script(a=[WRONG, WRONG], b=[WRONG], c=[WRONG])
    job = await lab.claimed(request_raw=REQUEST)
    assert await lab.carry(job) == "failed"
    error = (await lab.row(job)).error
    assert error["kind"] == "invalid_answer"
    assert "the schema's required" in error["message"]
    assert "Oslo" not in error["message"]


@pytest.mark.parametrize(("most_usd", "roles"), [("1", 3), (None, 3)])
async def test_the_longer_prompt_is_sent_only_where_it_fits_the_budget(lab: Lab, most_usd, roles):
    lab.script(a=[WRONG, GOOD])
    intent = Intent(max_cost_usd=Decimal(most_usd)) if most_usd else Intent()
    job = await lab.claimed(request_raw=REQUEST, intent=intent)
    assert await lab.carry(job) == "succeeded"
    assert len(messages(lab, 1)) == roles


async def test_a_budget_without_room_for_the_longer_prompt_gets_the_plain_one(lab: Lab):
    bound, longer = await bounds(lab)
    lab.script(a=[WRONG, GOOD])
    tight = Intent(max_cost_usd=COST_USD + (bound + longer) / 2)
    job = await lab.claimed(request_raw=REQUEST, intent=tight)
    assert await lab.carry(job) == "succeeded"
    assert [len(messages(lab, call)) for call in range(2, 4)] == [1, 1]


async def bounds(lab: Lab) -> tuple[Decimal, Decimal]:
    """What a call can cost at most, and one that shows the model its answer."""
    lab.script(a=[WRONG, GOOD])
    probe = await lab.claimed(request_raw=REQUEST)
    assert await lab.carry(probe) == "succeeded"
    first, second = await lab.attempts(probe)
    return first.cost_bound_usd, second.cost_bound_usd


async def test_a_strict_job_is_repeated_as_it_is_and_nothing_is_mended(lab: Lab):
    lab.script(a=[BROKEN, GOOD])
    job = await lab.claimed(request_raw=REQUEST, strict=True)
    assert await lab.carry(job) == "succeeded"
    assert [(row.outcome, row.failure) for row in await lab.attempts(job)] == [
        ("failed", "invalid_answer"),
        ("accepted", None),
    ]
    assert [len(messages(lab, call)) for call in range(2)] == [1, 1]


async def test_an_answer_whose_check_is_cut_keeps_its_true_bill(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    checking = asyncio.Event()

    async def stuck(*_: object) -> None:
        checking.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("workers.attempt.Attempt._checked", stuck)
    lab.script(a=[GOOD])
    job = await lab.claimed(request_raw=REQUEST)
    task = lab.carry(job)
    await checking.wait()
    lab.parts.leases.stop([job.id], Stop.RELEASED)
    assert await task == "released"
    (attempt,) = await lab.attempts(job)
    assert (attempt.cost_usd, attempt.cost_basis, attempt.input_tokens) == (COST_USD, "usage", 41)
