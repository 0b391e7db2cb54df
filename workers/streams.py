"""Shows answers while they come: the pieces of streamed attempts, on their way into their jobs' token streams."""

import asyncio
import uuid
from collections.abc import Sequence

from jobs.job import Job
from jobs.streams import Line, RedisAway, TokenStreams, Written
from jobs.tokens import Entry, Place
from routing.dialects.base import Delta
from routing.eligibility import Step
from routing.plan import Plan
from routing.showing import may_be_shown
from routing.standing import Past

COALESCE_S = 0.008
"""Pieces that come within this time leave together. The first of a stream that was silent leaves at once."""
AGAIN_S = 0.5
"""After a write that found Redis away."""
MOST_REFUSALS = 3
"""A stream that Redis will not take so often in a row is not written any more; its reader is told the stored answer."""
CLOSE_S = 1.0


class Tokens:
    """What one attempt shows. All of it is kept until the attempt is over, to be written again after a loss of Redis.

    Nothing leaves before the first piece with content: a call that breaks earlier has shown nothing.
    """

    def __init__(self, sender: "Sender", job_id: uuid.UUID, turn: int, deployment: str) -> None:
        self._sender = sender
        self.job_id = job_id
        self._turn = turn
        self._deployment = deployment
        self._attempt = uuid.UUID(int=0)
        self._chunks: list[bytes] = []
        self._has_content = False
        self._is_whole = False
        self.written = 0
        """Pieces that are in the stream, the end included."""
        self.is_unsure = False
        """What is in the stream must be looked up before more is written."""
        self.refusals = 0
        """By Redis, one after the other."""
        self.is_over = False

    @property
    def has_news(self) -> bool:
        """Whether something is not written yet."""
        is_shown = self._has_content and self.refusals < MOST_REFUSALS
        return is_shown and self.written < len(self._chunks) + self._is_whole

    def take(self, attempt: uuid.UUID, delta: Delta) -> None:
        """A piece came."""
        self._attempt = attempt
        self._chunks.append(delta.chunk)
        self._has_content |= delta.has_content
        if self.has_news:
            self._sender.due(self)

    def end(self, *, is_whole: bool) -> None:
        """The call is over; `is_whole`: with an answer, not with a failure."""
        self.is_over = True
        self._is_whole = is_whole
        if self.has_news:
            self._sender.due(self)

    def line(self) -> Line:
        """What is not written yet, as one entry."""
        chunks = tuple(self._chunks[self.written :])
        entry = Entry(self._turn, self.written + 1, self._attempt, self._deployment, chunks, self._is_whole)
        return Line(self.job_id, entry, is_first=self.written == 0)

    def reckon(self, last: Place) -> None:
        """Go on behind what is in the stream; where a later attempt has written, this one shows no more."""
        self.written = last.seq if last.turn == self._turn else 0
        self.refusals = MOST_REFUSALS if last.turn > self._turn else self.refusals
        self.is_unsure = False

    def told(self, line: Line, written: Written) -> None:
        """What became of a line."""
        if written is Written.YES:
            self.written, self.refusals = line.entry.last.seq, 0
            return
        self.is_unsure = True
        self.refusals += written is Written.STALE


class Sender:
    """A process's one writer: the pieces of all its attempts of one moment leave in one round trip."""

    def __init__(self, streams: TokenStreams) -> None:
        self._streams = streams
        self._due: dict[int, Tokens] = {}
        self._task: asyncio.Task[None] | None = None

    def open(self, job: Job, plan: Plan, past: Past, step: Step) -> Tokens | None:
        """Where an attempt shows its answer; None: nobody asked, or it may yet be rejected for a better one.

        Such an answer is told whole when the job has ended, from the record.
        """
        if not job.request.wants_stream or not may_be_shown(plan, past, step):
            return None
        return Tokens(self, job.id, len(past) + 1, step.id)

    def due(self, tokens: Tokens) -> None:
        """Write what these have not written yet, soon."""
        self._due[id(tokens)] = tokens
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._send_all())

    async def _send_all(self) -> None:
        try:
            while self._due:
                batch, self._due = list(self._due.values()), {}
                await asyncio.sleep(COALESCE_S if await self._send(batch) else AGAIN_S)
        finally:
            self._task = None

    async def _send(self, batch: Sequence[Tokens]) -> bool:
        """One round of writing; False when Redis is away. What is over is then given up: the record has it."""
        try:
            for tokens in batch:
                if tokens.is_unsure:
                    tokens.reckon(await self._streams.last(tokens.job_id))
            lines = [(tokens, tokens.line()) for tokens in batch if tokens.has_news]
            told = await self._streams.append([line for _, line in lines]) if lines else []
        except RedisAway:
            for tokens in batch:
                tokens.is_unsure = True
            self._again([tokens for tokens in batch if not tokens.is_over])
            return False
        for (tokens, line), written in zip(lines, told, strict=True):
            tokens.told(line, written)
        self._again([tokens for tokens, _ in lines if tokens.is_unsure])
        return True

    def _again(self, unwritten: Sequence[Tokens]) -> None:
        self._due |= {id(tokens): tokens for tokens in unwritten}

    async def aclose(self) -> None:
        """Let what is on its way arrive, and give the connections back."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=CLOSE_S)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._streams.aclose()
