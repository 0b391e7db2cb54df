"""Streams a chat completion: the job's pieces as OpenAI sends them, then its usage, then `[DONE]`.

The response begins with the first piece. Until then a job that fails has a status of its own, and one that fails over
does so unseen. What was shown cannot be unsaid: when another attempt begins after it, the stream ends with an error.
`[DONE]` is sent when the job is recorded as succeeded, never before.
"""

import time
from collections.abc import Sequence

import msgspec

from api.fronts.exchange import Exchange, headers_of, raw
from api.fronts.failures import BROKEN, Failed, failed
from api.presence import Presence
from api.sse import KEEP_ALIVE, KEEP_ALIVE_S, Outlet, comment, event
from jobs.chunks import UsageTeller, chunks_of
from jobs.ending import Ending
from jobs.states import State
from jobs.streams import Follower
from jobs.tokens import Entry

DONE = event(b"[DONE]")
END_PATIENCE_S = 1.0
"""A job that has ended has shown all its pieces, or does within this time: its signal may overtake the last ones."""


class Relay:
    """One stream; `run` returns when it has ended, or the failure of a job that ended before its first piece."""

    def __init__(self, exchange: Exchange, follower: Follower, outlet: Outlet, caller: Presence) -> None:
        self._exchange = exchange
        self._vigil = exchange.vigil
        self._follower = follower
        self._outlet = outlet
        self._caller = caller
        self._usage = UsageTeller(is_asked=exchange.ticket.wants_usage)
        self._shown: Entry | None = None
        """The last of what was shown."""
        self._ending: Ending | None = None
        self._ended_at_s = 0.0
        self._wrote_at_s = time.monotonic()

    async def run(self) -> Failed | None:
        """Show what comes until the job's end, or until nobody looks any more."""
        while not self._caller.is_gone:
            for entry in await self._follower.read():
                if self._shown is not None and entry.turn != self._shown.turn:
                    return await self._break_off(BROKEN)
                await self._show(entry)
            if self._ending is None:
                await self._look()
            if self._ending is not None and self._is_settled(self._ending):
                return await self._finish(self._ending)
            if self._ending is None and self._vigil.is_over:
                return await self._break_off(failed(None))
            await self._wait()
        await self._exchange.hang_up()
        return None

    async def _look(self) -> None:
        found = await self._vigil.look()
        if found is not None and found.state.is_terminal:
            self._ending, self._ended_at_s = found, time.monotonic() - found.ended_for_s
            if self._shown is None or not self._shown.is_end:
                self._follower.look_again()

    async def _wait(self) -> None:
        """Until something happens; a client that hears nothing for long gets a sign of life."""
        most_s = END_PATIENCE_S / 4 if self._ending is not None else KEEP_ALIVE_S
        await self._vigil.rest(most_s)
        if self._outlet.is_begun and time.monotonic() - self._wrote_at_s >= KEEP_ALIVE_S:
            await self._write(KEEP_ALIVE)

    def _is_settled(self, ending: Ending) -> bool:
        """Whether nothing more is to come of what the ended job shows."""
        if ending.state is not State.SUCCEEDED or self._shown is None or self._shown.attempt != ending.attempt:
            return True
        return self._shown.is_end or time.monotonic() - self._ended_at_s >= END_PATIENCE_S

    async def _finish(self, ending: Ending) -> Failed | None:
        """The end of the stream of an ended job: regular, or with its error."""
        if ending.state is not State.SUCCEEDED or ending.answer is None:
            return await self._break_off(failed(ending))
        if self._shown is None:
            await self._begin(ending.deployment)
            await self._show_chunks(chunks_of(ending.answer))
        elif self._shown.attempt != ending.attempt or not self._shown.is_end:
            return await self._break_off(BROKEN)
        usage = self._usage.last()
        told = headers_of(self._exchange.ticket.job_id, None, ending)
        tail = [event(usage)] if usage is not None else []
        await self._write(b"".join([*tail, comment(" ".join(f"{name}={told[name]}" for name in told)), DONE]))
        await self._outlet.end()
        return None

    async def _break_off(self, failure: Failed) -> Failed | None:
        """Nothing shown: the failure is the caller's to answer with. Else the stream ends with it."""
        if not self._outlet.is_begun:
            return failure
        await self._write(event(msgspec.json.encode({"error": failure.error(self._exchange.ticket.job_id)})))
        await self._outlet.end()
        return None

    async def _show(self, entry: Entry) -> None:
        if self._shown is None:
            await self._begin(entry.deployment)
        self._shown = entry
        await self._show_chunks(entry.chunks)
        self._ended_at_s = time.monotonic()  # patience begins when nothing comes, however slowly the client reads

    async def _show_chunks(self, chunks: Sequence[bytes]) -> None:
        shown = [event(told) for chunk in chunks if (told := self._usage.show(chunk)) is not None]
        if shown:
            await self._write(b"".join(shown))

    async def _begin(self, deployment: str | None) -> None:
        await self._outlet.begin(raw(headers_of(self._exchange.ticket.job_id, deployment)))

    async def _write(self, data: bytes) -> None:
        self._wrote_at_s = time.monotonic()
        await self._outlet.write(data)
