"""What reported usage taught, shared by all processes: sums laid over each other, read back by those who estimate."""

import datetime as dt
from collections.abc import Sequence

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from routing.learn.sums import ERROR_MEMORY, ERRORS, LAYOUT, MEMORY

# As `routing.learn.sums.merged`. Rows are locked in one order, so two workers never wait for each other.
LEARN = text("""
insert into token_sums as t (deployment, kind, layout, sums, seen_at)
select deployment, kind, :layout, sums, clock_timestamp()
from jsonb_to_recordset(cast(:rows as jsonb)) as f(deployment text, kind text, sums float8[])
order by deployment, kind
on conflict (deployment, kind) do update set layout = excluded.layout, seen_at = excluded.seen_at,
    sums = case when t.layout <> excluded.layout then excluded.sums else (
        select array_agg(new + old * case
            when place = 1 then 1
            when place <= :errors then greatest(0, 1 - excluded.sums[1] / :memory)
            else greatest(0, 1 - excluded.sums[1] / :error_memory)
        end order by place)
        from unnest(t.sums, excluded.sums) with ordinality as u(old, new, place)
    ) end
""")
READ = text("""
select deployment, kind, sums, seen_at from token_sums
where layout = :layout and seen_at > coalesce(cast(:since as timestamptz), '-infinity')
""")
FORGET = text("delete from token_sums where seen_at < now() - make_interval(days => :days)")


class Lesson(msgspec.Struct, frozen=True):
    """Sums of a deployment and a kind of text, see `routing.learn.sums`."""

    deployment: str
    kind: str
    sums: Sequence[float]


async def learn(connection: AsyncConnection, lessons: Sequence[Lesson]) -> None:
    """Lay new sums over what is there. Rows are as many as deployments of the catalogue that are used, times kinds."""
    values = {"layout": LAYOUT, "errors": ERRORS, "memory": MEMORY, "error_memory": ERROR_MEMORY}
    await connection.execute(LEARN, values | {"rows": msgspec.json.encode(lessons).decode()})


async def read(connection: AsyncConnection, since: dt.datetime | None) -> tuple[list[Lesson], dt.datetime | None]:
    """What was learnt since then, and the moment of the newest of it; None: ever, nothing new."""
    rows = (await connection.execute(READ, {"layout": LAYOUT, "since": since})).all()
    newest = max((row.seen_at for row in rows), default=None)
    return [Lesson(row.deployment, row.kind, row.sums) for row in rows], newest


async def forget(connection: AsyncConnection, days: int) -> None:
    """Remove what nobody has used for so long."""
    await connection.execute(FORGET, {"days": days})
