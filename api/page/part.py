"""A reading shared by all who look: one at a time, kept while fresh, and never more than a small share of a core."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")
REST = 20
"""A reading that took t is not made again for 20 t: looking keeps one connection busy 5 % of the time at most."""
PATIENCE_S = 1.5
"""A viewer waits so long for a new reading, then takes the last one, or does without."""


class Part(Generic[T]):
    """One figure of the page, read when somebody asks and the last reading is `fresh_s` or `rest` readings old."""

    def __init__(
        self,
        read: Callable[[], Awaitable[T]],
        *,
        fresh_s: float = 0.0,
        rest: float = REST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._fresh_s = fresh_s
        self._rest = rest
        self._clock = clock
        self._due = float("-inf")
        self._last: T | None = None
        self._reading: asyncio.Task[None] | None = None

    async def get(self, patience_s: float = PATIENCE_S) -> T | None:
        """The last reading, made anew if that is due; None while the first is still being made.

        Raises what the reading raised; who asks after its rest tries again.
        """
        if self._reading is None and self._clock() >= self._due:
            self._reading = asyncio.create_task(self._make())
        reading = self._reading
        if reading is not None:
            await asyncio.wait({reading}, timeout=patience_s)
            if reading.done():
                self._reading = None if self._reading is reading else self._reading
                reading.result()
        return self._last

    @property
    def is_reading(self) -> bool:
        """Whether a reading is under way: after `get`, that the one it waited for has not ended."""
        return self._reading is not None

    async def close(self) -> None:
        """Give up what is being read."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _make(self) -> None:
        begun = self._clock()
        try:
            self._last = await self._read()
            self._due = self._clock() + self._fresh_s
        finally:  # what takes long and then fails must rest, too
            ended = self._clock()
            self._due = max(self._due, ended + self._rest * (ended - begun))
