"""What the page shows, read and drawn for all viewers of a tenant together: ten open tabs cost as much as one."""

import asyncio
import datetime as dt
import uuid
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from api.page import view
from api.page.part import Part
from api.page.snapshot import Snapshot
from api.page.spending import Spending
from jobs.health import Health, HealthReader
from jobs.settings import Settings
from jobs.store import budgets, fleet, overview
from jobs.store.session import Connection, Database, StoreUnavailable
from routing.plan import Yard

FRESH_S = 2.0
"""Nothing is read or drawn twice within this time, however many look."""
WAIT_S = 6.0
"""Longest wait for Postgres: a frozen one is as good as away, and old figures must not pass for new ones."""
MOST_READINGS = 2
"""Connections of the process that the page uses at once; the others are for those who submit."""
MOST_TENANTS = 500
T = TypeVar("T")


async def in_time(asked: Awaitable[T], wait_s: float = WAIT_S) -> T:
    """The answer. Raises StoreUnavailable when it takes too long, and leaves the question to end by itself.

    Cancelling it then would not help: the driver then waits for a frozen Postgres, too.
    """
    asking = asyncio.ensure_future(asked)
    try:
        await asyncio.wait({asking}, timeout=wait_s)
    except asyncio.CancelledError:
        asking.cancel()
        raise
    if not asking.done():
        asking.add_done_callback(lambda late: late.cancelled() or late.exception())
        raise StoreUnavailable("the record took too long to answer")
    return asking.result()


class Watch:
    """What every tenant that is looked at sees; one for each API process."""

    def __init__(self, database: Database, health: HealthReader, settings: Settings, yard: Yard) -> None:
        self.fresh_s = FRESH_S
        self.wait_s = WAIT_S
        self._database = database
        self._policies = settings.policies
        self._yard = yard
        # Redis is asked, not Postgres, and it answers within two seconds or counts as away: no need to rest.
        self._health = Part(partial(health.read, settings.providers), fresh_s=FRESH_S, rest=0)
        self._turns = asyncio.Semaphore(MOST_READINGS)
        self._boards: dict[uuid.UUID, Board] = {}

    async def look(self, tenant_id: uuid.UUID) -> str:
        """The inside of the tenant's page, at most FRESH_S old where reading it is cheap. Raises StoreUnavailable."""
        page = self._board(tenant_id).page
        drawn = await page.get(self.wait_s)
        if drawn is None or page.is_reading:
            raise StoreUnavailable("the record took too long to answer")
        return drawn

    def _board(self, tenant_id: uuid.UUID) -> "Board":
        """The tenant's board. The one that was looked at longest ago makes room: who still waits for it gets it."""
        board = self._boards.pop(tenant_id, None)
        if board is None:
            if len(self._boards) >= MOST_TENANTS:
                del self._boards[next(iter(self._boards))]
            board = Board(tenant_id, self)
        self._boards[tenant_id] = board
        return board

    async def close(self) -> None:
        """Give up what is being read, and forget it all."""
        boards, self._boards = list(self._boards.values()), {}
        await self._health.close()
        for board in boards:
            await board.close()

    async def ask(self, question: Callable[[Connection], Awaitable[Any]]) -> Any:
        """Ask the record something, in turn. Raises StoreUnavailable."""
        async with self._turns, self._database.statement() as connection:
            return await question(connection)

    async def health(self) -> Health | None:
        """How the providers stand; None while nobody knows even that nobody knows."""
        return await self._health.get()

    def draw(self, seen: Snapshot) -> str:
        """A snapshot as HTML, at today's prices."""
        self._yard = self._yard.on(dt.datetime.now(dt.UTC).date())
        return view.draw(seen, self._policies, self._yard)


class Board:
    """The readings of one tenant, each at its own pace: what is dear to read is read less often."""

    def __init__(self, tenant_id: uuid.UUID, watch: Watch) -> None:
        self._tenant_id = tenant_id
        self._watch = watch
        self._now = dt.datetime.now(dt.UTC)
        self.page: Part[str] = Part(self._make, fresh_s=watch.fresh_s, rest=0)  # what it waits for rests by itself
        self._parts: dict[str, Part[Sequence[Any]]] = {
            "lanes": self._part(overview.lanes),
            "workers": self._part(lambda connection, _: fleet.live(connection)),
            "ended": self._part(overview.ended_by_minute, timed=True),
            "latencies": self._part(overview.latencies, timed=True),
            "failures": self._part(overview.newest_failures),
            "budgets": self._part(budgets.budgets_of),
            "spent": self._part(Spending().read, timed=True),
        }

    async def close(self) -> None:
        """Give up what is being read."""
        await self.page.close()
        for part in self._parts.values():
            await part.close()

    def _part(self, question: Callable[..., Awaitable[Sequence[Any]]], *, timed: bool = False) -> Part[Sequence[Any]]:
        """A question about this tenant; a timed one is also told the database's clock."""

        async def read() -> Sequence[Any]:
            more = (self._now,) if timed else ()
            found: Sequence[Any] = await self._watch.ask(
                lambda connection: question(connection, self._tenant_id, *more)
            )
            return found

        return Part(read)

    async def _make(self) -> str:
        pulse = await self._watch.ask(lambda connection: overview.pulse(connection, self._tenant_id))
        self._now = pulse.now
        readings = (self._unless_too_long(part) for part in self._parts.values())
        health, *found = await asyncio.gather(self._watch.health(), *readings)
        parts = dict(zip(self._parts, found, strict=True))
        return self._watch.draw(Snapshot(pulse=pulse, health=health, **parts))

    async def _unless_too_long(self, part: Part[Sequence[Any]]) -> Sequence[Any] | None:
        """A reading that Postgres broke off is missing from the page; the pulse has said that Postgres is there."""
        try:
            return await part.get()
        except StoreUnavailable:
            return None
