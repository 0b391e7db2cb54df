"""A provider that costs next to nothing: answers every POST with one fixed chat.completion, N ms after it came.

A call with `"stream": true` gets tokens instead, each of which says when it left: nanoseconds of the machine's clock.

    python -m benchmarks.upstream --delay-ms 200       # prints its port, serves until SIGTERM

A bare `asyncio.Protocol` on uvloop. It knows just enough HTTP/1.1 for the clients here: keep-alive, bodies with a
Content-Length, no pipelining. `GET /stats` says how many calls came, how many it holds, and how many at most it held.
"""

import argparse
import asyncio
import json
import re
import signal
import time
from collections import deque
from typing import Any, cast

import uvloop

COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-bench",
    "object": "chat.completion",
    "created": 1_790_000_000,
    "model": "bench-1",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "card_arrival", "refusal": None},
            "logprobs": {
                "content": [
                    {"token": "card", "logprob": -0.02, "bytes": None, "top_logprobs": []},
                    {"token": "_arrival", "logprob": -0.01, "bytes": None, "top_logprobs": []},
                ],
                "refusal": None,
            },
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 200, "completion_tokens": 2, "total_tokens": 202},
}
TOKENS, TOKEN_GAP_S = 50, 0.02
"""A stream's tokens, and the time between two: fifty a second, as a brisk model speaks."""
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
IS_STREAM = re.compile(rb'"stream":\s*true')
HEAD_END = b"\r\n\r\n"
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)


def reply(body: bytes) -> bytes:
    """A whole HTTP/1.1 200 with a JSON body."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


ANSWER = reply(json.dumps(COMPLETION).encode())


def request_bytes(data: bytes | bytearray) -> int | None:
    """Length in bytes of the request at the front of `data`, head and body; None while its head is not whole."""
    head_end = data.find(HEAD_END)
    if head_end < 0:
        return None
    found = CONTENT_LENGTH.search(data, 0, head_end)
    return head_end + len(HEAD_END) + (int(found[1]) if found else 0)


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    """One chat.completion.chunk as an HTTP/1.1 chunk."""
    head = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": "bench-1"}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return framed(b"data: " + json.dumps({**head, "choices": [choice]}).encode() + b"\n\n")


def framed(data: bytes) -> bytes:
    """An HTTP/1.1 chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


USAGE_CHUNK = framed(
    b'data: {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1790000000, "model": "bench-1",'
    b' "choices": [], "usage": {"prompt_tokens": 200, "completion_tokens": 50, "total_tokens": 250}}\n\n'
)


async def speak(transport: asyncio.Transport, delay_s: float) -> None:
    """A stream: each token's text is the time at which it leaves, in ns, and a space."""
    await asyncio.sleep(delay_s)
    transport.write(STREAM_HEAD + chunk({"role": "assistant", "content": ""}))
    for _ in range(TOKENS):
        await asyncio.sleep(TOKEN_GAP_S)
        if transport.is_closing():
            return
        transport.write(chunk({"content": f"{time.time_ns()} "}))
    transport.write(chunk({}, "stop") + USAGE_CHUNK + framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")


class Provider:
    """Holds calls and answers each when it is due. One delay for all, so they fall due in the order they came."""

    def __init__(self, delay_s: float, loop: asyncio.AbstractEventLoop) -> None:
        self._delay_s = delay_s
        self._loop = loop
        self._held: deque[tuple[float, asyncio.Transport]] = deque()
        self._streams: set[asyncio.Task[None]] = set()
        self._calls = 0
        self._peak = 0

    def hold(self, transport: asyncio.Transport) -> None:
        """Take a call; one timer serves all that are held, the cheapest way to wait."""
        due_s = self._loop.time() + self._delay_s
        self._held.append((due_s, transport))
        self._calls += 1
        self._peak = max(self._peak, len(self._held))
        if len(self._held) == 1:
            self._loop.call_at(due_s, self._answer_due)

    def stream(self, transport: asyncio.Transport) -> None:
        """Answer a call in tokens."""
        self._calls += 1
        task = self._loop.create_task(speak(transport, self._delay_s))
        self._streams.add(task)
        task.add_done_callback(self._streams.discard)

    def stats(self) -> bytes:
        """The reply to `GET /stats`."""
        counts = {"calls": self._calls, "held": len(self._held), "peak": self._peak}
        return reply(json.dumps(counts).encode())

    def _answer_due(self) -> None:
        now = self._loop.time()
        while self._held and self._held[0][0] <= now:
            transport = self._held.popleft()[1]
            if not transport.is_closing():
                transport.write(ANSWER)
        if self._held:
            self._loop.call_at(self._held[0][0], self._answer_due)


class Connection(asyncio.Protocol):
    """One client's connection; a request may come in pieces."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._transport: asyncio.Transport | None = None
        self._waiting = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back; uvloop's transports are no subclasses of asyncio's, so only the types need the word."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take the request once it is whole. Most come in one piece and are not copied."""
        whole: bytes | bytearray = data
        if self._waiting:
            self._waiting += data
            whole = self._waiting
        length = request_bytes(whole)
        if length is None or len(whole) < length:
            if whole is data:
                self._waiting += data
            return
        if self._transport is not None:
            if whole.startswith(b"POST"):
                speaks = IS_STREAM.search(whole) is not None
                (self._provider.stream if speaks else self._provider.hold)(self._transport)
            else:
                self._transport.write(self._provider.stats())
        self._waiting = bytearray()


async def serve(delay_ms: float, port: int) -> None:
    """Serve on 127.0.0.1 until SIGTERM or SIGINT; prints the port (0: any free one) when it serves."""
    loop = asyncio.get_running_loop()
    provider = Provider(delay_ms / 1000, loop)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = await loop.create_server(lambda: Connection(provider), "127.0.0.1", port, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await stopped.wait()
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay-ms", type=float, default=200.0)
    parser.add_argument("--port", type=int, default=0)
    chosen = parser.parse_args()
    uvloop.run(serve(chosen.delay_ms, chosen.port))
