"""Delivers webhooks: claims what is due, signs it, sends it through the guarded door, and books what came of it.

At least once: an event whose worker died is sent again under the same id when its lease runs out.
"""

import asyncio
import contextlib
import datetime as dt
import logging
import random
import time
from collections.abc import Callable
from typing import Any

import msgspec

from jobs import failpoints, ids, meters
from jobs.settings import Webhooks
from jobs.store import deliveries, webhooks
from jobs.store.deliveries import Due, Share, Try
from jobs.store.session import Database, StoreUnavailable
from routing.webhooks import QUIET_AFTER, Fate, Reply, fate, pause_s, signature, wait_s, why_disabled
from workers.door import Door

log = logging.getLogger(__name__)
BOOK_AGAIN_S = (0.2, 1.0, 3.0)
"""A try that can't be booked goes out again, so a short absence of Postgres is waited for."""
AWAY_S = 1.0
ERROR_CHARACTERS = 200


def payload(due: Due) -> bytes:
    """What is sent, the same bytes at every try: type, time of the event, and its data with ids in the outside form."""
    told: dict[str, Any] = {}
    if due.job_id is not None:
        told = {"id": ids.show("job", due.job_id), "object": "job"}
        told["batch_id"] = ids.show("batch", due.batch_id) if due.batch_id is not None else None
    elif due.batch_id is not None:
        told = {"id": ids.show("batch", due.batch_id), "object": "batch"}
    moment = due.created_at.astimezone(dt.UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
    return msgspec.json.encode({"type": due.type, "timestamp": moment, "data": told | due.data})


def headers(due: Due, body: bytes, timestamp_s: int) -> dict[str, str]:
    """Standard Webhooks' three headers, and what a receiver's logs want to see."""
    event_id = ids.show("evt", due.id)
    return {
        "content-type": "application/json",
        "user-agent": "tokenyard-webhooks",
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": signature(due.secrets, event_id, timestamp_s, body),
    }


def _result(reply: Reply) -> str:
    """A try in a word, for the metrics."""
    if fate(reply) is Fate.DELIVERED:
        return "delivered"
    return "no_answer" if reply.status is None else "refused"


class Deliverer:
    """One per process: `run` until `drain`. A bell calls `nudge`; without bells it looks every `poll_s`."""

    def __init__(
        self, database: Database, door: Door, settings: Webhooks, chance: Callable[[], float] = random.random
    ) -> None:
        self._database = database
        self._door = door
        self._settings = settings
        self._chance = chance
        self._nudged = asyncio.Event()
        self._draining = False
        self._in_flight: set[asyncio.Task[None]] = set()

    def nudge(self) -> None:
        """Look now. From the loop's own thread."""
        self._nudged.set()

    @property
    def in_flight(self) -> int:
        """Deliveries on their way."""
        return len(self._in_flight)

    async def run(self) -> None:
        """Claim and send until drained; whatever one look met, the next one comes."""
        while not self._draining:
            self._nudged.clear()
            try:
                await self.claim()
            except StoreUnavailable:
                log.warning("webhooks: Postgres is away; trying again")
                await asyncio.sleep(AWAY_S)
            except Exception:  # a border: the next look must come
                log.exception("webhooks: a look failed")
                await asyncio.sleep(AWAY_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.poll_s):
                    await self._nudged.wait()

    async def claim(self) -> int:
        """Take what is due, as far as there is room, and send it; returns how many. Raises StoreUnavailable."""
        room = self._settings.concurrency - len(self._in_flight)
        if room <= 0 or self._draining:
            return 0
        share = Share(
            most=room,
            most_each=self._settings.concurrency_per_endpoint,
            quiet_after=QUIET_AFTER,
            lease_s=self._settings.lease_s,
        )
        async with self._database.transaction() as connection:
            due = await deliveries.claim(connection, share)
        for each in due:
            failpoints.hit("webhook_claimed")
            task = asyncio.create_task(self.deliver(each, time.monotonic()))
            self._in_flight.add(task)
            task.add_done_callback(self._after)
        return len(due)

    async def drain(self, limit_s: float) -> None:
        """Take nothing new and let what is on its way arrive; what does not is sent again when its lease runs out."""
        self._draining = True
        self._nudged.set()
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=limit_s)

    async def deliver(self, due: Due, claimed_at_s: float) -> None:
        """Send one claimed delivery and book the try."""
        started_s = time.monotonic()
        body = payload(due)
        timestamp_s = int(due.now_s + started_s - claimed_at_s)
        reply = await self._door.post(due.url, headers(due, body, timestamp_s), body)
        failpoints.hit("webhook_answered")
        latency_s = time.monotonic() - started_s
        latency_ms = round(latency_s * 1000)
        meters.WEBHOOK_DURATION.observe(latency_s)
        meters.WEBHOOK_TRIES.labels(_result(reply)).inc()
        for pause in BOOK_AGAIN_S:
            try:
                await self._book(due, reply, latency_ms)
            except StoreUnavailable:
                await asyncio.sleep(pause)
            else:
                return
        await self._book(due, reply, latency_ms)

    async def _book(self, due: Due, reply: Reply, latency_ms: int) -> None:
        """One transaction: the try, its delivery's next time, and how its endpoint stands. Raises StoreUnavailable."""
        async with self._database.transaction() as connection:
            standing = await deliveries.standing(connection, due.webhook_id)
            if standing is None:
                return  # deleted, and its deliveries with it
            is_delivered = fate(reply) is Fate.DELIVERED
            made = Try(
                due=due,
                delivered=is_delivered,
                wait_s=None if is_delivered else wait_s(due.step + 1, reply, self._chance()),
                pause_s=0.0 if is_delivered else pause_s(standing.failures + 1, reply, self._chance()),
                status=reply.status,
                error=reply.error[:ERROR_CHARACTERS] if reply.error is not None else None,
                latency_ms=latency_ms,
            )
            if not await deliveries.settle(connection, made) or is_delivered:
                return
            reason = why_disabled(reply, standing.failing_s)
            if reason is None or not await webhooks.disable(connection, due.webhook_id, reason):
                return
        log.warning("webhooks: %s is disabled: %s", ids.show("wh", due.webhook_id), reason)
        async with self._database.statement() as connection:
            await webhooks.hold(connection, due.webhook_id)

    def _after(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._nudged.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("webhooks: a delivery was not booked and will be made again", exc_info=error)
