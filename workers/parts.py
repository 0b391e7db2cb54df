"""What a job needs of its worker, in one value; `workers.bootstrap` chooses the real things."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from decimal import Decimal
from typing import Any

from jobs import meters
from jobs.chat import Adaptation, Answer, ChatRequest
from jobs.ending import Ending
from jobs.failures import Failure
from jobs.job import Job
from jobs.lanes import Lane
from jobs.settings import Settings
from jobs.signals import Signals
from jobs.store import budgets
from jobs.store.direct import Direct, Lines
from jobs.store.flush import Flush
from jobs.store.lifecycle import open_attempts, settle
from jobs.store.rows import Move, Opening
from jobs.store.session import ANSWER_TIMEOUT_S, Database, StoreUnavailable
from jobs.streams import TokenStreams
from routing.allowance import Ceiling, wait_for
from routing.catalog import Target
from routing.limits import Refusal
from routing.plan import Plan, UnknownName
from routing.tokens import InputEstimate
from workers.gate import Gate
from workers.leases import Leases
from workers.streams import Sender
from workers.telemetry import Telemetry
from workers.transport import Transport

SawEnd = Callable[[str, Target, ChatRequest, tuple[Adaptation, ...], Answer | Failure], bool]
"""Dialect, target, request, what was changed of it, and what came back."""


class LostLease(Exception):
    """The job has moved on without this worker: nothing more may be spent on it here."""


class Parts:
    """The worker's parts, as the runner and the attempts see them."""

    def __init__(
        self,
        settings: Settings,
        claims: Lines,
        record: Database,
        gate: Gate,
        transport: Transport,
        signals: Signals,
    ) -> None:
        self.settings = settings
        self.claims = claims
        self._record = record
        self.gate = gate
        self.signals = signals
        self.leases = Leases(settings.worker.lease_s)
        window_s = settings.worker.flush_ms / 1000
        self._lines = Direct(settings.database_url, answer_timeout_s=ANSWER_TIMEOUT_S)
        self.openings: Flush[Opening, uuid.UUID] = Flush(
            self._lines, open_attempts, lambda row: row.id, window_s=window_s, told=meters.flushed("openings")
        )
        self.moves: Flush[Move, uuid.UUID] = Flush(
            self._lines, settle, lambda row: row.token, window_s=window_s, told=meters.flushed("moves")
        )
        self.telemetry = Telemetry(settings)
        self.tokens = Sender(TokenStreams(settings.redis_url))
        self.background: list[Callable[[], Coroutine[Any, Any, None]]] = []
        """What runs for ever beside the jobs, on the worker's loop."""
        self.closers: list[Callable[[], Awaitable[None]]] = []
        self.plan: Callable[[Job], Plan | UnknownName]
        self.share_limits: Callable[[int], None] = lambda _: None
        """Told how many workers live: while Redis is away each keeps that share of the providers' limits."""
        self.saw_usage: Callable[[str, InputEstimate, int], None] = lambda *_: None
        """Told of the input tokens that a deployment billed for a prompt."""
        self.refuted: Callable[[str], frozenset[str]] = lambda _: frozenset()
        """Fields that a deployment does not take for now."""
        self.saw_end: SawEnd = lambda *_: False
        """Told how a call ended; whether that corrected what is known of its deployment."""
        self.transport = transport
        self._ended: dict[uuid.UUID, Ending | None] = {}

    async def refused(self, opening: Opening) -> Refusal | None:
        """Why an attempt was not written: a budget without room, or (None) it is there after all.

        Raises LostLease, StoreUnavailable.
        """
        async with self._record.statement() as connection:
            found = await budgets.in_the_way(connection, opening)
            if not found:
                raise LostLease
            if await budgets.is_written(connection, opening):
                return None
            ceilings = [
                Ceiling(each.id, each.cap_usd, each.settled_usd, each.reserved_usd, each.ends_in_s) for each in found
            ]
            wait = wait_for(ceilings, opening.cost_bound_usd)
            if wait.exhausted:
                await budgets.exhaust(connection, wait.exhausted)
        return wait.refusal

    async def look_again(self, job_id: uuid.UUID, bound_usd: Decimal) -> None:
        """Let a job just sent to wait for a budget go on, if the cap was raised while the job was still in hand here.

        Postgres away: the job waits as it was told to.
        """
        with suppress(StoreUnavailable):
            async with self._record.statement() as connection:
                await budgets.go_on(connection, job_id, bound_usd)

    def is_urgent(self, job: Job) -> bool:
        """Whether its rows are written at once instead of waiting for company."""
        return job.lane is Lane.INTERACTIVE

    def announce(self, job_id: uuid.UUID, ending: Ending | None = None) -> None:
        """Tell the waiters that a job has ended; endings of one commit, heard of in one turn, share a message."""
        if not self._ended:
            asyncio.get_running_loop().call_soon(self._tell)
        self._ended[job_id] = ending

    def _tell(self) -> None:
        ended, self._ended = self._ended, {}
        if ended:
            self.signals.tell_endings(ended)

    async def close(self) -> None:
        """Say what is still unsaid, then give all connections back."""
        self._tell()
        await self.transport.aclose()
        for close in self.closers:
            await close()
        await self.tokens.aclose()
        await self.signals.close()
        await asyncio.to_thread(self.telemetry.close)
        await self.claims.close()
        await self._lines.close()
        await self._record.close()
