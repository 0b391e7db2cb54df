"""How Postgres and the record are, for whoever looks after them: one look, nothing kept."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs.configuration import SESSION_PREFIX
from jobs.store import fleet, partitions, reads
from jobs.store.fleet import LiveWorker
from jobs.store.reads import OpenJobs
from jobs.store.session import Database, StoreUnavailable

SERVER = text("""
select current_setting('server_version') as version, current_setting('server_version_num')::int as version_number,
    clock_timestamp() as now, pg_is_in_recovery() as is_standby,
    current_setting('fsync') = 'on' and current_setting('full_page_writes') = 'on'
        and current_setting('synchronous_commit') <> 'off' as is_durable,
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int as most,
    (select count(*) from pg_stat_activity where backend_type = 'client backend') as used,
    (select max(extract(epoch from clock_timestamp() - xact_start))::float8 from pg_stat_activity
        where backend_type = 'client backend' and datname = current_database() and pid <> pg_backend_pid())
        as oldest_transaction_s
""")
# A session's last change of state is its last statement: a process that works changes it all the time, at no cost.
SESSIONS = text("""
select application_name as name, extract(epoch from clock_timestamp() - max(state_change))::float8 as silent_s
from pg_stat_activity where datname = current_database() and starts_with(application_name, :prefix)
group by application_name order by application_name
""")
PARTITIONS = text("select relname from pg_class where relkind = 'r' and relispartition")
DEAD_ROWS = text("""
select n_live_tup as live, n_dead_tup as dead, last_autovacuum from pg_stat_user_tables where relname = 'jobs'
""")
LEASES = text("""
select count(*) as expired, coalesce(max(extract(epoch from now() - lease_until)), 0)::float8 as oldest_s
from jobs where state = 'running' and lease_until < now()
""")
# An endpoint that fails is tried at long intervals, so only those in good standing say that nobody delivers.
WEBHOOKS = text("""
select count(*) filter (where enabled) as enabled,
    count(*) filter (where not enabled and disabled_reason is distinct from 'its owner disabled it') as given_up,
    coalesce((select max(extract(epoch from now() - d.next_at)) from webhook_deliveries d
        join webhooks h on h.id = d.webhook_id and h.enabled and h.failures = 0
        where d.state = 'pending' and d.next_at < now()), 0)::float8 as overdue_s
from webhooks
""")
MOST_DAYS = 14
LOOK_S = 10.0


class Session(msgspec.Struct, frozen=True):
    """The sessions of one process of ours."""

    role: str
    """`api`, `worker`, `dispatcher`, ..."""
    host: str
    silent_s: float
    """Since its last statement."""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """Postgres itself."""

    version: str
    version_number: int
    """150004 is 15.4."""
    now: dt.datetime
    is_standby: bool
    is_durable: bool
    """fsync, full_page_writes and synchronous_commit are on: what was committed survives a crash."""
    connections: int
    most_connections: int
    oldest_transaction_s: float
    sessions: tuple[Session, ...]
    revision: str | None
    """The migration; None when it was never migrated."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The tables, at the migration that this code was written for."""

    days_ahead: int
    """Days from today on, without a gap, for which partitions exist; 0: not even today's."""
    live_rows: int
    dead_rows: int
    expired_leases: int
    oldest_expired_s: float
    lanes: tuple[OpenJobs, ...]
    workers: tuple[LiveWorker, ...]
    endpoints: int
    """Webhook endpoints that are enabled."""
    endpoints_given_up: int
    """Disabled by the yard, because they failed for days or said that they are gone."""
    overdue_delivery_s: float
    """By how long the oldest delivery to a healthy endpoint is late; 0: none is."""


class Vitals(msgspec.Struct, frozen=True):
    """One look. `record` is None while the migration is another one."""

    server: Server
    record: Record | None


def look(url: str, head: str) -> Vitals:
    """Look once, 10 s at most; `head` is the migration this code needs. Raises StoreUnavailable, with the reason."""
    return asyncio.run(_look(url, head))


def alive(url: str) -> tuple[tuple[Session, ...], tuple[LiveWorker, ...]]:
    """Who works on the record, and nothing else. Raises StoreUnavailable, with the reason."""
    return asyncio.run(_alive(url))


async def _look(url: str, head: str) -> Vitals:
    async with _connected(url) as connection:
        server = await _server(connection)
        return Vitals(server, await _record(connection, server.now) if server.revision == head else None)


async def _alive(url: str) -> tuple[tuple[Session, ...], tuple[LiveWorker, ...]]:
    async with _connected(url) as connection:
        return await _sessions(connection), tuple(await fleet.live(connection))


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[AsyncConnection]:
    try:
        database = Database(url, pool_size=1)
    except exc.ArgumentError as error:
        raise StoreUnavailable("the address is not one of Postgres: postgresql://user:password@host/name") from error
    try:
        async with asyncio.timeout(LOOK_S), database.statement() as connection:
            yield connection
    except TimeoutError as error:
        raise StoreUnavailable(f"no answer within {LOOK_S:.0f} s") from error
    except StoreUnavailable as error:
        raise StoreUnavailable(_reason(error)) from error
    finally:
        await database.close()


def _reason(error: StoreUnavailable) -> str:
    """The driver's own first line: `connection refused`, `password authentication failed for user ...`."""
    cause = error.__cause__
    said = str(cause.orig if isinstance(cause, exc.DBAPIError) else cause or error).strip()
    return said.splitlines()[0] if said else str(error)


async def _server(connection: AsyncConnection) -> Server:
    row = (await connection.execute(SERVER)).one()
    return Server(
        version=row.version,
        version_number=row.version_number,
        now=row.now,
        is_standby=row.is_standby,
        is_durable=row.is_durable,
        connections=row.used,
        most_connections=row.most,
        oldest_transaction_s=row.oldest_transaction_s or 0.0,
        sessions=await _sessions(connection),
        revision=await reads.revision(connection),
    )


async def _sessions(connection: AsyncConnection) -> tuple[Session, ...]:
    found = await connection.execute(SESSIONS, {"prefix": SESSION_PREFIX})
    return tuple(_session(each.name, each.silent_s) for each in found)


def _session(name: str, silent_s: float | None) -> Session:
    role, _, host = name.removeprefix(SESSION_PREFIX).partition("@")
    return Session(role, host, silent_s or 0.0)


async def _record(connection: AsyncConnection, now: dt.datetime) -> Record:
    existing = frozenset((await connection.execute(PARTITIONS)).scalars())
    rows = (await connection.execute(DEAD_ROWS)).one()
    leases = (await connection.execute(LEASES)).one()
    hooks = (await connection.execute(WEBHOOKS)).one()
    return Record(
        days_ahead=days_ahead(existing, now.date()),
        live_rows=rows.live,
        dead_rows=rows.dead,
        expired_leases=leases.expired,
        oldest_expired_s=leases.oldest_s,
        lanes=tuple(await reads.open_by_lane(connection)),
        workers=tuple(await fleet.live(connection)),
        endpoints=hooks.enabled,
        endpoints_given_up=hooks.given_up,
        overdue_delivery_s=hooks.overdue_s,
    )


def days_ahead(existing: frozenset[str], today: dt.date) -> int:
    """Days from `today` on, without a gap and at most 14, whose payloads and attempts have partitions of their own."""
    for ahead in range(MOST_DAYS):
        day = today + dt.timedelta(days=ahead)
        needed = {name for _, name, first, after in partitions.spans(day) if first <= day < after}
        if not needed <= existing:
            return ahead
    return MOST_DAYS
