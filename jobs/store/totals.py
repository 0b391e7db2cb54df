"""What the ledger comes to so far, by provider, model and outcome, kept cheaply: each attempt's row is read once.

`fold` walks the ledger in the order of its ids, a slice at a time, and adds what it finds to `ledger_totals`; a mark
says how far it has come. It stays `LAG_S` behind the clock, because an id is made a moment before its row is
committed. Attempts that are open when the mark passes are remembered and added when they close; `unknown` ones are
added and remembered, so that a late bill is added too. `rebuild` starts from nothing: the rows are the truth, as far
as their months were not dropped.

A worker whose clock is over `LAG_S` behind writes rows behind the mark. They stand in the ledger and not in these sums.
"""

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs import ids

LAG_S = 30
SLICE = 20_000
"""Rows folded in one transaction: 0.06 s (3.1 us each over ten million rows, benchmarks/scrape.py, 2026-11)."""
REMEMBER_H = 24
"""An attempt still open or unknown after so long has no late bill any more; the ledger's own page would show one."""
LOCK = 7263
"""Advisory: one dispatcher folds at a time."""

TRY_LOCK = text("select pg_try_advisory_xact_lock(:lock)")
_MARK = "(select coalesce(max(mark::text), '00000000-0000-0000-0000-000000000000')::uuid from ledger_mark)"
MARK = text(f"select {_MARK} as mark, extract(epoch from now())::float8 as now_s")  # noqa: S608 -- a constant
END_OF_SLICE = text("""
select (array_agg(id order by id desc))[1] as last, count(*) as found from (
    select id from attempts where id > :mark and id < :until order by id limit :slice
) s
""")
_GROUPS = """
    provider, model, outcome, coalesce(failure, '') as failure, count(*) as attempts,
    coalesce(sum(cost_usd), 0) as cost_usd,
    count(*) filter (where cost_usd is null and outcome <> 'not_sent') as unknown_cost,
    coalesce(sum(input_tokens), 0) as input_tokens, coalesce(sum(output_tokens), 0) as output_tokens
"""
_ADD = """
insert into ledger_totals as t
    (provider, model, outcome, failure, attempts, cost_usd, unknown_cost, input_tokens, output_tokens)
select * from found
on conflict (provider, model, outcome, failure) do update set attempts = t.attempts + excluded.attempts,
    cost_usd = t.cost_usd + excluded.cost_usd, unknown_cost = t.unknown_cost + excluded.unknown_cost,
    input_tokens = t.input_tokens + excluded.input_tokens, output_tokens = t.output_tokens + excluded.output_tokens
"""
ADD_SLICE = text(f"""
with slice as materialized (
    select id, provider, model, outcome, failure, cost_usd, input_tokens, output_tokens
    from attempts where id > :mark and id <= :last
), watched as (
    insert into ledger_watched (attempt_id, is_counted)
    select id, outcome is not null from slice where outcome is null or outcome = 'unknown'
), found as (
    select {_GROUPS} from slice where outcome is not null group by provider, model, outcome, failure
), moved as (
    insert into ledger_mark (is_only, mark) values (true, :last)
    on conflict (is_only) do update set mark = excluded.mark
)
{_ADD}
""")  # noqa: S608 -- made of constants of this file
# An attempt seen open is added when it has closed (an `unknown` one is watched on); one seen unknown, when it has
# another outcome. The bounds let Postgres skip the months that have none.
ADD_WATCHED = text(f"""
with came as materialized (
    select a.id, a.provider, a.model, a.outcome, a.failure, a.cost_usd, a.input_tokens, a.output_tokens
    from ledger_watched w join attempts a on a.id = w.attempt_id
    where a.id >= :oldest and a.outcome is not null and (not w.is_counted or a.outcome <> 'unknown')
), kept as (
    update ledger_watched w set is_counted = true from came where w.attempt_id = came.id and came.outcome = 'unknown'
), dropped as (
    delete from ledger_watched w where w.attempt_id < :oldest
        or w.attempt_id in (select id from came where outcome <> 'unknown')
), found as (
    select {_GROUPS} from came group by provider, model, outcome, failure
)
{_ADD}
""")  # noqa: S608 -- made of constants of this file
ANY_WATCHED = text("select exists (select from ledger_watched)")
TOTALS = text("""
select provider, model, outcome, failure, attempts, cost_usd, unknown_cost, input_tokens, output_tokens
from ledger_totals order by provider, model, outcome, failure
""")
LAG = text(f"""
select coalesce(extract(epoch from now() - (
    select opened_at from attempts where id > {_MARK} order by id limit 1
))::float8, 0)
""")  # noqa: S608 -- a constant
FORGET_ALL = (
    text("delete from ledger_totals"),
    text("delete from ledger_watched"),
    text("delete from ledger_mark"),
)


class Total(NamedTuple):
    """Sums over closed attempts that share these names."""

    provider: str
    model: str
    outcome: str
    failure: str
    """Empty when there was none."""
    attempts: int
    cost_usd: float
    """Known amounts only; a float, for display: bills are summed from the rows."""
    unknown_cost: int
    """Attempts that may have been billed and whose amount is unknown."""
    input_tokens: int
    output_tokens: int


async def fold(connection: AsyncConnection, slice_rows: int = SLICE) -> bool:
    """Add a slice of the ledger to the totals; True when more is waiting. Wants a transaction.

    Does nothing while another process folds.
    """
    if not (await connection.execute(TRY_LOCK, {"lock": LOCK})).scalar_one():
        return False
    at = (await connection.execute(MARK)).one()
    now = dt.datetime.fromtimestamp(at.now_s, dt.UTC)
    if (await connection.execute(ANY_WATCHED)).scalar_one():
        oldest = ids.floor_uuid(now - dt.timedelta(hours=REMEMBER_H))
        await connection.execute(ADD_WATCHED, {"oldest": oldest})
    until = ids.floor_uuid(now - dt.timedelta(seconds=LAG_S))
    end = (await connection.execute(END_OF_SLICE, {"mark": at.mark, "until": until, "slice": slice_rows})).one()
    if end.last is None:
        return False
    await connection.execute(ADD_SLICE, {"mark": at.mark, "last": end.last})
    return bool(end.found == slice_rows)


async def totals(connection: AsyncConnection) -> Sequence[Total]:
    """The sums, at most a minute behind the ledger: a few rows, however long the ledger is."""
    found = await connection.execute(TOTALS)
    return [Total(**{**row, "cost_usd": float(row["cost_usd"])}) for row in found.mappings()]


async def lag_s(connection: AsyncConnection) -> float:
    """How far the sums are behind, in seconds; 0 when no attempt is left to add, however long ago the last one was."""
    return float((await connection.execute(LAG)).scalar_one())


async def rebuild(connection: AsyncConnection) -> None:
    """Forget the sums; the folds that follow read the whole ledger again. Wants a transaction."""
    await connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    for statement in FORGET_ALL:
        await connection.execute(statement)
