"""Puts a reply on the wire, or a scripted fault in its place."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from sandbox.answers import Reply
from sandbox.exchange import EVENTS, JSON, Exchange
from sandbox.faults import Fault
from sandbox.wire import DONE, ChatCall, Completion, completion_body, error_body, event, frames

NEVER_BILLED = frozenset({"status", "in_band_error"})


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A reply on its way out, with the fault that strikes it, if one does."""

    id: str
    provider: str
    call: ChatCall
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
    def billed(self) -> tuple[int, int]:
        """Input and output tokens, all choices together. Only a reported error is free."""
        if self.kind in NEVER_BILLED:
            return 0, 0
        return self.reply.input_tokens, len(self.reply.pieces) * self.call.choices

    @property
    def told(self) -> tuple[int, int] | None:
        """The usage that the caller is told."""
        given, made = self.billed
        if self.fault is None or self.kind != "wrong_usage":
            return given, made
        return {"absent": None, "negative": (-given, -made), "doubled": (2 * given, 2 * made)}[self.fault.usage]

    @property
    def completion(self) -> Completion:
        """What is said."""
        return Completion(
            id=self.id,
            created_s=int(time.time()),
            model=self.call.model,
            provider=self.provider,
            pieces=self.reply.pieces,
            finish_reason=self.reply.finish_reason,
            choices=self.call.choices,
            has_logprobs=bool(self.call.logprobs),
            usage=self.told,
        )

    async def send(self, exchange: Exchange) -> None:
        """Put it on the wire; returns when everything is handed over or the connection is gone."""
        step = _FAULTS.get(self.kind or "")
        if self.fault is not None and step is not None:
            await step(self, self.fault, exchange)
        elif self.call.stream:
            await exchange.open(200, EVENTS)
            await self._stream(exchange, self._frames())
            await exchange.part(b"", is_last=True)
        else:
            await exchange.reply(200, completion_body(self.completion))

    def _frames(self) -> list[bytes]:
        return frames(self.completion, with_usage=self.call.wants_usage_chunk)

    async def _stream(self, exchange: Exchange, chunks: Sequence[bytes]) -> None:
        for chunk in chunks:
            await exchange.part(chunk)
            if self.chunk_ms:
                await asyncio.sleep(self.chunk_ms / 1000)

    async def _refuse(self, fault: Fault, exchange: Exchange) -> None:
        headers = [] if fault.retry_after_s is None else [(b"retry-after", f"{fault.retry_after_s:g}".encode())]
        await exchange.reply(fault.status, _error(fault), headers=headers)

    async def _keep_silent(self, fault: Fault, exchange: Exchange) -> None:
        await exchange.gone()

    async def _cut(self, fault: Fault, exchange: Exchange) -> None:
        if self.call.stream:
            await exchange.open(200, EVENTS)
            await self._stream(exchange, self._frames()[: fault.after_chunks])
        else:
            body = completion_body(self.completion)
            await exchange.open(200, JSON, [(b"content-length", str(len(body)).encode())])
            await exchange.part(body[: len(body) // 2])
        await exchange.hang_up()

    async def _malform(self, fault: Fault, exchange: Exchange) -> None:
        if self.call.stream:
            await exchange.open(200, EVENTS)
            first, *_ = self._frames()
            await self._stream(exchange, [first, b'data: {"id": "chatcmpl-, "choices": [{\n\n', DONE])
            await exchange.part(b"", is_last=True)
        else:
            body = completion_body(self.completion)
            await exchange.reply(200, body[: len(body) // 2])

    async def _fail_inside(self, fault: Fault, exchange: Exchange) -> None:
        if self.call.stream:
            await exchange.open(200, EVENTS)
            await self._stream(exchange, self._frames()[: fault.after_chunks])
            await exchange.part(event(msgspec.json.decode(_error(fault))), is_last=True)
        else:
            await exchange.reply(200, _error(fault))


def _error(fault: Fault) -> bytes:
    return error_body(fault.status, f"Scripted fault of the sandbox: {fault.kind} {fault.status}", code=fault.code)


_FAULTS: dict[str, Callable[[Delivery, Fault, Exchange], Awaitable[None]]] = {
    "status": Delivery._refuse,  # noqa: SLF001 - the table of this class's own steps
    "silence": Delivery._keep_silent,  # noqa: SLF001
    "cut": Delivery._cut,  # noqa: SLF001
    "malformed": Delivery._malform,  # noqa: SLF001
    "in_band_error": Delivery._fail_inside,  # noqa: SLF001
}
