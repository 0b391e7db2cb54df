"""The ledger and its sums over HTTP, to the last digit and for one tenant only."""

from jobs import ids
from jobs.chat import USAGE_KINDS, Usage
from jobs.states import Outcome
from jobs.store.rows import Move
from tests.api.caller import Caller
from tests.jobs.store import given


async def test_the_ledger_has_a_line_for_every_call_newest_first(caller: Caller):
    first, second = await caller.submit(), await caller.submit()
    made = [await given.succeeded(caller.database, job_id) for job_id in (first, second)]
    page = await caller.get("/v1/ledger?limit=1")
    assert [line["id"] for line in page["data"]] == [ids.show("att", made[1])]
    rest = await caller.get(f"/v1/ledger?after={page['last_id']}")
    assert [line["job_id"] for line in rest["data"]] == [ids.show("job", first)]
    assert rest["data"][0]["cost_usd"] == "0.000123400000"
    for query, count in (
        (f"job={ids.show('job', first)}", 1),
        ("outcome=accepted&provider=lab&model=maker/small&task=intent", 2),
        ("outcome=failed", 0),
        ("since=2026-01-01T00:00:00Z", 2),
        ("until=2026-01-01T00:00:00Z", 0),
    ):
        assert len((await caller.get(f"/v1/ledger?{query}"))["data"]) == count, query


async def test_a_line_says_what_its_tokens_were_and_nothing_of_what_nobody_reported(caller: Caller):
    kinds = Usage(100, 50, 10, 11, 12, 13, 14, 15)
    for usage in (kinds, Usage(41, 9), None):
        job_id = await caller.submit()
        await given.succeeded(caller.database, job_id, usage=usage)
        (line,) = (await caller.get(f"/v1/ledger?job={ids.show('job', job_id)}"))["data"]
        (attempt,) = (await caller.get(f"/v1/jobs/{ids.show('job', job_id)}"))["attempts"]
        for name in ("input_tokens", "output_tokens", *USAGE_KINDS):
            assert line[name] == attempt[name] == (None if usage is None else getattr(usage, name)), name


async def test_usage_sums_rows_and_counts_unknown_costs_apart(caller: Caller):
    await given.succeeded(caller.database, await caller.submit())
    await given.succeeded(caller.database, await caller.submit(), cost_usd=None, cost_basis="none", total_ms=1_380)
    job_id = await caller.submit()
    token = await given.claimed(caller.database, job_id)
    attempt_id = await given.attempt(caller.database, job_id, token, provider="other")
    free = given.closing(attempt_id, outcome=Outcome.NOT_SENT, cost_usd=None, answer=None, total_ms=None)
    await given.settle(caller.database, Move.close(job_id, token, free))
    usage = await caller.get("/v1/usage?group_by=provider,day")
    lab, other = usage["data"]
    assert usage["group_by"] == ["provider", "day"]
    assert (lab["provider"], lab["calls"], lab["accepted"], lab["unknown_cost"]) == ("lab", 2, 2, 1)
    assert (lab["cost_usd"], lab["cost_bound_usd"]) == ("0.000123400000", "0.005123400000")
    assert (lab["latency_p50_ms"], lab["input_tokens"]) == (880.0, 82)
    assert (other["unknown_cost"], other["cost_usd"], other["latency_p50_ms"]) == (0, "0.000000000000", None)
    (everything,) = (await caller.get("/v1/usage"))["data"]
    assert (everything["calls"], everything["jobs"]) == (3, 3)


async def test_the_usage_of_nothing_is_nothing(caller: Caller):
    (everything,) = (await caller.get("/v1/usage"))["data"]
    assert (everything["calls"], everything["cost_usd"]) == (0, "0.000000000000")


async def test_a_wrong_question_to_the_ledger_says_what_to_do(caller: Caller):
    for query in ("group_by=colour", "since=yesterday", "since=2026-01-01T00:00:00", "until=0001-01-01T00:00:00Z"):
        status, error = await caller.problem("GET", f"/v1/usage?{query}")
        assert (status, error["param"]) == (400, query.split("=")[0]), query
