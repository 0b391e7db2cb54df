"""Calls a chat-completions endpoint in a closed loop and tells how long each call took.

    python -m benchmarks.callers URL --concurrency 10 --seconds 5 [--stream] [--header NAME=VALUE ...]

Marks once: `latencies_ms` of all calls that began in time, `elapsed_s`, and with `--stream` `token_delays_ms`: from the
moment that a token left the provider (its text says when) to its arrival here, on the same machine's clock.
"""

import argparse
import asyncio
import time
from collections.abc import Mapping

import aiohttp
import msgspec
import uvloop

from benchmarks import cue
from benchmarks.prompts import body, prompts

WARM_UP_CALLS = 3
"""Of each caller, before the word: connections are open then."""
CALL_TIMEOUT_S = 60.0


class Chunk(msgspec.Struct):
    """The part of a chunk that is looked at."""

    choices: list["Piece"] = []


class Piece(msgspec.Struct):
    """One choice's piece."""

    delta: dict[str, object] = {}


class Findings:
    """What the callers saw."""

    def __init__(self) -> None:
        self.latencies_ms: list[float] = []
        self.token_delays_ms: list[float] = []
        self.failures: list[str] = []


_chunks = msgspec.json.Decoder(Chunk)


class Caller:
    """Sends one request after the other."""

    def __init__(self, session: aiohttp.ClientSession, url: str, content: bytes, *, is_stream: bool) -> None:
        self._session = session
        self._url = url
        self._content = content
        self._is_stream = is_stream

    async def call(self, found: Findings) -> None:
        """One call, to its last byte."""
        began_s = time.perf_counter()
        async with self._session.post(self._url, data=self._content) as reply:
            if reply.status != 200:
                found.failures.append(f"{reply.status}: {(await reply.text())[:300]}")
                return
            if self._is_stream:
                await self._listen(reply, found)
            else:
                await reply.read()
        found.latencies_ms.append((time.perf_counter() - began_s) * 1000)

    async def _listen(self, reply: aiohttp.ClientResponse, found: Findings) -> None:
        async for line in reply.content:
            if not line.startswith(b"data: {"):
                continue
            now_ns = time.time_ns()
            for piece in _chunks.decode(line[6:]).choices:
                for stamp in str(piece.delta.get("content") or "").split():
                    found.token_delays_ms.append((now_ns - int(stamp)) / 1e6)

    async def repeat(self, until_s: float, found: Findings) -> None:
        """Call until the time is over; the last call is finished."""
        while time.perf_counter() < until_s:
            await self.call(found)


async def main(url: str, concurrency: int, seconds: float, headers: Mapping[str, str], *, is_stream: bool) -> None:
    """Warm up, wait for the word, call, tell."""
    asked = body(prompts(1)[0], "bench/bench-1")
    asked.pop("logprobs", None)
    if is_stream:
        asked["stream"] = True
    content = msgspec.json.encode(asked)
    timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
    connector = aiohttp.TCPConnector(limit=0)
    named = {"content-type": "application/json", **headers}
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=named) as session:
        callers = [Caller(session, url, content, is_stream=is_stream) for _ in range(concurrency)]
        warm = Findings()
        for _ in range(1 if is_stream else WARM_UP_CALLS):
            await asyncio.gather(*(caller.call(warm) for caller in callers))
        cue.wait_for_go()
        found, began_s = Findings(), time.perf_counter()
        await asyncio.gather(*(caller.repeat(began_s + seconds, found) for caller in callers))
        elapsed_s = time.perf_counter() - began_s
        cue.mark(
            latencies_ms=found.latencies_ms,
            token_delays_ms=found.token_delays_ms,
            failures=found.failures[:5],
            failed=len(found.failures),
            elapsed_s=elapsed_s,
        )
        await asyncio.to_thread(cue.rest)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--header", action="append", default=[], metavar="NAME=VALUE")
    chosen = parser.parse_args()
    given = dict(header.split("=", 1) for header in chosen.header)
    uvloop.run(main(chosen.url, chosen.concurrency, chosen.seconds, given, is_stream=chosen.stream))
