"""The dispatcher's watches go their rounds: one after the other, whatever a round meets, until they are stopped."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from jobs.store.session import StoreUnavailable

log = logging.getLogger(__name__)


async def rounds(
    stopped: asyncio.Event, name: str, each: Callable[[], Awaitable[float | None]], pause_s: float
) -> None:
    """Run `each` again and again, `pause_s` apart or as it says itself; a Postgres that is away is waited for."""
    while not stopped.is_set():
        rest_s: float | None = None
        try:
            rest_s = await each()
        except StoreUnavailable:
            log.warning("%s: Postgres is away; trying again", name)
        except Exception:  # a border: whatever one round met, the next one must come
            log.exception("%s: a round failed", name)
        try:
            async with asyncio.timeout(pause_s if rest_s is None else rest_s):
                await stopped.wait()
        except TimeoutError:
            continue
