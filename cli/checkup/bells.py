"""Judges Redis."""

from cli.checkup.finding import Finding, fail, ok, warn
from jobs.redis_vitals import RedisVitals

CHECKS = ("redis", "redis-eviction", "redis-persistence", "redis-memory")
WARN_SHARE, FAIL_SHARE = 0.75, 0.95


def judge(redis: RedisVitals) -> list[Finding]:
    """One finding for each of this module's checks."""
    return [
        ok("redis", f"version {redis.version} answers"),
        _eviction(redis.eviction),
        _persistence(redis),
        _memory(redis),
    ]


def _eviction(policy: str) -> Finding:
    if policy == "noeviction":
        return ok("redis-eviction", "noeviction")
    remedy = "set maxmemory-policy noeviction: a counter that is thrown away lifts a provider's limit"
    return fail("redis-eviction", f"the policy is {policy or 'unknown'}", remedy)


def _persistence(redis: RedisVitals) -> Finding:
    if not redis.is_append_only:
        remedy = "set appendonly yes: without it a restart forgets bells and limits, which costs seconds, no job"
        return warn("redis-persistence", "no append-only file", remedy)
    if not redis.is_written:
        return fail("redis-persistence", "the append-only file can't be written", "make room on Redis' disk")
    return ok("redis-persistence", "the append-only file is written")


def _memory(redis: RedisVitals) -> Finding:
    used = f"{redis.used_bytes / 1e6:,.0f} MB used"
    if not redis.most_bytes:
        return ok("redis-memory", f"{used}, no limit set")
    share = redis.used_bytes / redis.most_bytes
    says = f"{used} of {redis.most_bytes / 1e6:,.0f}"
    if share <= WARN_SHARE:
        return ok("redis-memory", says)
    remedy = "raise maxmemory; the yard's own part is a few MB, so see what else lives there: redis-cli --bigkeys"
    return (fail if share > FAIL_SHARE else warn)("redis-memory", says, remedy)
