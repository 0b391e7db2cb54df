"""One attempt: through the gate, onto the ledger, over the wire, and back as a closing."""

import asyncio
import logging
import time
from collections.abc import Iterable
from decimal import Decimal

import msgspec
from msgspec.structs import astuple

from jobs import failpoints
from jobs.chat import Adaptation, Answer, ChatRequest, Usage
from jobs.failures import Failure, FailureKind
from jobs.ids import show
from jobs.job import Job
from jobs.states import Outcome
from jobs.store.rows import Closing
from jobs.store.uuid7 import uuid7
from routing.cascade import confidence
from routing.catalog import Target
from routing.checks import Expected, Flaw, expected, unmended
from routing.dialects.base import Asking, Delta, StreamDecoder, Unsupported, WireRequest
from routing.dialects.errors import over_limit
from routing.dialects.registry import accent_of, dialect_of
from routing.dialects.wording import Wording
from routing.eligibility import Step, counter
from routing.emulated_answers import check_answer
from routing.emulation import Emulation, carry, emulation_of
from routing.fit import fitted
from routing.limits import Refusal
from routing.plan import Plan
from routing.timeouts import clocks
from workers import transport
from workers.clocks import TokenClock, call_failure
from workers.gate import Entry
from workers.ledger_rows import opening_of
from workers.parts import Parts
from workers.streams import Tokens
from workers.transport import Outgoing

log = logging.getLogger(__name__)
UNSENT = frozenset({FailureKind.UNREACHABLE, FailureKind.UNSUPPORTED})
"""Failures of calls whose bytes never left."""
DEFECT = Failure(
    FailureKind.INTERNAL, "a defect of Tokenyard; the worker's log has it under this attempt's id", code="defect"
)
CUT = Failure(FailureKind.CANCELLED, "the call was cut, or never made")

PROMPT = ("messages", "tools", "functions", "response_format")
"""Parts of the request that are counted as its input."""
OFF_LOOP_BYTES = 100_000
"""A larger answer is checked in a thread."""
REQUEST_SENT_S = 0.05
"""The failpoint `request_sent` strikes so long after a call began: the bytes have left, the answer has not come."""


MOST_TOKENS = 2**31 - 1
"""What the ledger's columns hold; no call comes near it."""


def believable(usage: Usage | None) -> Usage | None:
    """Usage that can be true; nonsense counts as not reported, so its cost is unknown."""
    if usage is None or max(count or 0 for count in astuple(usage)) > MOST_TOKENS:
        return None
    return usage


class Made(msgspec.Struct, frozen=True):
    """An attempt that was made: what came back, and its closing (the outcome is the verdict's to change)."""

    result: Answer | Failure
    closing: Closing
    step: Step
    adaptations: tuple[Adaptation, ...]
    flaw: Flaw | None = None
    """Why the answer can't be used."""


class Correction(msgspec.Struct, frozen=True):
    """A request that shows the model its answer before."""

    request: ChatRequest
    shown: Adaptation
    step: Step
    """As it is with the longer prompt."""


class Attempt:
    """Makes one call of a job.

    `call` returns Made, or the Refusal of the gate or of a budget; raises LostLease before any spending.
    """

    def __init__(self, parts: Parts, job: Job, plan: Plan, step: Step, tokens: Tokens | None = None) -> None:
        """`tokens`: where its answer is shown while it comes."""
        self._parts = parts
        self._tokens = tokens
        self._job = job
        self._plan = plan
        self._step = step
        self.id = uuid7()
        self._provider = parts.settings.providers[step.deployment.provider]
        self._dialect = dialect_of(step.deployment.provider, self._provider)
        self._began_s = 0.0
        self._first_token_s: float | None = None
        self._is_open = False
        self._has_left = False
        """Whether any byte of the call may have left."""
        self._known: Closing | None = None
        self._correction: Correction | None = None
        self._request = job.request
        """As it is sent: cut to a window, or with the answer before."""
        self._adaptations: tuple[Adaptation, ...] = ()
        self._mended: tuple[Adaptation, ...] = ()
        self._flaw: Flaw | None = None
        self._wanted: Expected | None = None
        self._emulation: Emulation | None = None
        accent, refuted = accent_of(step.deployment.provider, self._provider), parts.refuted(step.deployment.id)
        self._target = Target(step.deployment, step.model, accent, refuted)

    def correct(self, correction: Correction) -> None:
        """Show the model its answer before, and why it could not be used."""
        self._correction, self._step = correction, correction.step

    async def call(self, time_left_s: float) -> Made | Refusal:
        """Enter the gate, write the ledger row, call, and come back; `time_left_s` is to the job's deadline."""
        deployment = self._step.deployment
        tokens = self._step.input_tokens + self._step.output_tokens_bound
        entry = await self._parts.gate.enter(
            deployment, tokens, self._plan.policy.timeout_s, is_urgent=self._parts.is_urgent(self._job)
        )
        if isinstance(entry, Refusal):
            return entry
        result: Answer | Failure | None = None
        try:
            if refusal := await self._open():
                return refusal
            with self._parts.telemetry.calling(self._job, self.id, self._step) as called:
                result, closing = await self._guarded(entry, time_left_s)
                self._known = closing
                called.ended(closing, result)
        finally:
            if self._tokens is not None:
                self._tokens.end(is_whole=self._may_stand(result) and not self._mended)
            await self._leave(entry, result)
        adaptations = (*self._adaptations, *self._mended)
        return Made(result, closing, self._step, adaptations, self._flaw)

    async def _guarded(self, entry: Entry, time_left_s: float) -> tuple[Answer | Failure, Closing]:
        """What came back, checked, and its closing. A border: a defect of ours costs this attempt, and not its job."""
        try:
            return await self._made(entry, time_left_s)
        except Exception:
            log.exception("a defect of ours ended the call")
        self._flaw, self._mended = None, ()
        if self._known is None:
            return DEFECT, self._closing_of_failure(DEFECT)
        # The answer had come: its bill is known, and it stays in the record.
        return DEFECT, msgspec.structs.replace(self._known, outcome=Outcome.FAILED, failure=DEFECT.kind)

    async def _made(self, entry: Entry, time_left_s: float) -> tuple[Answer | Failure, Closing]:
        wire = self._encode()
        result = self._sized(await self._send(wire, entry, time_left_s))
        self._known = self._closing(result)  # its bill, should we be stopped while the answer is checked
        if self._teach(wire, result) and isinstance(result, Failure):
            result = msgspec.structs.replace(result, kind=FailureKind.FIELD_REFUSED)
        result = await self._checked(result)
        return result, self._closing(result)

    def _sized(self, result: Answer | Failure) -> Answer | Failure:
        """A rate limit below what this request itself needs is no rate limit: no waiting mends it."""
        if isinstance(result, Answer):
            return result
        asked = self._request.max_output_tokens or 0
        return over_limit(result, self._step.least_input_tokens, asked * self._request.choices)

    def _may_stand(self, result: Answer | Failure | None) -> bool:
        """Whether an answer may be the job's: there is something in it, and nothing wrong with it."""
        return isinstance(result, Answer) and not result.is_empty and self._flaw is None

    async def _checked(self, result: Answer | Failure) -> Answer | Failure:
        """The answer, mended where that was needed and could be done."""
        wanted = self._wanted
        if wanted is None or isinstance(result, Failure) or result.is_empty:
            return result
        if len(result.body) > OFF_LOOP_BYTES:
            found = await asyncio.to_thread(check_answer, self._emulation, wanted, result)
        else:
            found = check_answer(self._emulation, wanted, result)
        if self._job.strict and found.adaptations:
            found = unmended(result)
        self._flaw, self._mended = found.flaw, found.adaptations
        return found.answer

    def _teach(self, wire: WireRequest | Unsupported, result: Answer | Failure) -> bool:
        """What was billed for a prompt that left as it came says how this deployment counts; a 400, what it lacks.

        Returns whether it lacks a field that the call had: made again, the call leaves without that.
        """
        if isinstance(wire, Unsupported):
            return False
        usage = believable(result.usage) if isinstance(result, Answer) else None
        input_tokens, guess = usage.input_tokens if usage is not None else None, self._step.guess
        is_as_it_came = not any(change.field.startswith(PROMPT) for change in wire.adaptations)
        if input_tokens is not None and guess is not None and is_as_it_came:
            self._parts.saw_usage(self._step.id, guess, input_tokens)
        dialect = self._provider.dialect
        return self._parts.saw_end(dialect, self._target, self._request, wire.adaptations, result)

    def cut(self) -> Closing | None:
        """The closing of a call that we cut ourselves; None when none was open. It may have been billed."""
        if not self._is_open:
            return None
        if self._known is not None:
            return self._known  # it had come back when we were stopped: its true bill is booked
        return Closing(
            id=self.id,
            outcome=Outcome.CANCELLED,
            cost_basis="none" if self._step.bound_usd is None else "estimate",
            total_ms=self._ms(),
        )

    async def _open(self) -> Refusal | None:
        """Write the attempt; a Refusal when a budget has no room for it. Raises LostLease, StoreUnavailable."""
        opening = opening_of(self.id, self._job, self._step)
        # Shielded: a cancellation now must not leave us ignorant of whether the row was written.
        written = self._parts.openings.put(opening, at_once=self._parts.is_urgent(self._job))
        try:
            opened = await asyncio.shield(written)
        except asyncio.CancelledError:
            self._is_open = await written
            raise
        if not opened and (refusal := await self._parts.refused(opening)):
            return refusal
        self._is_open = True
        failpoints.hit("attempt_opened")
        return None

    def _encode(self) -> WireRequest | Unsupported:
        failpoints.taste(self._job.request.raw)
        policy, step = self._plan.policy, self._step
        shown: tuple[Adaptation, ...]
        if self._correction is not None:
            request, shown = self._correction.request, (self._correction.shown,)
        else:
            request, shown = fitted(self._job.request, step.room, policy.on_overflow, counter(step.fit))
        self._request = request
        self._wanted = expected(self._job.request)
        asking = Asking(needs_logprobs=policy.min_confidence is not None)
        emulation = emulation_of(request, policy, step.model)
        if isinstance(emulation, Unsupported):
            return emulation
        self._emulation = emulation
        wire = carry(self._dialect, emulation or request, self._target, asking)
        if not isinstance(wire, Unsupported):
            self._adaptations = (*shown, *wire.adaptations)
        return wire

    def _wording(self, *, is_json_told: bool) -> Wording:
        """How the texts of this call's answers are read."""
        asks_for_json = self._wanted is not None and self._wanted.is_json
        is_emulated = self._emulation is not None and bool(self._emulation.terms.names)
        return Wording(
            dialect=self._provider.dialect,
            accent=self._target.accent,
            is_json=is_json_told or asks_for_json or is_emulated,
            is_fenced=is_json_told,
            choices=self._job.request.choices,
        )

    def _outgoing(self, wire: WireRequest, entry: Entry, time_left_s: float) -> Outgoing | None:
        """The call with its clocks and its key; None when the deadline has come."""
        limits = clocks(self._plan.policy.timeout_s, time_left_s, is_stream=wire.is_stream)
        if limits is None:
            return None
        headers = {**wire.headers, "x-client-request-id": show("att", self.id)}
        if entry.secret is not None:
            headers |= self._dialect.key_headers(entry.secret)
        return Outgoing(
            url=self._provider.base_url + wire.path,
            headers=headers,
            body=wire.body,
            clocks=transport.Clocks(limits.connect_s, limits.first_byte_s, limits.idle_s, limits.total_s),
            http2=self._provider.http2,
        )

    async def _send(self, wire: WireRequest | Unsupported, entry: Entry, time_left_s: float) -> Answer | Failure:
        if isinstance(wire, Unsupported):
            return Failure(FailureKind.UNSUPPORTED, f"{wire.field}: {wire.reason}")
        outgoing = self._outgoing(wire, entry, time_left_s)
        self._began_s = time.monotonic()
        if outgoing is None:
            return Failure(FailureKind.UNREACHABLE, "the deadline came before the call")
        if failpoints.is_armed("request_sent"):
            asyncio.get_running_loop().call_later(REQUEST_SENT_S, failpoints.hit, "request_sent")
        self._has_left = True
        wording = self._wording(is_json_told=wire.is_json_told)
        if wire.is_stream:
            return await self._stream(outgoing, wording)
        reply = await self._parts.transport.send(outgoing)
        return reply if isinstance(reply, Failure) else wording.whole(self._dialect.decode(reply))

    async def _stream(self, outgoing: Outgoing, wording: Wording) -> Answer | Failure:
        """Read a streamed answer; a cut stream is what its decoder says it is, never a success."""
        async with self._parts.transport.stream(outgoing) as reply:
            if isinstance(reply, Failure):
                return reply
            if reply.status != 200:
                whole = await reply.whole()
                return whole if isinstance(whole, Failure) else self._dialect.classify(whole)
            decoder = wording.stream(self._dialect.decode_stream())
            tokens = TokenClock()
            async for piece in reply:
                if isinstance(piece, Failure):
                    return piece
                if self._feed(decoder, piece):
                    tokens.came()
                elif tokens.is_over:
                    return call_failure(FailureKind.TIMEOUT, "no_tokens")
        self._show(decoder.end())
        return decoder.finish()

    def _feed(self, decoder: StreamDecoder, piece: bytes) -> bool:
        """Show what came; returns whether any of it has content."""
        return self._show(decoder.feed(piece))

    def _show(self, deltas: Iterable[Delta]) -> bool:
        has_content = False
        for delta in deltas:
            if self._tokens is not None:
                self._tokens.take(self.id, delta)
            has_content |= delta.has_content
            if delta.has_content and self._first_token_s is None:
                self._first_token_s = time.monotonic()
                failpoints.hit("mid_stream")
        return has_content

    async def _leave(self, entry: Entry, result: Answer | Failure | None) -> None:
        usage = result.usage if isinstance(result, Answer) else None
        # A call that was cut says nothing of its provider: neither good nor bad.
        failure = None if isinstance(result, Answer) else result or CUT
        used = usage.total_tokens if usage else None
        leaving = self._parts.gate.leave(entry, failure, used)
        if entry.reservation is None:
            await leaving  # no round trip: it can't be cut in the middle
            return
        task = asyncio.ensure_future(leaving)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await task
            raise

    def _closing(self, result: Answer | Failure) -> Closing:
        if isinstance(result, Failure):
            return self._closing_of_failure(result)
        usage, price = believable(result.usage), self._step.price
        cost = price.of(usage) if usage and price else None
        failure = FailureKind.EMPTY_ANSWER if result.is_empty else self._flaw.failure.kind if self._flaw else None
        return Closing(
            id=self.id,
            outcome=Outcome.REJECTED if failure is None else Outcome.FAILED,
            failure=failure,
            finish_reason=result.finish_reason,
            confidence=confidence(result),
            usage=usage,
            cost_usd=cost,
            cost_basis=self._basis(cost),
            first_token_ms=self._first_token_ms(),
            total_ms=self._ms(),
            answer=result.body,
        )

    def _closing_of_failure(self, failure: Failure) -> Closing:
        unsent = failure.kind in UNSENT or failure.code == "illegal_request" or not self._has_left
        # An error inside a 200 may have come when half the answer was made: what that cost is not known.
        cost = Decimal(0) if unsent or (failure.status or 0) >= 400 else None
        return Closing(
            id=self.id,
            outcome=Outcome.NOT_SENT if unsent else Outcome.FAILED,
            failure=failure.kind,
            status=failure.status,
            cost_usd=cost,
            cost_basis=self._basis(cost),
            first_token_ms=self._first_token_ms(),
            total_ms=self._ms(),
        )

    def _basis(self, cost: Decimal | None) -> str:
        if cost is not None:
            return "usage"
        return "none" if self._step.bound_usd is None else "estimate"

    def _first_token_ms(self) -> int | None:
        return round((self._first_token_s - self._began_s) * 1000) if self._first_token_s is not None else None

    def _ms(self) -> int:
        return round((time.monotonic() - self._began_s) * 1000) if self._began_s else 0
