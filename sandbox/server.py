"""The provider as an ASGI app: chat on three wires, the model list, and the doors to its faults and its log."""

import asyncio
import hmac
import itertools
import os
import random
import time
from collections.abc import Callable

import msgspec

from sandbox.answers import Desk
from sandbox.calls import CallLine, CallLog, now_s
from sandbox.delivery import Delivery, spoilt
from sandbox.exchange import BodyTooLarge, Exchange, Receive, Scope, Send
from sandbox.faults import FaultScript, InvalidFault
from sandbox.speech import Refusal
from sandbox.wires.base import MAX_BODY_BYTES, Wire
from sandbox.wires.openai import model_list
from sandbox.wires.registry import OPENAI, wire_of

JITTER_SHARE = 0.1
"""The base latency varies evenly by so much in either direction."""
CONTROL = "/_sandbox/"


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How this provider behaves when nothing is scripted."""

    name: str
    key: str | None = None
    """Wanted as each wire carries keys; None: anybody is served."""
    latency_ms: float = 0.0
    """Before the reply, or before the first chunk of a stream."""
    chunk_ms: float = 0.0
    seed: int = 0


class Provider:
    """The app. Wants `exchange.OpenHandedProtocol` as uvicorn's `http`, or it cannot drop connections."""

    def __init__(
        self, terms: Terms, desks: list[Desk], log: CallLog, on_ready: Callable[[], None] = lambda: None
    ) -> None:
        self._terms = terms
        self._desks = {desk.name: desk for desk in desks}
        self._log = log
        self._on_ready = on_ready
        self._faults = FaultScript(terms.seed)
        self._chance = random.Random(terms.seed)  # noqa: S311 - repeatable jitter, not secrecy
        self._serials = itertools.count(1)
        self._begun_s = int(time.time())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection's request, or the server's start and stop."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(Exchange(scope, receive, send))

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._on_ready()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._log.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, exchange: Exchange) -> None:
        if not exchange.path.startswith(CONTROL) and self._faults.refuses(time.monotonic()):
            await exchange.hang_up()
            return
        wire = wire_of(exchange.path) or OPENAI
        try:
            await self._route(exchange, wire)
        except Refusal as refusal:
            await self._refuse(exchange, wire, refusal)
        except InvalidFault as error:
            await self._refuse(exchange, wire, Refusal(400, str(error)))
        except BodyTooLarge:
            await self._refuse(exchange, wire, Refusal(413, f"The body is over {MAX_BODY_BYTES} bytes."))

    async def _refuse(self, exchange: Exchange, wire: Wire, refusal: Refusal) -> None:
        body, headers = wire.error(refusal)
        await exchange.reply(refusal.status, body, headers=headers)

    async def _route(self, exchange: Exchange, wire: Wire) -> None:
        match exchange.method, exchange.path:
            case "POST", path if wire_of(path) is not None:
                self._check_key(exchange, wire)
                await self._chat(exchange, wire)
            case "GET", "/v1/models":
                self._check_key(exchange, wire)
                await exchange.reply(200, model_list(dict.fromkeys(self._desks, self._begun_s), self._terms.name))
            case "GET" | "POST" | "DELETE", "/_sandbox/faults":
                await self._script(exchange)
            case "GET", "/_sandbox/calls":
                await exchange.open(200, b"application/x-ndjson")
                for chunk in self._log.read():
                    await exchange.part(chunk)
                await exchange.part(b"", is_last=True)
            case method, path:
                raise Refusal(404, f"Invalid URL ({method} {path})")

    def _check_key(self, exchange: Exchange, wire: Wire) -> None:
        given = wire.key(exchange.headers, exchange.query)
        if self._terms.key is not None and not hmac.compare_digest((given or "").encode(), self._terms.key.encode()):
            raise wire.wrong_key()

    async def _script(self, exchange: Exchange) -> None:
        if exchange.method == "POST":
            self._faults.add(await exchange.body(MAX_BODY_BYTES), time.monotonic())
        elif exchange.method == "DELETE":
            self._faults.clear()
        await exchange.reply(200, msgspec.json.encode({"faults": self._faults.listing(time.monotonic())}))

    async def _chat(self, exchange: Exchange, wire: Wire) -> None:
        line = CallLine(
            event="begin",
            time_s=now_s(),
            call=f"{wire.prefix}-{self._terms.name}-{os.getpid()}-{next(self._serials)}",
            request_id=exchange.header(b"x-client-request-id"),
        )
        try:
            ask = wire.parse(await exchange.body(MAX_BODY_BYTES), exchange.path, exchange.query)
            line = msgspec.structs.replace(line, model=ask.model, stream=ask.is_stream)
            reply = self._desk(ask.model).answer(ask)
        except Refusal as refusal:
            self._log.write(msgspec.structs.replace(line, event="refused", status=refusal.status))
            raise
        self._log.write(line)
        faults = self._faults.draw(ask.model, time.monotonic())
        await asyncio.sleep(self._latency_s(sum(f.add_ms for f in faults if f.kind == "latency")))
        fault = next((f for f in faults if f.kind != "latency"), None)
        delivery = Delivery(
            id=line.call,
            provider=self._terms.name,
            wire=wire,
            ask=ask,
            reply=spoilt(wire, ask, reply, fault),
            fault=fault,
            chunk_ms=self._terms.chunk_ms,
        )
        self._close_line(line, delivery, tuple(f.kind for f in faults))
        await delivery.send(exchange)

    def _close_line(self, line: CallLine, delivery: Delivery, faults: tuple[str, ...]) -> None:
        probability = delivery.reply.probability
        billed = delivery.billed
        self._log.write(
            msgspec.structs.replace(
                line,
                event="end",
                time_s=now_s(),
                status=delivery.status,
                label=delivery.reply.label,
                p=None if probability is None else round(probability, 6),
                input_tokens=billed.input,
                output_tokens=billed.output + billed.thought,
                faults=faults,
            )
        )

    def _desk(self, model: str) -> Desk:
        desk = self._desks.get(model)
        if desk is None:
            message = f"The model `{model}` does not exist or you do not have access to it."
            raise Refusal(404, message, param="model", code="model_not_found")
        return desk

    def _latency_s(self, added_ms: float) -> float:
        jitter = 1 + JITTER_SHARE * (2 * self._chance.random() - 1)
        return (self._terms.latency_ms * jitter + added_ms) / 1000
