"""What the page says: the tenant's own figures as the ledger has them, nobody else's, and nothing that could run."""

import datetime as dt
import html
from decimal import Decimal

from sqlalchemy import text

from api.page import words
from jobs import ids
from jobs.lanes import Lane
from jobs.states import Outcome
from jobs.store import budgets, ledger
from jobs.store.ledger import Filter
from jobs.store.rows import Move
from jobs.store.session import Database
from tests.api.page.visitor import Visitor, failed, tile
from tests.jobs.store import given

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(2)>{{7*7}}${7*7}javascript:alert(3)"""


async def test_a_fresh_yard_says_what_to_do(visitor: Visitor):
    page = await visitor.look()
    assert "Nothing has been handed in yet" in page
    assert "curl -s http://yard/v1/jobs" in page
    assert tile(page, "done")[0] == "0"
    assert tile(page, "cost")[0] == "$0"
    assert "\0" not in page


async def test_the_figures_are_those_of_the_rows(visitor: Visitor, database: Database):
    tenant_id = await given.tenant(database)
    for _ in range(3):
        await given.succeeded(database, await given.job(database, tenant_id))
    await failed(database, tenant_id)
    await given.job(database, tenant_id)
    token = await given.claimed(database, running := await given.job(database, tenant_id, lane=Lane.BULK))
    await given.attempt(database, running, token)
    async with database.statement() as connection:
        (sums,) = await ledger.usage(connection, tenant_id, Filter(), [])
        ended = (await connection.execute(text("select state, count(*) from jobs group by 1"))).all()
    page = await visitor.look()
    assert {tuple(row) for row in ended} == {("succeeded", 3), ("failed", 1), ("queued", 1), ("running", 1)}
    assert tile(page, "done")[0] == "3"
    assert tile(page, "failed")[0] == "1"
    assert tile(page, "waiting") == ("1", "1 running")
    assert tile(page, "cost") == (words.usd(sums.cost_usd), "4 calls since 00:00 UTC")
    assert sums.cost_usd == 4 * Decimal("0.0001234")
    dear = 3 * (41 * Decimal("0.10") + 9 * Decimal("0.20")) / 1_000_000
    assert tile(page, "saved")[0] == words.usd(dear - sums.cost_usd)
    assert "Nothing has been handed in yet" not in page


async def test_an_unknown_cost_is_said_and_never_nothing(visitor: Visitor, database: Database):
    tenant_id = await given.tenant(database)
    job_id = await given.job(database, tenant_id)
    await given.succeeded(database, job_id, cost_usd=None, cost_basis="none")
    page = await visitor.look()
    assert tile(page, "cost") == ("unknown", "+ 1 call of unknown cost, at most $0.00500")
    await given.succeeded(database, await given.job(database, tenant_id))
    value, note = tile(await visitor.look(), "cost")
    assert (value, note) == ("$0.000123", "+ 1 call of unknown cost, at most $0.00500")


async def test_a_tenant_sees_its_own_jobs_and_the_yards_lanes(visitor: Visitor, database: Database):
    other = await given.tenant(database, "other")
    theirs = await failed(database, other, "the other tenant's secret message", custom_id="their-custom-id")
    await given.succeeded(database, await given.job(database, other))
    await given.job(database, other)
    mine = await failed(database, await given.tenant(database), "my own message")
    page = await visitor.look()
    assert ids.show("job", mine) in page
    assert "my own message" in page
    for foreign in (ids.show("job", theirs), "secret message", "their-custom-id", "other"):
        assert foreign not in page.replace("another", "")
    assert tile(page, "failed")[0] == "1"
    assert tile(page, "done")[0] == "0"
    assert tile(page, "waiting")[0] == "0"
    assert tile(page, "cost") == ("$0.000123", "1 call since 00:00 UTC")
    calls = page[page.index('class="calls"') :]
    assert calls[: calls.index("</table>")].count('<td class="n">1</td>') == 1
    lane = page[page.index('id="lane-standard"') :]
    assert '<td class="n">1</td>' in lane[: lane.index("</tr>")]


async def test_a_failure_shows_its_calls_its_receipt_and_what_to_type(visitor: Visitor, database: Database):
    job_id = await failed(database, await given.tenant(database), "it broke", custom_id="q-17", task="intent")
    page = await visitor.look()
    shown = page[page.index('<ol class="failures">') :]
    for said in ("it broke", "q-17", "maker/small@lab", "failed, transient, HTTP 503", "380 ms", "$0.000123"):
        assert said in shown
    for said in ("first choice", "maker/large@lab", "raise it or lower max_tokens", "waited: breaker", "c0ffee"):
        assert said in shown
    assert f"tokenyard why {ids.show('job', job_id)}" in shown
    for secret in ("hi there", "hello"):  # the prompt and the answer that `given` stores
        assert secret not in page


async def test_a_job_that_expired_without_a_call_is_among_the_failures(visitor: Visitor, database: Database):
    tenant_id = await given.tenant(database)
    token = await given.claimed(database, job_id := await given.job(database, tenant_id))
    await given.settle(database, Move.expire(job_id, token, None))
    page = await visitor.look()
    assert "deadline_passed" in page
    assert "No call was made" in page
    assert "It has no receipt" in page


async def test_nothing_that_a_caller_wrote_can_run(visitor: Visitor, database: Database):
    tenant_id = await given.tenant(database)
    await failed(database, tenant_id, HOSTILE, custom_id=HOSTILE[:200], task=HOSTILE, model=HOSTILE, policy=HOSTILE)
    async with database.transaction() as connection:
        await connection.execute(text("update attempts set model = :it, deployment = :it"), {"it": HOSTILE})
        await connection.execute(text("update tenants set name = :it"), {"it": HOSTILE})
    page = await visitor.look()
    assert "<script>alert" not in page
    assert "<img" not in page
    assert html.unescape(page).count(HOSTILE) >= 6


async def test_budgets_show_what_is_settled_and_reserved_of_the_cap(visitor: Visitor, database: Database):
    assert 'id="budgets"' not in await visitor.look()
    tenant_id, other = await given.tenant(database), await given.tenant(database, "other")
    async with database.transaction() as connection:
        await budgets.create(connection, tenant_id, Decimal("0.01"), "month", None, ())
        await budgets.create(connection, other, Decimal("77.70"), "total", None, ())
    await given.succeeded(database, await given.job(database, tenant_id))
    token = await given.claimed(database, job_id := await given.job(database, tenant_id))
    await given.attempt(database, job_id, token)
    page = await visitor.look()
    async with database.statement() as connection:
        (budget,) = await budgets.budgets_of(connection, tenant_id)
    assert (budget.settled_usd, budget.reserved_usd) == (Decimal("0.0001234"), Decimal("0.005"))
    assert "$0.000123 of $0.0100 a month" in page
    assert "+ $0.00500 reserved by open calls" in page
    assert '<rect class="queued" x="1.23" width="50.00"' in page
    assert "$77.70" not in page


async def test_a_cut_call_is_told_from_a_free_one(visitor: Visitor, database: Database):
    tenant_id = await given.tenant(database)
    token = await given.claimed(database, job_id := await given.job(database, tenant_id))
    attempt_id = await given.attempt(database, job_id, token)
    closing = given.closing(attempt_id, outcome=Outcome.NOT_SENT, cost_usd=None, cost_basis="none", answer=None)
    await given.settle(database, Move.expire(job_id, token, closing))
    page = await visitor.look()
    assert tile(page, "cost")[0] == "$0"
    assert dt.datetime.now(dt.UTC).strftime("%Y-%m-%d") in page
