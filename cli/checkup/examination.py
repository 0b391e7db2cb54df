"""Looks at everything once: one finding of every check, whatever is up or down."""

import asyncio
import datetime as dt
import os

from cli.checkup import bells, gates, machine, record, server
from cli.checkup import settings as configured
from cli.checkup.finding import CHECKS, Finding, fail, skipped
from cli.client import URL_VARIABLE
from cli.yard import Yard
from jobs import redis_vitals
from jobs.configuration import load, load_catalog
from jobs.health import Health, HealthReader
from jobs.settings import Settings, SettingsError
from jobs.store import vitals
from jobs.store.session import StoreUnavailable
from migrations.run import head
from routing.dialects.registry import check_accents


def examine(yard: Yard) -> list[Finding]:
    """A finding of every check, in the order of CHECKS."""
    environ = yard.surroundings(os.environ)
    try:
        settings = load(environ=environ)
        catalog = load_catalog(settings)
        check_accents(settings.providers)
    except SettingsError as error:
        remedy = "correct tokenyard.toml (or what TOKENYARD_CONFIG names)"
        rest = tuple(name for name in CHECKS if name not in {"settings", "disk"})
        found = [fail("settings", str(error), remedy), *skipped(rest, "the settings can't be read")]
        return _ordered([*found, machine.disk(yard.var)])
    return _ordered(
        [
            *configured.judge(settings, catalog, environ, dt.datetime.now(dt.UTC).date()),
            *machine.judge(yard, settings, environ.get(URL_VARIABLE, "").rstrip("/")),
            *_postgres(settings),
            *_redis(settings),
        ]
    )


def _postgres(settings: Settings) -> list[Finding]:
    """Postgres, and the record if its tables are those of this code."""
    if not settings.database_url:
        remedy = "tokenyard up, or set TOKENYARD_DATABASE_URL"
        says = "no database is named, and no yard runs here"
        return [fail("postgres", says, remedy), *skipped((*server.CHECKS[1:], *record.CHECKS), says)]
    expected = head()
    try:
        seen = vitals.look(settings.database_url, expected)
    except StoreUnavailable as error:
        remedy = "see whether it runs and TOKENYARD_DATABASE_URL is right; the API answers 503, what runs waits"
        rest = skipped((*server.CHECKS[1:], *record.CHECKS), "Postgres does not answer")
        return [fail("postgres", f"does not answer: {error}", remedy), *rest]
    found = server.judge(seen.server, dt.datetime.now(dt.UTC), expected)
    if seen.record is None:
        return [*found, *skipped(record.CHECKS, "the tables are another version's")]
    return [*found, *record.judge(seen.record, seen.server.sessions)]


def _redis(settings: Settings) -> list[Finding]:
    """Redis, and what the gates keep in it."""
    rest = (*bells.CHECKS[1:], *gates.CHECKS)
    if not settings.redis_url:
        says = "no Redis is named, and no yard runs here"
        remedy = "tokenyard up, or set TOKENYARD_REDIS_URL"
        return [fail("redis", says, remedy), *skipped(rest, says)]
    try:
        found = bells.judge(redis_vitals.look(settings.redis_url))
    except redis_vitals.RedisAway as error:
        remedy = "start it, or correct TOKENYARD_REDIS_URL; meanwhile jobs are found by a poll every 2 s"
        return [fail("redis", f"does not answer: {error}", remedy), *skipped(rest, "Redis does not answer")]
    return [*found, *gates.judge(asyncio.run(_health(settings)))]


async def _health(settings: Settings) -> Health:
    reader = HealthReader(settings.redis_url)
    try:
        return await reader.read(settings.providers)
    finally:
        await reader.aclose()


def _ordered(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: CHECKS.index(finding.name))
