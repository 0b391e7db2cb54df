"""A process's road to the gates' Redis: whether it answers, and what is on its way there."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from workers.scripts import RedisAway, Scripts

log = logging.getLogger(__name__)


class Road:
    """What `workers.shared_health` and `workers.shared_keys` have in common. Belongs to one event loop."""

    def __init__(self, scripts: Scripts, clock: Callable[[], float], chance: Callable[[], float]) -> None:
        self.scripts = scripts
        self.clock = clock
        self.chance = chance
        self.is_open = True
        """False: Redis is away, and each process goes by its own opinion."""
        self._tasks: set[asyncio.Task[Any]] = set()

    def lost(self, error: RedisAway) -> None:
        """Redis did not answer."""
        if self.is_open:
            log.warning("health: %s; breakers and keys are this worker's own opinion now", error)
        self.is_open = False

    def spawn(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Tell Redis something without waiting for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def settled(self) -> None:
        """Return when everything that was to be told is told."""
        while self._tasks:
            await asyncio.wait(self._tasks)
