"""The ledger under other prices over HTTP: shown, never changed, for one tenant's admin only."""

from decimal import Decimal

from jobs.chat import Usage
from tests.api.caller import Caller
from tests.jobs.store import given


async def test_a_period_is_rated_anew_and_the_ledger_stays(caller: Caller):
    for usage, cost in ((Usage(1_000_000, 0), Decimal("0.5")), (Usage(41, 9), None), (None, None)):
        await given.succeeded(caller.database, await caller.submit(), usage=usage, cost_usd=cost)
    before = (await caller.get("/v1/ledger"))["data"]
    rated = await caller.get("/v1/ledger/rerate?since=2026-01-02T00:00:00Z")
    (line,) = rated["data"]
    assert (line["deployment"], line["calls"], line["without_usage"]) == ("maker/small@lab", 3, 1)
    assert (line["changed"], line["booked_usd"], line["difference_usd"]) == (1, "0.500000000000", "-0.400000000000")
    assert (line["newly_priced"], line["newly_priced_usd"]) == (1, "0.000005900000")
    assert (await caller.get("/v1/ledger"))["data"] == before
    for query in ("&deployment=other@lab", "&until=2026-01-03T00:00:00Z"):
        assert (await caller.get(f"/v1/ledger/rerate?since=2026-01-02T00:00:00Z{query}"))["data"] == []


async def test_a_wrong_period_says_what_to_do(caller: Caller):
    for since in ("0001-01-01T00:00:00Z", "yesterday", "2026-01-01T00:00:00"):
        status, error = await caller.problem("GET", f"/v1/ledger/rerate?since={since}")
        assert (status, error["param"]) == (400, "since")
