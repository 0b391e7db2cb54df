"""The dispatcher: releases due rows into their lanes, most urgent first, rings their bells, and sweeps.

Any number may run: an advisory lock gives each lane one releaser at a time, and every sweep skips locked rows.
"""

import asyncio
import datetime as dt
import logging
import math
import signal
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from uuid import UUID

from kombu.exceptions import OperationalError

from jobs import logs, meters
from jobs.broker import Bells, make_app
from jobs.configuration import load
from jobs.lanes import TERMS, Lane
from jobs.settings import Settings
from jobs.signals import SUBMITTED, Signals
from jobs.store import sweep
from jobs.store.session import Database, StoreUnavailable
from workers.bookkeeper import Bookkeeper
from workers.sweeper import Sweeper

log = logging.getLogger(__name__)
STOP_S = 10.0
RING_S = 1.0
"""A Redis that hangs must not hold up the releases; workers poll meanwhile."""
NUDGE_S = 0.005
"""Submits of the same moment are released together."""


def bell_size(released: int, asked: int, slots: int, most: int) -> int:
    """Job ids in one bell: the lane's most while a backlog waits, few when few wait, so that all slots share them.

    A release that got all it `asked` for has left others waiting behind it.
    """
    if released >= asked:
        return most
    return max(1, min(most, math.ceil(released / max(1, slots))))


MOST_BELLS = 2048
"""Unanswered messages in a lane (about 1 KB each), after which no more are rung."""


class Dispatcher:
    """One process's release loop; `run` until `stop`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database = Database(settings.database_url, pool_size=1, durable=False)
        self._signals = Signals(settings.redis_url)
        self._bells = Bells(make_app(settings.redis_url))
        self._ringers = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ring")
        self._ringing: Future[None] = Future()
        self._ringing.set_result(None)
        # Endings are the sweeper's too, and must outlive a crash of Postgres; releases need not.
        self._endings = Database(settings.database_url, pool_size=1)
        self._sums = Database(settings.database_url, pool_size=1, durable=False)
        self._sweeper = Sweeper(self._endings, settings)
        self._nudged = asyncio.Event()
        self._stopped = asyncio.Event()
        self._ring_again_at_s = 0.0

    def stop(self) -> None:
        """End the loop after its present turn."""
        self._stopped.set()
        self._nudged.set()

    async def run(self) -> None:
        """Release and sweep until stopped; a Postgres that is away is waited for."""
        hearing = asyncio.create_task(self._signals.hear(SUBMITTED, lambda _: self._nudged.set()))
        sweeping = asyncio.create_task(self._sweeper.run(self._stopped))
        adding_up = asyncio.create_task(Bookkeeper(self._sums).run(self._stopped))
        try:
            while not self._stopped.is_set():
                with meters.TICK_DURATION.time():
                    await self._turn()
                await self._rest()
        finally:
            hearing.cancel()
            await asyncio.wait({hearing, sweeping, adding_up}, timeout=STOP_S)
            self._ringers.shutdown(wait=False, cancel_futures=True)
            await self._signals.close()
            await self._database.close()
            await self._endings.close()
            await self._sums.close()

    async def _rest(self) -> None:
        """Wait for a nudge or a tick: a nudge is a hint and may never come. Many nudges make one turn."""
        try:
            async with asyncio.timeout(self._settings.dispatcher.tick_ms / 1000):
                await self._nudged.wait()
        except TimeoutError:
            return
        await asyncio.sleep(NUDGE_S)
        self._nudged.clear()

    async def _turn(self) -> None:
        """Fill every lane to its depth; ring when the connection is given back."""
        to_ring: list[tuple[Lane, list[UUID], int]] = []
        try:
            async with self._database.statement() as connection:
                for lane, depth, has_due in await sweep.lanes(connection):
                    room = self._settings.dispatcher.depth - depth
                    if not has_due or room <= 0:
                        continue
                    released = await sweep.release(connection, lane, room)
                    if released:
                        meters.RELEASED.labels(lane.value).inc(len(released))
                        size = bell_size(len(released), room, self._settings.worker.slots, TERMS[lane].bell_size)
                        to_ring.append((lane, released, size))
        except StoreUnavailable:
            log.warning("dispatcher: Postgres is away; trying again")
            await asyncio.sleep(1)
        for lane, released, size in to_ring:
            await self._ring(lane, released, size)

    async def _ring(self, lane: Lane, released: Sequence[UUID], size: int) -> None:
        """Ring for released rows; without Redis the workers' poll finds them, so a failure is only noted."""
        if time.monotonic() < self._ring_again_at_s or not self._ringing.done():
            return
        try:
            self._ringing = self._ringers.submit(self._ring_all, lane, released, size)
            ringing = asyncio.wrap_future(self._ringing)
            ringing.add_done_callback(_heard)
            async with asyncio.timeout(RING_S):
                await asyncio.shield(ringing)
        except (TimeoutError, OperationalError, OSError) as error:
            self._ring_again_at_s = time.monotonic() + 1.0
            meters.RINGS_FAILED.inc()
            log.warning("dispatcher: no bell could be rung (%s); workers poll", type(error).__name__)

    def _ring_all(self, lane: Lane, released: Sequence[UUID], size: int) -> None:
        if self._bells.depth(lane) >= MOST_BELLS:
            return  # nobody answers: more bells would only fill Redis, and whoever comes polls
        for start in range(0, len(released), size):
            self._bells.ring(lane, released[start : start + size])


def _heard(ringing: "asyncio.Future[None]") -> None:
    """A ring that fails after its time has been given up already: its error is no news."""
    if not ringing.cancelled():
        ringing.exception()


async def main() -> None:
    """Run a dispatcher until SIGTERM or SIGINT."""
    settings = load()
    logs.setup(settings.telemetry)
    dispatcher = Dispatcher(settings)
    loop = asyncio.get_running_loop()
    lag = loop.create_task(meters.watch_loop())
    server = meters.told(settings.telemetry, meters.DISPATCHER)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, dispatcher.stop)
    log.info("dispatcher: at work since %s", dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))
    await dispatcher.run()
    lag.cancel()
    if server is not None:
        server.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
