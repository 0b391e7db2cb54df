"""How Redis is, for whoever looks after it: one look, nothing kept."""

from typing import Any

import msgspec
import redis
from redis.exceptions import RedisError

LOOK_S = 3.0


class RedisAway(ConnectionError):
    """Redis does not answer; the message says why."""


class RedisVitals(msgspec.Struct, frozen=True, kw_only=True):
    """What matters to a yard. INFO alone is asked: managed servers refuse CONFIG."""

    version: str
    eviction: str
    """`noeviction` is the one policy under which no counter of a provider's limit is lost."""
    is_append_only: bool
    is_written: bool
    """The last write of the append-only file went well."""
    used_bytes: int
    most_bytes: int
    """0: no limit but the machine's."""


def look(url: str) -> RedisVitals:
    """Look once, 3 s at most. Raises RedisAway."""
    try:
        client = redis.Redis.from_url(url, socket_timeout=LOOK_S, socket_connect_timeout=LOOK_S)
    except ValueError as error:
        raise RedisAway(f"the address is not one of Redis: {error}") from error
    try:
        with client:
            info: dict[str, Any] = client.info()
    except (RedisError, OSError) as error:
        raise RedisAway(str(error) or type(error).__name__) from error
    return RedisVitals(
        version=str(info["redis_version"]),
        eviction=info.get("maxmemory_policy", ""),
        is_append_only=bool(info.get("aof_enabled")),
        is_written=info.get("aof_last_write_status", "ok") == "ok",
        used_bytes=info.get("used_memory", 0),
        most_bytes=info.get("maxmemory", 0),
    )
