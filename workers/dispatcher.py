"""The dispatcher: releases due rows into their lanes, tenant by tenant in turn, rings their bells, and sweeps.

Any number may run: a release is one statement that counts only from the turn its dispatcher looked at, and every
sweep skips locked rows. Nothing is locked between two statements, so one that is frozen anywhere holds up nobody.
"""

import asyncio
import datetime as dt
import logging
import math
import signal
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from uuid import UUID

from kombu.exceptions import OperationalError

from jobs import failpoints, logs, meters
from jobs.broker import Bells, make_app
from jobs.configuration import load
from jobs.lanes import TERMS, Lane
from jobs.settings import Settings
from jobs.signals import SUBMITTED, Signals
from jobs.store import release
from jobs.store.release import LaneView, Turn
from jobs.store.session import Connection, Database, StoreUnavailable
from routing.fairness import share_out
from routing.stock import stock_for
from workers.bookkeeper import Bookkeeper
from workers.outbox import Outbox
from workers.sweeper import Sweeper

log = logging.getLogger(__name__)
STOP_S = 10.0
RING_S = 1.0
"""A Redis that hangs must not hold up the releases; workers poll meanwhile."""
NUDGE_S = 0.005
"""Submits of the same moment are released together."""
IDLE_TICKS = 5
"""While nothing waits it is looked so much more seldom: submits nudge, and what is deferred says when it is due."""
GROW_TICK_S, GROW_S = 0.01, 0.2
"""While a lane's stock grows to its workers' pace it is looked at this often, for so long after each growth."""
STALE_BELL_S = 2.0
"""A bell that comes later than this after its release is not rung: the workers' poll was there, or soon will be."""


def bell_size(released: int, asked: int, slots: int, most: int) -> int:
    """Job ids in one bell: the lane's most while a backlog waits, few when few wait, so that all slots share them.

    A release that got all it `asked` for has left others waiting behind it.
    """
    if released >= asked:
        return most
    return max(1, min(most, math.ceil(released / max(1, slots))))


MOST_IN_BELL = max(terms.bell_size for terms in TERMS.values())
MOST_BELLS = 2048
"""Unanswered messages in a lane (about 1 KB each), after which no more are rung."""


def decide(view: LaneView, least_stock: int, most_stock: int) -> Turn | None:
    """What to release in a lane after a look at it, between two bounds of its stock; None when there is nothing to.

    Whole bells as far as that goes: workers share themselves out between their lanes by the bell.
    """
    ran_dry = view.depth == 0 and 0 < view.stock <= view.left_then
    claimed = max(0, view.left_then - view.depth)
    wanted = stock_for(view.stock, claimed, view.elapsed_s, ran_dry=ran_dry)
    stock = min(most_stock, max(least_stock, wanted))
    room, bell = stock - view.depth, TERMS[view.lane].bell_size
    if room > bell:
        stock -= room % bell
    shares = share_out(stock - view.depth, view.queues, most_rounds=None if view.is_all else 1)
    return Turn(view=view, shares=shares, stock=stock) if shares.takes else None


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
        self._outbox = Outbox(settings, self._bells)
        self._nudged = asyncio.Event()
        self._stopped = asyncio.Event()
        self._ring_again_at_s = 0.0
        self._grows_until_s = 0.0
        self._wake_in_s: float | None = None
        self._is_idle = False

    def stop(self) -> None:
        """End the loop after its present turn."""
        self._stopped.set()
        self._nudged.set()

    async def run(self) -> None:
        """Release and sweep until stopped; a Postgres that is away is waited for."""
        hearing = asyncio.create_task(self._signals.hear(SUBMITTED, lambda _: self._nudged.set()))
        sweeping = asyncio.create_task(self._sweeper.run(self._stopped))
        adding_up = asyncio.create_task(Bookkeeper(self._sums).run(self._stopped))
        watching = asyncio.create_task(self._outbox.run(self._stopped))
        try:
            while not self._stopped.is_set():
                with meters.TICK_DURATION.time():
                    await self._turn()
                await self._rest()
        finally:
            hearing.cancel()
            await asyncio.wait({hearing, sweeping, adding_up, watching}, timeout=STOP_S)
            self._ringers.shutdown(wait=False, cancel_futures=True)
            await self._signals.close()
            await self._database.close()
            await self._endings.close()
            await self._sums.close()

    async def _rest(self) -> None:
        """Wait for a nudge or a tick: a nudge is a hint and may never come. Many nudges make one turn."""
        tick_s = self._settings.dispatcher.tick_ms / 1000 * (IDLE_TICKS if self._is_idle else 1)
        if time.monotonic() < self._grows_until_s:
            tick_s = min(tick_s, GROW_TICK_S)
        if self._wake_in_s is not None:
            tick_s = min(tick_s, max(0.0, self._wake_in_s))
        try:
            async with asyncio.timeout(tick_s):
                await self._nudged.wait()
        except TimeoutError:
            return
        await asyncio.sleep(NUDGE_S)
        self._nudged.clear()

    def _least_stock(self) -> int:
        """A job for each slot of a worker, twice, and two bells at least.

        Without Redis it is all there may be: what the poll finds has waited for seconds.
        """
        pace = self._settings.dispatcher
        if time.monotonic() < self._ring_again_at_s:
            return pace.depth
        return min(pace.depth, 2 * max(self._settings.worker.slots, MOST_IN_BELL))

    async def _turn(self) -> None:
        """Look, release what is due, and ring when the connection is given back."""
        try:
            async with self._database.statement() as connection:
                turns, released = await self._release(connection)
        except StoreUnavailable:
            log.warning("dispatcher: Postgres is away; trying again")
            await asyncio.sleep(1)
            return
        released_at_s = time.monotonic()
        if released:
            failpoints.hit("released")
        for turn in turns:
            if not (ids := released.get(turn.view.lane)):
                continue
            meters.RELEASED.labels(turn.view.lane.value).inc(len(ids))
            if turn.is_growing:
                self._grows_until_s = released_at_s + GROW_S
            size = bell_size(len(ids), turn.room, self._settings.worker.slots, TERMS[turn.view.lane].bell_size)
            bells = [ids[start : start + size] for start in range(0, len(ids), size)]
            await self._ring(turn.view.lane, bells, released_at_s)

    async def _release(self, connection: Connection) -> tuple[list[Turn], dict[Lane, list[UUID]]]:
        """One look at all lanes and one release, if there is anything to; wakes deferred jobs for the next turn."""
        least, most = self._least_stock(), self._settings.dispatcher.depth
        view = await release.look(connection, least)
        turns = [turn for lane in view.lanes if (turn := decide(lane, least, most)) is not None]
        released = {}
        if turns:
            failpoints.hit("looked")
            released = await release.release(connection, turns)
        self._wake_in_s = view.wake_in_s
        self._is_idle = not any(lane.depth or lane.queues for lane in view.lanes)
        if view.wake_in_s is not None and view.wake_in_s <= 0:
            await release.wake(connection)
            self._wake_in_s = 0.0
        return turns, released

    async def _ring(self, lane: Lane, bells: Sequence[list[UUID]], released_at_s: float) -> None:
        """Ring for released rows; without Redis the workers' poll finds them, so a failure is only noted."""
        if time.monotonic() < self._ring_again_at_s or not self._ringing.done():
            return
        try:
            self._ringing = self._ringers.submit(self._ring_all, lane, bells, released_at_s)
            ringing = asyncio.wrap_future(self._ringing)
            ringing.add_done_callback(_heard)
            async with asyncio.timeout(RING_S):
                await asyncio.shield(ringing)
        except (TimeoutError, OperationalError, OSError) as error:
            self._ring_again_at_s = time.monotonic() + 1.0
            meters.RINGS_FAILED.inc()
            log.warning("dispatcher: no bell could be rung (%s); workers poll", type(error).__name__)

    def _ring_all(self, lane: Lane, bells: Iterable[list[UUID]], released_at_s: float) -> None:
        if self._bells.depth(lane) >= MOST_BELLS:
            return  # nobody answers: more bells would only fill Redis, and whoever comes polls
        for bell in bells:
            if time.monotonic() - released_at_s > STALE_BELL_S:
                return
            self._bells.ring(lane, bell)


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
