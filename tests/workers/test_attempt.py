"""An attempt has its row before its call, and a closing for whatever came of it."""

import asyncio
import contextlib
from decimal import Decimal

import pytest

from jobs.failures import Failure, FailureKind
from jobs.ids import show
from jobs.states import Outcome
from routing.limits import Refusal
from routing.plan import Plan
from tests.workers.lab import COST_USD, TOKENS_IN, Lab, answers, refuses, reply
from tests.workers.server import Server, sends
from workers import clocks
from workers.attempt import Attempt, Made
from workers.parts import LostLease


async def attempt(lab: Lab) -> Attempt:
    job = await lab.claimed()
    plan = lab.parts.plan(job)
    assert isinstance(plan, Plan)
    return Attempt(lab.parts, job, plan, plan.steps[0])


async def test_the_call_carries_the_attempts_id_and_its_row_stands_before_the_bytes_leave(lab: Lab):
    rows: list[object] = []

    async def looks_into_the_ledger(server, writer):
        async with lab.database.statement() as connection:
            rows.extend((await connection.exec_driver_sql("select id from attempts where outcome is null")).scalars())
        await answers()(server, writer)

    lab.script(a=[looks_into_the_ledger])
    made = await attempt(lab)
    assert isinstance(await made.call(60), Made)
    assert rows == [made.id]
    assert f"x-client-request-id: {show('att', made.id)}".encode() in lab.server.heads[0].lower()


async def test_an_answer_closes_as_rejected_until_a_verdict_accepts_it(lab: Lab):
    lab.script(a=[answers()])
    made = await (await attempt(lab)).call(60)
    assert isinstance(made, Made)
    assert (made.closing.outcome, made.closing.cost_usd, made.closing.cost_basis) == (
        Outcome.REJECTED,
        COST_USD,
        "usage",
    )
    assert made.closing.confidence == pytest.approx(0.99, abs=0.001)


async def test_an_answer_without_usage_has_an_unknown_cost_and_not_zero(lab: Lab):
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    lab.script(a=[sends(reply(200, {"id": "x", "object": "chat.completion", "choices": [choice]}))])
    made = await (await attempt(lab)).call(60)
    assert isinstance(made, Made)
    assert (made.closing.cost_usd, made.closing.cost_basis, made.closing.usage) == (None, "estimate", None)


@pytest.mark.parametrize(
    ("status", "kind", "cost"),
    [(503, FailureKind.TRANSIENT, 0), (429, FailureKind.RATE_LIMITED, 0), (401, FailureKind.BAD_KEY, 0)],
)
async def test_an_error_status_costs_nothing_and_that_is_known(lab: Lab, status: int, kind: FailureKind, cost: int):
    lab.script(a=[refuses(status)])
    made = await (await attempt(lab)).call(60)
    assert isinstance(made, Made)
    assert isinstance(made.result, Failure)
    assert (made.result.kind, made.closing.cost_usd, made.closing.outcome) == (kind, Decimal(cost), Outcome.FAILED)


async def test_a_broken_connection_after_the_request_leaves_the_cost_unknown(lab: Lab):
    lab.script(a=[sends(b"HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\n{", close=True)])
    made = await (await attempt(lab)).call(60)
    assert isinstance(made, Made)
    assert (made.closing.failure, made.closing.cost_usd, made.closing.cost_basis) == (
        FailureKind.TRUNCATED,
        None,
        "estimate",
    )


async def test_an_error_inside_a_200_leaves_the_cost_unknown_for_half_an_answer_may_have_been_made(lab: Lab):
    lab.script(a=[sends(reply(200, {"error": {"code": "server_is_overloaded", "message": "m"}}))])
    made = await (await attempt(lab)).call(60)
    assert isinstance(made, Made)
    assert (made.closing.failure, made.closing.cost_usd, made.closing.cost_basis) == (
        FailureKind.OVERLOADED,
        None,
        "estimate",
    )


STREAM = b'{"model": "auto", "stream": true, "messages": [{"role": "user", "content": "Where?"}]}'
HEAD = b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\n\r\n"
TOKEN = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{"content":"Hi"},"finish_reason":null,"logprobs":null}]}\n\n'
)


async def test_a_line_that_is_only_kept_alive_in_mid_answer_is_given_up(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clocks, "TOKENS_S", 0.0)

    async def chatters(_server: Server, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + TOKEN)
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                await writer.drain()
                await asyncio.sleep(0.01)
                writer.write(b": keep-alive\n\n")

    lab.script(a=[chatters])
    job = await lab.claimed(request_raw=STREAM)
    plan = lab.parts.plan(job)
    assert isinstance(plan, Plan)
    made = await Attempt(lab.parts, job, plan, plan.steps[0]).call(60)
    assert isinstance(made, Made)
    assert isinstance(made.result, Failure)
    assert (made.result.kind, made.result.code) == (FailureKind.TIMEOUT, "no_tokens")


async def test_a_refusal_at_the_gate_writes_no_row_and_makes_no_call(lab: Lab):
    lab.script(a=[refuses(429, "retry-after: 30")])
    await (await attempt(lab)).call(60)
    held = await attempt(lab)
    refusal = await held.call(60)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "rate_limit"
    assert held.cut() is None
    assert len(lab.server.bodies) == 1


async def test_a_stale_token_raises_before_any_byte_leaves(lab: Lab):
    stale = await attempt(lab)
    await lab.execute("update jobs set token = gen_random_uuid()")
    with pytest.raises(LostLease):
        await stale.call(60)
    assert lab.server.bodies == []
    assert stale.cut() is None


async def test_a_call_that_we_cut_is_closed_as_cancelled_with_an_unknown_cost(lab: Lab):
    lab.script(a=[lab.silence])
    cut = await attempt(lab)
    calling = asyncio.create_task(cut.call(60))
    await lab.called(1)
    calling.cancel()
    await asyncio.wait([calling])
    closing = cut.cut()
    assert closing is not None
    assert (closing.id, closing.outcome, closing.cost_usd, closing.cost_basis) == (
        cut.id,
        Outcome.CANCELLED,
        None,
        "estimate",
    )


async def test_no_call_is_made_when_the_deadline_has_come(lab: Lab):
    made = await (await attempt(lab)).call(0)
    assert isinstance(made, Made)
    assert made.closing.outcome is Outcome.NOT_SENT
    assert made.closing.cost_usd == 0
    assert lab.server.bodies == []


async def test_what_was_billed_for_a_prompt_teaches_its_deployment(lab: Lab):
    heard: list[tuple[str, int]] = []
    lab.parts.saw_usage = lambda deployment, _guess, tokens: heard.append((deployment, tokens))
    lab.script(a=[answers(), refuses(500)])
    made = await attempt(lab)
    await made.call(60)
    assert heard == [(made._step.id, TOKENS_IN)]
    await (await attempt(lab)).call(60)
    assert len(heard) == 1  # a failure teaches nothing
