"""Group commit: what concurrent jobs want to write goes out in one statement, acknowledged after its commit."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

import psycopg
from sqlalchemy import exc

from jobs.store.direct import Line, Lines
from jobs.store.session import StoreUnavailable

Row = TypeVar("Row")
Ack = TypeVar("Ack")
MOST_ROWS = 500
BAD_ROW = (exc.StatementError, psycopg.Error, ValueError, TypeError)
"""What a row's own data can raise: in Postgres, in the driver, or on the way into JSON."""
RETRY_S = (0.1, 0.5, 1.0, 2.0, 4.0)


def _unheard(_rows: int, _seconds: float) -> None:
    """Nobody asked how the writes go."""


class Flush(Generic[Row, Ack]):
    """Collects rows for `window_s` (0: only what is waiting already) and writes them with one call of `write`.

    One write is on its way at a time, and what comes meanwhile goes out together next: see `jobs.coalescer`.
    `patience_s` are the pauses between tries while Postgres is away: () for those who would rather hear it at once.
    `write(line, rows)` returns the ids that counted; `add(row)` returns whether its own did. A flush that
    raises for its data is replayed row by row, so one bad row costs only itself.
    """

    def __init__(
        self,
        lines: Lines,
        write: Callable[[Line, list[Row]], Awaitable[set[Ack]]],
        key: Callable[[Row], Ack],
        *,
        window_s: float,
        patience_s: Sequence[float] = RETRY_S,
        told: Callable[[int, float], None] = _unheard,
    ) -> None:
        """`told` hears of every write that was committed: how many rows, and how many seconds it took."""
        self._lines = lines
        self._write = write
        self._key = key
        self._window_s = window_s
        self._waiting: list[tuple[Row, asyncio.Future[bool]]] = []
        self._patience_s = patience_s
        self._told = told
        self._writing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def add(self, row: Row, *, at_once: bool = False) -> bool:
        """Write a row; True when it counted. Raises StoreUnavailable when patience has run out."""
        return await self.put(row, at_once=at_once)

    def put(self, row: Row, *, at_once: bool = False) -> asyncio.Future[bool]:
        """The same as a future, for those who must learn what became of the row even when they are cancelled."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[bool] = loop.create_future()
        self._waiting.append((row, done))
        if at_once or len(self._waiting) >= MOST_ROWS:
            self._start()
        elif self._timer is None and self._writing is None:
            self._timer = loop.call_later(self._window_s, self._start)
        return done

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting and self._writing is None:
            group, self._waiting = self._waiting[:MOST_ROWS], self._waiting[MOST_ROWS:]
            self._writing = asyncio.get_running_loop().create_task(self._flush(group))
            self._writing.add_done_callback(partial(self._after, group))

    def _after(self, group: list[tuple[Row, asyncio.Future[bool]]], task: asyncio.Task[None]) -> None:
        self._writing = None
        _leave_nobody_waiting(group, task)
        if self._waiting and self._timer is None:
            self._start()

    async def _flush(self, group: list[tuple[Row, asyncio.Future[bool]]]) -> None:
        try:
            counted = await self._patiently([row for row, _ in group])
        except BAD_ROW:
            await self._one_by_one(group)
            return
        except StoreUnavailable as error:
            for _, done in group:
                _refuse(done, error)
            return
        for row, done in group:
            if not done.done():
                done.set_result(self._key(row) in counted)

    async def _one_by_one(self, group: list[tuple[Row, asyncio.Future[bool]]]) -> None:
        for row, done in group:
            try:
                counted = await self._patiently([row])
            except (*BAD_ROW, StoreUnavailable) as error:
                _refuse(done, error)
            else:
                if not done.done():
                    done.set_result(self._key(row) in counted)

    async def _patiently(self, rows: list[Row]) -> set[Ack]:
        """Write, waiting out a short absence of Postgres: what is written here has been paid for."""
        for pause_s in self._patience_s:
            try:
                return await self._once(rows)
            except StoreUnavailable:
                await asyncio.sleep(pause_s)
        return await self._once(rows)

    async def _once(self, rows: list[Row]) -> set[Ack]:
        began_s = time.monotonic()
        async with self._lines.statement() as line:
            counted = await self._write(line, rows)
        self._told(len(rows), time.monotonic() - began_s)
        return counted


def _leave_nobody_waiting(group: list[tuple[Row, asyncio.Future[bool]]], task: asyncio.Task[None]) -> None:
    """A flush that was cancelled or broke on a defect has answered nobody: its callers must hear of it."""
    if task.cancelled():
        for _, done in group:
            done.cancel()
        return
    defect = task.exception()
    for _, done in group:
        if isinstance(defect, Exception):
            _refuse(done, defect)


def _refuse(done: asyncio.Future[bool], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
