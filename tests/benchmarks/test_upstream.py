"""The upstream: a valid answer to every call, never early, over connections that stay open and come in pieces."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, cast

import aiohttp
import pytest
from openai.types.chat import ChatCompletion

from benchmarks.prompts import body, prompts
from benchmarks.upstream import ANSWER, COMPLETION, Provider, request_bytes

DELAY_MS = 40


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    argv = [sys.executable, "-m", "benchmarks.upstream", "--delay-ms", str(DELAY_MS)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(cast("Any", process.stdout).readline())
        finally:
            process.terminate()


def stats(port: int) -> Any:
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=5)) as client:
        client.sendall(b"GET /stats HTTP/1.1\r\n\r\n")
        return json.loads(read_reply(client))


def read_reply(client: socket.socket) -> bytes:
    head, _, found = client.recv(65536).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    length = int(head.rpartition(b"content-length: ")[2])
    while len(found) < length:
        found += client.recv(65536)
    assert len(found) == length
    return found


async def test_many_calls_at_once_are_all_answered_and_counted(port):
    before = stats(port)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

        async def call(prompt: str) -> Any:
            async with session.post("/v1/chat/completions", json=body(prompt, "bench-1")) as reply:
                assert reply.status == 200
                return await reply.json()

        answers = await asyncio.gather(*map(call, prompts(50)))
        again = await call("once more, over a connection that is open already")
    after = stats(port)
    assert [*answers, again] == [COMPLETION] * 51
    assert after["calls"] - before["calls"] == 51
    assert 1 <= after["peak"] <= 51
    assert after["held"] == 0


class HandCrankedLoop:
    """A loop whose clock stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        self.due.append((when, callback))

    def move_to(self, now: float) -> None:
        self.now = now
        ready, self.due = [c for w, c in self.due if w <= now], [(w, c) for w, c in self.due if w > now]
        for callback in ready:
            callback()


class Recorder:
    """A client's end that keeps what it is sent."""

    def __init__(self, *, left: bool = False) -> None:
        self.received: list[bytes] = []
        self._left = left

    def is_closing(self) -> bool:
        return self._left

    def write(self, data: bytes) -> None:
        self.received.append(data)


def test_no_answer_is_early_and_each_call_has_its_own_delay():
    loop: Any = HandCrankedLoop()
    first, second = Recorder(), Recorder()
    provider = Provider(0.2, loop)
    provider.hold(cast("Any", first))
    loop.move_to(100.1)
    provider.hold(cast("Any", second))
    loop.move_to(100.199)
    assert (first.received, second.received) == ([], [])
    loop.move_to(100.2)
    assert (first.received, second.received) == ([ANSWER], [])
    loop.move_to(100.3)
    assert second.received == [ANSWER]


def test_a_client_that_left_is_sent_nothing_and_the_next_is_answered():
    loop: Any = HandCrankedLoop()
    gone, here = Recorder(left=True), Recorder()
    provider = Provider(0.2, loop)
    for client in (gone, here):
        provider.hold(cast("Any", client))
    loop.move_to(100.2)
    assert (gone.received, here.received) == ([], [ANSWER])


def test_a_request_in_pieces_is_one_call(port):
    before = stats(port)["calls"]
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=5)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (b"POST / HTTP/1.1\r\nCont", b"ent-Length: 4\r\n", b"\r\n{", b"}  "):
            client.sendall(piece)
        assert json.loads(read_reply(client)) == COMPLETION
    assert stats(port)["calls"] == before + 1


def test_its_answer_is_a_completion_as_openai_s_own_client_reads_it():
    completion: Any = ChatCompletion.model_validate(COMPLETION, strict=True)
    assert completion.choices[0].logprobs.content[0].logprob < 0
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens


@pytest.mark.parametrize(
    ("data", "length"),
    [
        (b"POST / HTTP/1.1\r\n", None),
        (b"GET / HTTP/1.1\r\n\r\n", 18),
        (b"POST / HTTP/1.1\r\nCONTENT-LENGTH:\t3\r\n\r\n", 41),
        (b"POST / HTTP/1.1\r\n\r\nContent-Length: 9\r\n", 19),
    ],
)
def test_the_length_of_a_request_is_that_of_its_head_and_body(data, length):
    assert request_bytes(data) == length
