"""What a check found: a level, a sentence, and what to type."""

from enum import StrEnum

import msgspec


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    """Works, and should be looked at before it does not."""
    FAIL = "fail"
    """Broken, or about to lose something; `tokenyard doctor` exits 1."""
    SKIPPED = "skipped"
    """Could not be looked at from here, or not before another check is mended; the sentence says why."""


class Finding(msgspec.Struct, frozen=True):
    """The outcome of the check `name`, which is a heading of docs/runbook.md."""

    name: str
    level: Level
    says: str
    remedy: str = ""


CHECKS: tuple[str, ...] = (
    "settings", "providers", "prices", "processes", "postgres", "durability", "migrations", "clock", "connections",
    "transactions", "partitions", "dead-rows", "redis", "redis-eviction", "redis-persistence", "redis-memory", "api",
    "workers", "dispatchers", "queues", "leases", "webhooks", "breakers", "provider-keys", "flower", "ports", "disk",
)  # fmt: skip
"""Every check, in the order in which they are printed; each run has one finding of each."""


def ok(name: str, says: str) -> Finding:
    """All is well."""
    return Finding(name, Level.OK, says)


def warn(name: str, says: str, remedy: str) -> Finding:
    """It works, and should be looked at."""
    return Finding(name, Level.WARN, says, remedy)


def fail(name: str, says: str, remedy: str) -> Finding:
    """It is broken."""
    return Finding(name, Level.FAIL, says, remedy)


def skipped(names: tuple[str, ...], why: str) -> list[Finding]:
    """What could not be looked at."""
    return [Finding(name, Level.SKIPPED, why) for name in names]
