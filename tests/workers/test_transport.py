"""The transport against real servers on loopback that behave, break off, stay silent or send garbage."""

import asyncio
import contextlib
import gzip
import importlib.util
import socket
from collections.abc import AsyncIterator

import pytest
import uvloop

from jobs.failures import Failure, FailureKind
from routing.dialects.base import WireReply
from tests.workers.server import Answering, Server, falls_silent_after, sends, serving
from workers.clocks import SENTENCES
from workers.transport import (
    LARGE_BODY_BYTES,
    Clocks,
    Http2Unavailable,
    Outgoing,
    RealCallRefused,
    Transport,
    WireStream,
    is_loopback,
)

SHORT_S = 0.05
LONG_S = 30.0
PATIENT = Clocks(connect_s=LONG_S, first_byte_s=LONG_S, idle_s=LONG_S, total_s=LONG_S)
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def ok(body: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers, b"", body])


def call(url: str, clocks: Clocks = PATIENT, body: bytes = b"", **headers: str) -> Outgoing:
    return Outgoing(url, {name.replace("_", "-"): value for name, value in headers.items()}, body, clocks)


@contextlib.asynccontextmanager
async def transport(max_body_bytes: int = 1_000_000) -> AsyncIterator[Transport]:
    async with Transport(allow_real=False, max_body_bytes=max_body_bytes) as carrier:
        yield carrier


async def outcome(answer: Answering, clocks: Clocks = PATIENT) -> WireReply | Failure:
    async with serving(answer) as server, transport() as carrier:
        return await carrier.send(call(server.url, clocks))


async def failure(answer: Answering, clocks: Clocks = PATIENT) -> tuple[FailureKind, str | None]:
    failed = await outcome(answer, clocks)
    assert isinstance(failed, Failure), failed
    return failed.kind, failed.code


async def test_a_reply_comes_back_whole_with_lower_case_headers():
    reply = await outcome(sends(ok(b'{"a": 1}', b"X-Request-Id: req_1", b"Set-Cookie: a=b")))
    assert isinstance(reply, WireReply)
    assert (reply.status, reply.body, reply.headers["x-request-id"]) == (200, b'{"a": 1}', "req_1")


async def test_the_request_leaves_as_it_was_given_and_nothing_is_added_that_matters():
    async with serving(sends(ok(b"{}", b"Set-Cookie: a=b"))) as server, transport() as carrier:
        await carrier.send(call(server.url, body=b'{"x": "\xc3\xa9"}', authorization="Bearer k", content_type="a/b"))
        await carrier.send(call(server.url, body=b"{}"))
        line, *headers = server.heads[0].decode().strip().split("\r\n")
        assert line == "POST /v1/chat/completions HTTP/1.1"
        assert {header.split(":")[0].lower() for header in headers} == {
            *("host", "authorization", "content-type", "content-length"),
            *("accept", "accept-encoding", "user-agent"),
        }
        assert "accept-encoding: identity" in server.heads[0].decode().lower()
        assert server.bodies == [b'{"x": "\xc3\xa9"}', b"{}"]
        assert b"cookie" not in server.heads[1].lower()
        assert server.connections == 1


async def test_a_large_request_body_arrives_whole():
    body = b"x" * (LARGE_BODY_BYTES * 4 + 1)
    async with serving(sends(ok(b"{}"))) as server, transport() as carrier:
        reply = await carrier.send(call(server.url, body=body))
        assert isinstance(reply, WireReply)
        assert server.bodies == [body]


@pytest.mark.parametrize("status", [302, 401, 429, 500])
async def test_every_status_is_a_reply_and_no_redirect_is_followed(status):
    head = f"HTTP/1.1 {status} X\r\nlocation: /elsewhere\r\ncontent-length: 1\r\n\r\n!".encode()
    async with serving(sends(head)) as server, transport() as carrier:
        reply = await carrier.send(call(server.url, body=b"{}"))
        assert isinstance(reply, WireReply)
        assert (reply.status, reply.body, len(server.heads)) == (status, b"!", 1)


async def test_a_refused_port_is_unreachable():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        async with transport() as carrier:
            failed = await carrier.send(call(f"http://127.0.0.1:{held.getsockname()[1]}/"))
    assert isinstance(failed, Failure)
    assert (failed.kind, failed.code) == (FailureKind.UNREACHABLE, "no_connection")


async def test_tls_with_a_server_that_speaks_none_is_unreachable():
    async with serving(sends(b"")) as server, transport() as carrier:
        listening = server.url.replace("http:", "https:")
        silent = await carrier.send(call(listening, clocks_with(connect_s=SHORT_S)))
        assert isinstance(silent, Failure)
        assert (silent.kind, silent.code) == (FailureKind.UNREACHABLE, "connect")


def clocks_with(**changes: float) -> Clocks:
    return Clocks(**{"connect_s": LONG_S, "first_byte_s": LONG_S, "idle_s": LONG_S, "total_s": LONG_S, **changes})


async def test_each_clock_tells_its_name():
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n"
    timeout = FailureKind.TIMEOUT
    assert await failure(falls_silent_after(), clocks_with(first_byte_s=SHORT_S)) == (timeout, "first_byte")
    assert await failure(falls_silent_after(), clocks_with(total_s=SHORT_S)) == (timeout, "total")
    assert await failure(falls_silent_after(head), clocks_with(idle_s=SHORT_S)) == (timeout, "idle")
    assert await failure(falls_silent_after(head, b"half"), clocks_with(idle_s=SHORT_S)) == (timeout, "idle")
    assert await failure(falls_silent_after(head, b"half"), clocks_with(total_s=SHORT_S)) == (timeout, "total")


async def test_a_stream_without_end_is_stopped_by_the_total_clock_or_the_size():
    async def drips(_server: Server, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        while not writer.is_closing():
            writer.write(b"5\r\n: ka\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.001)

    assert await failure(drips, clocks_with(total_s=0.2)) == (FailureKind.TIMEOUT, "total")


@pytest.mark.parametrize("head", [CHUNKED, b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n"])
async def test_a_huge_body_is_cut_at_the_cap(head):
    async def floods(_server: Server, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        piece = b"x" * 65_536
        while not writer.is_closing():
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if head is CHUNKED else piece)
            await writer.drain()

    assert await failure(floods) == (FailureKind.MALFORMED, "body_too_large")


async def test_a_compressed_reply_is_refused_unread():
    bomb = gzip.compress(b"\0" * 10_000_000)
    assert await failure(sends(ok(bomb, b"Content-Encoding: gzip"))) == (FailureKind.MALFORMED, "content_encoding")
    plain = await outcome(sends(ok(b"{}", b"Content-Encoding: Identity")))
    assert isinstance(plain, WireReply)


@pytest.mark.parametrize("garbage", [b"garbage\r\n\r\n", b"HTTP/9.9 what\r\n\r\n", b"\x00\xff\r\n", b"<html>\n\n"])
async def test_what_is_not_http_is_malformed(garbage):
    assert await failure(sends(garbage, close=True)) == (FailureKind.MALFORMED, "not_http")


async def test_a_connection_closed_before_any_reply_may_have_been_billed():
    lost = (FailureKind.TRANSIENT, "connection_lost")
    assert await failure(sends(close=True)) == lost
    assert await failure(sends(b"HTTP/1.1 200 OK\r\ncont", close=True)) == lost


@pytest.mark.parametrize(
    "cut",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        CHUNKED,
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhel",
    ],
)
async def test_a_body_that_breaks_off_is_truncated(cut):
    assert await failure(sends(cut, close=True)) == (FailureKind.TRUNCATED, "connection_lost")


async def test_garbage_between_chunks_is_a_failure_whenever_it_comes():
    garbage = b"ZZZ\r\nnot a chunk\r\n"
    assert await failure(sends(CHUNKED + garbage, close=True)) == (FailureKind.MALFORMED, "not_http")
    step = asyncio.Event()

    async def later(_server: Server, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + b"3\r\none\r\n")
        await step.wait()
        writer.write(garbage)

    async with (
        serving(later) as server,
        transport() as carrier,
        carrier.stream(call(server.url, clocks_with(idle_s=SHORT_S), b"{}")) as reply,
    ):
        assert isinstance(reply, WireStream)
        assert await anext(reply) == b"one"
        step.set()
        assert isinstance(broken := await anext(reply), Failure)
        assert (broken.kind, broken.code) == (FailureKind.TIMEOUT, "idle")


async def test_a_reset_in_mid_body_is_truncated():
    async def resets(_server: Server, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + b"5\r\nhello\r\n")
        await writer.drain()
        writer.transport.abort()

    assert await failure(resets) == (FailureKind.TRUNCATED, "connection_lost")


async def test_a_stream_gives_bytes_as_they_come_and_then_the_failure():
    step = asyncio.Event()

    async def steps(_server: Server, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + b"3\r\none\r\n")
        await step.wait()
        writer.write(b"3\r\ntwo\r\n")
        await writer.drain()
        writer.close()

    async with serving(steps) as server, transport() as carrier, carrier.stream(call(server.url, body=b"{}")) as reply:
        assert isinstance(reply, WireStream)
        assert (reply.status, reply.headers["transfer-encoding"]) == (200, "chunked")
        assert await anext(reply) == b"one"
        step.set()
        rest = [piece async for piece in reply]
        assert rest[:-1] == [b"two"]
        assert isinstance(rest[-1], Failure)
        assert (rest[-1].kind, rest[-1].status) == (FailureKind.TRUNCATED, 200)
        assert [piece async for piece in reply] == []


async def test_an_error_status_of_a_stream_is_read_as_a_whole():
    answer = sends(b"HTTP/1.1 429 X\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\n{}")
    async with serving(answer) as server, transport() as carrier, carrier.stream(call(server.url)) as reply:
        assert isinstance(reply, WireStream)
        whole = await reply.whole()
        assert isinstance(whole, WireReply)
        assert (whole.status, whole.headers["retry-after"], whole.body) == (429, "7", b"{}")


async def test_a_stream_to_nowhere_is_a_failure_in_the_same_place():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/"
        async with transport() as carrier, carrier.stream(call(url)) as reply:
            assert isinstance(reply, Failure)
            assert reply.kind is FailureKind.UNREACHABLE


@pytest.mark.parametrize("pieces", [(), (CHUNKED,), (CHUNKED, b"3\r\none\r\n")])
async def test_cancelling_frees_the_connection_at_once(pieces):
    async with serving(falls_silent_after(*pieces)) as server, transport() as carrier:
        sending = [asyncio.create_task(carrier.send(call(server.url))) for _ in range(20)]
        await server.until(lambda: server.open == 20)
        for task in sending:
            task.cancel()
        ended = await asyncio.gather(*sending, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended)
        await server.until(lambda: server.open == 0)


async def test_leaving_a_stream_early_frees_the_connection():
    async with serving(falls_silent_after(CHUNKED, b"3\r\none\r\n")) as server, transport() as carrier:
        async with carrier.stream(call(server.url)) as reply:
            assert isinstance(reply, WireStream)
            assert await anext(reply) == b"one"
        await server.until(lambda: server.open == 0)
        assert [piece async for piece in reply] == []


async def test_a_failed_call_does_not_spoil_the_next_one():
    answers = iter([sends(CHUNKED + b"5\r\nhel", close=True), sends(ok(b"{}"))])

    async def one_after_the_other(server: Server, writer: asyncio.StreamWriter) -> None:
        await next(answers)(server, writer)

    async with serving(one_after_the_other) as server, transport() as carrier:
        assert isinstance(await carrier.send(call(server.url, body=b"{}")), Failure)
        assert isinstance(await carrier.send(call(server.url, body=b"{}")), WireReply)


async def test_two_hundred_calls_at_once_all_come_back():
    async with serving(sends(ok(b"{}"))) as server, transport() as carrier:
        replies = await asyncio.gather(*(carrier.send(call(server.url, body=b"{}")) for _ in range(200)))
        assert all(isinstance(reply, WireReply) for reply in replies)


@pytest.mark.parametrize("url", ["https://api.openai.com/v1", "http://10.0.0.1/", "http://localhost.example.com/"])
async def test_a_call_beyond_loopback_is_impossible_unless_allowed(url):
    async with transport() as carrier:
        with pytest.raises(RealCallRefused):
            await carrier.send(call(url))


def test_loopback_is_an_address_not_a_guess():
    assert all(map(is_loopback, ["localhost", "127.0.0.1", "127.8.8.8", "::1"]))
    assert not any(map(is_loopback, ["", "0.0.0.0", "169.254.169.254", "localhost.", "127.1", "::ffff:10.0.0.1"]))


async def test_the_proxy_of_the_environment_is_ignored(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert isinstance(await outcome(sends(ok(b"{}"))), WireReply)


@pytest.mark.parametrize("key", ["Bearer k\r\nx-evil: 1", "Bearer k\n"])
async def test_a_header_that_cannot_be_written_is_told_and_not_sent(key):
    async with serving(sends(ok(b"{}"))) as server, transport() as carrier:
        failed = await carrier.send(call(server.url, authorization=key))
        assert isinstance(failed, Failure)
        assert (failed.kind, failed.code) == (FailureKind.INTERNAL, "illegal_request")
        assert server.heads == []
        assert "Bearer" not in failed.message


async def test_an_address_that_is_none_is_told():
    async with transport() as carrier:
        failed = await carrier.send(call("http://127.0.0.1:notaport/"))
        assert isinstance(failed, Failure)
        assert failed.code == "illegal_request"


@pytest.mark.skipif(importlib.util.find_spec("h2") is not None, reason="the package for HTTP/2 is here")
async def test_http2_without_its_package_says_what_to_install():
    async with transport() as carrier:
        with pytest.raises(Http2Unavailable, match="httpx2\\[http2\\]"):
            await carrier.send(Outgoing("https://127.0.0.1:1/", {}, b"", PATIENT, http2=True))


def test_it_runs_on_uvloop():
    async def both() -> tuple[object, object]:
        return await outcome(sends(ok(b"{}"))), await failure(sends(CHUNKED, close=True))

    reply, failed = uvloop.run(both())
    assert isinstance(reply, WireReply)
    assert failed == (FailureKind.TRUNCATED, "connection_lost")


def test_every_failure_has_a_sentence_of_its_own():
    assert len(set(SENTENCES.values())) == len(SENTENCES)
