"""Judges Postgres itself."""

import datetime as dt

from cli.checkup.finding import Finding, fail, ok, warn
from jobs.durations import span
from jobs.store.vitals import Server

CHECKS = ("postgres", "durability", "migrations", "clock", "connections", "transactions")
OLDEST_VERSION = 150_000
SKEW_WARN_S, SKEW_FAIL_S = 2.0, 60.0
TRANSACTION_WARN_S, TRANSACTION_FAIL_S = 60.0, 900.0


def judge(server: Server, local_now: dt.datetime, head: str) -> list[Finding]:
    """One finding for each of this module's checks; `local_now` was read when the server said its own time."""
    return [
        _postgres(server),
        _durability(server),
        _migrations(server, head),
        _clock((local_now - server.now).total_seconds()),
        _connections(server),
        _transactions(server),
    ]


def _postgres(server: Server) -> Finding:
    if server.is_standby:
        return fail("postgres", "this server is a standby", "point TOKENYARD_DATABASE_URL at the primary")
    if server.version_number < OLDEST_VERSION:
        return fail("postgres", f"version {server.version} is too old", "upgrade to Postgres 15 or later")
    return ok("postgres", f"version {server.version} answers")


def _durability(server: Server) -> Finding:
    if server.is_durable:
        return ok("durability", "fsync, full_page_writes and synchronous_commit are on")
    remedy = "set fsync, full_page_writes and synchronous_commit to on: without them a 202 may be lost in a crash"
    return fail("durability", "commits may not survive a crash", remedy)


def _migrations(server: Server, head: str) -> Finding:
    if server.revision == head:
        return ok("migrations", f"at {head}")
    if server.revision is None:
        return fail("migrations", "this database was never migrated", "tokenyard migrate")
    says = f"the database is at {server.revision}, this code needs {head}"
    return fail("migrations", says, "tokenyard migrate (if the database is the newer one: deploy the newer code here)")


def _clock(ahead_s: float) -> Finding:
    says = f"this machine is {abs(ahead_s):.1f} s {'ahead of' if ahead_s > 0 else 'behind'} Postgres"
    if abs(ahead_s) <= SKEW_WARN_S:
        return ok("clock", says)
    remedy = "start a time service (chrony, systemd-timesyncd) on both machines"
    return (fail if abs(ahead_s) > SKEW_FAIL_S else warn)("clock", says, remedy)


def _connections(server: Server) -> Finding:
    free = server.most_connections - server.connections
    says = f"{free} of {server.most_connections} connections are free"
    if free * 5 >= server.most_connections:
        return ok("connections", says)
    remedy = "raise max_connections, or run fewer processes: docs/deploy.md says how many each takes"
    return (fail if free * 20 < server.most_connections else warn)("connections", says, remedy)


def _transactions(server: Server) -> Finding:
    oldest_s = server.oldest_transaction_s
    says = f"the oldest open transaction is {span(oldest_s)} old" if oldest_s >= 1 else "no transaction stays open"
    if oldest_s <= TRANSACTION_WARN_S:
        return ok("transactions", says)
    remedy = (
        "find it: select pid, application_name, state, query from pg_stat_activity order by xact_start; "
        "end it: select pg_terminate_backend(PID). While it is open no dead row can be removed"
    )
    return (fail if oldest_s > TRANSACTION_FAIL_S else warn)("transactions", says, remedy)
