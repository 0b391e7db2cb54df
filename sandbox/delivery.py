"""Puts a reply on the wire, or a scripted fault in its place."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from sandbox.answers import emptied, spoilt_arguments, spoilt_json
from sandbox.exchange import EVENTS, JSON, Exchange
from sandbox.faults import Fault
from sandbox.speech import Ask, Refusal, Reply, Said, Tokens
from sandbox.wires.base import Wire

NEVER_BILLED = frozenset({"status", "in_band_error"})


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A reply on its way out, with the fault that strikes it, if one does."""

    id: str
    provider: str
    wire: Wire
    ask: Ask
    reply: Reply
    fault: Fault | None
    chunk_ms: float
    """Pause between two chunks of a stream."""

    @property
    def kind(self) -> str | None:
        """The fault's kind."""
        return self.fault.kind if self.fault else None

    @property
    def status(self) -> int | None:
        """The HTTP status that leaves; None when nothing does."""
        if self.kind == "silence":
            return None
        return self.fault.status if self.fault and self.kind == "status" else 200

    @property
    def billed(self) -> Tokens:
        """Tokens of all choices together. Only a reported error is free."""
        return Tokens(0, 0) if self.kind in NEVER_BILLED else self.reply.used(self.ask.choices)

    @property
    def told(self) -> Tokens | None:
        """The usage that the caller is told."""
        if self.fault is None or self.kind != "wrong_usage":
            return self.billed
        return {"absent": None, "negative": self.billed.times(-1), "doubled": self.billed.times(2)}[self.fault.usage]

    @property
    def said(self) -> Said:
        """What is said."""
        return Said(
            id=self.id,
            created_s=int(time.time()),
            provider=self.provider,
            ask=self.ask,
            reply=self.reply,
            usage=self.told,
        )

    async def send(self, exchange: Exchange) -> None:
        """Put it on the wire; returns when everything is handed over or the connection is gone."""
        step = _FAULTS.get(self.kind or "")
        if self.fault is not None and step is not None:
            await step(self, self.fault, exchange)
        elif self.ask.is_stream:
            await exchange.open(200, EVENTS)
            await self._stream(exchange, self._frames())
            await exchange.part(b"", is_last=True)
        else:
            await exchange.reply(200, self.wire.body(self.said))

    def _frames(self) -> list[bytes]:
        return self.wire.frames(self.said)

    async def _stream(self, exchange: Exchange, chunks: Sequence[bytes]) -> None:
        for chunk in chunks:
            await exchange.part(chunk)
            if self.chunk_ms:
                await asyncio.sleep(self.chunk_ms / 1000)

    async def _refuse(self, fault: Fault, exchange: Exchange) -> None:
        body, headers = self.wire.error(_refusal(fault), fault.retry_after_s)
        await exchange.reply(fault.status, body, headers=headers)

    async def _keep_silent(self, fault: Fault, exchange: Exchange) -> None:
        await exchange.gone()

    async def _cut(self, fault: Fault, exchange: Exchange) -> None:
        if self.ask.is_stream:
            await exchange.open(200, EVENTS)
            await self._stream(exchange, self._frames()[: fault.after_chunks])
        else:
            body = self.wire.body(self.said)
            await exchange.open(200, JSON, [(b"content-length", str(len(body)).encode())])
            await exchange.part(body[: len(body) // 2])
        await exchange.hang_up()

    async def _malform(self, fault: Fault, exchange: Exchange) -> None:
        if self.ask.is_stream:
            await exchange.open(200, EVENTS)
            first, *_ = self._frames()
            await self._stream(exchange, [first, self.wire.torn_frame(), self.wire.last_frame()])
            await exchange.part(b"", is_last=True)
        else:
            body = self.wire.body(self.said)
            await exchange.reply(200, body[: len(body) // 2])

    async def _fail_inside(self, fault: Fault, exchange: Exchange) -> None:
        if self.ask.is_stream:
            await exchange.open(200, EVENTS)
            await self._stream(exchange, self._frames()[: fault.after_chunks])
            await exchange.part(self.wire.error_frame(_refusal(fault)), is_last=True)
        else:
            body, _ = self.wire.error(_refusal(fault))
            await exchange.reply(200, body)


def spoilt(wire: Wire, ask: Ask, reply: Reply, fault: Fault | None) -> Reply:
    """The reply as a fault of its content makes it; other faults leave it alone."""
    in_syntax = fault is not None and fault.breaks == "syntax"
    match fault:
        case Fault(kind="empty"):
            return emptied(reply)
        case Fault(kind="bad_json"):
            return spoilt_json(ask, reply, in_syntax=in_syntax)
        case Fault(kind="bad_arguments"):
            return spoilt_arguments(ask, reply, in_syntax=in_syntax and wire.is_text(is_stream=ask.is_stream))
    return reply


def _refusal(fault: Fault) -> Refusal:
    message = f"Scripted fault of the sandbox: {fault.kind} {fault.status}"
    return Refusal(fault.status, message, code=fault.code)


_FAULTS: dict[str, Callable[[Delivery, Fault, Exchange], Awaitable[None]]] = {
    "status": Delivery._refuse,  # noqa: SLF001 - the table of this class's own steps
    "silence": Delivery._keep_silent,  # noqa: SLF001
    "cut": Delivery._cut,  # noqa: SLF001
    "malformed": Delivery._malform,  # noqa: SLF001
    "in_band_error": Delivery._fail_inside,  # noqa: SLF001
}
