"""Carries a call to a provider and its reply back, under four clocks; the only module that knows an HTTP library.

HTTP/1.1 goes over aiohttp's connection pool, HTTP/2 over httpx2's own. Both sit behind httpx2's transport seam and are
handed an `httpx2.Request` directly: httpx2's client layer costs 0.4 CPU ms a call, and its HTTP/1.1 pool collapses when
a hundred calls wait at once. There are no redirects, cookies, proxies from the environment, or retries here, and bodies
are never decompressed: we ask for `identity`, and a reply that is encoded all the same is refused.

What fails is told as a `Failure`. Before the request was put on a connection it is UNREACHABLE: nothing was sent,
nothing can have been billed. After that it is TIMEOUT, TRANSIENT or TRUNCATED: it may have been billed.
"""

import asyncio
import contextlib
import contextvars
import importlib.util
import io
import ipaddress
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Self

import aiohttp
import httpx2
import msgspec
import yarl
from aiohttp.connector import Connection

from jobs.failures import Failure, FailureKind
from routing.dialects.base import WireReply
from workers.clocks import SENDING, Clocks, Progress, Trace, call_failure

__all__ = ["Clocks", "Http2Unavailable", "Outgoing", "RealCallRefused", "Transport", "WireStream", "is_loopback"]

MAX_BODY_BYTES = 32_000_000
"""One reply, streamed or not. Above it the reply is MALFORMED: memory stays bounded, whatever a provider sends."""
MAX_CONNECTIONS = 2000
"""Per process: above any sensible number of calls in flight, so it only stops a runaway."""
KEEPALIVE_S = 15.0
"""An idle connection is closed by us before most servers would, so that a call seldom meets their closing."""
LARGE_BODY_BYTES = 500_000
"""Larger bodies are written in pieces, so that one does not hold up the loop."""
DEFAULT_HEADERS = {"accept-encoding": "identity", "user-agent": "tokenyard"}
_trace: contextvars.ContextVar[Trace | None] = contextvars.ContextVar("trace", default=None)


class RealCallRefused(RuntimeError):
    """A call beyond loopback was tried with `allow_real=False`: a test or a demo would have cost money."""


class Http2Unavailable(RuntimeError):
    """A provider wants HTTP/2, and the package that speaks it is not installed."""


class IllegalRequest(httpx2.LocalProtocolError):
    """The request cannot be written as HTTP: nothing was sent."""


class NotHttp(httpx2.RemoteProtocolError):
    """What came back is not HTTP."""


class Outgoing(msgspec.Struct, frozen=True):
    """A POST, ready to leave. Header names in lower case."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    clocks: Clocks = Clocks()
    http2: bool = False


class WireStream:
    """A reply whose head is there: iterate to get its bytes as they come.

    The last item is a `Failure` if the body broke; then nothing follows.
    """

    def __init__(self, response: httpx2.Response, progress: Progress, max_body_bytes: int) -> None:
        self.status = response.status_code
        # Not `response.headers.items()`: guessing an encoding for the whole set costs 0.03 ms.
        self.headers = {name.lower().decode("latin-1"): text.decode("latin-1") for name, text in response.headers.raw}
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        self._stream = response.stream
        self._pieces = aiter(response.stream)
        self._progress = progress
        self._left_bytes = max_body_bytes
        self._ended = False

    def __aiter__(self) -> AsyncIterator[bytes | Failure]:
        """One pass only."""
        return self

    async def __anext__(self) -> bytes | Failure:
        """The next bytes, never empty."""
        piece = await self._read()
        if not piece:
            raise StopAsyncIteration
        return piece

    async def _read(self) -> bytes | Failure:
        """Empty at the end."""
        if self._ended:
            return b""
        try:
            async with asyncio.timeout_at(self._progress.next_read_by()):
                piece = await anext(self._pieces, b"")
        except TimeoutError:
            return self._fail(self._progress.timeout())
        except httpx2.TransportError:
            return self._fail(call_failure(FailureKind.TRUNCATED, "connection_lost", self.status))
        self._left_bytes -= len(piece)
        if self._left_bytes < 0:
            return self._fail(call_failure(FailureKind.MALFORMED, "body_too_large", self.status))
        return piece

    async def whole(self) -> WireReply | Failure:
        """The rest of the body as one reply."""
        pieces: list[bytes] = []
        while piece := await self._read():
            if isinstance(piece, Failure):
                return piece
            pieces.append(piece)
        return WireReply(self.status, self.headers, b"".join(pieces))

    async def aclose(self) -> None:
        """Free the connection: back to the pool when the body was read to its end, closed otherwise."""
        self._ended = True
        if isinstance(self._pieces, AsyncGenerator):
            await self._pieces.aclose()
        await self._stream.aclose()

    def _fail(self, failure: Failure) -> Failure:
        self._ended = True
        return failure


class Transport:
    """One per process and event loop. `allow_real=False` makes a call to anything but loopback impossible.

    The switch has no default: whoever builds a transport says whether it may spend money, and tests say no.

    >>> async with Transport(allow_real=False) as transport:  # doctest: +SKIP
    ...     reply = await transport.send(Outgoing("http://127.0.0.1:9/v1/chat/completions", {}, b"{}"))
    """

    def __init__(self, *, allow_real: bool, max_body_bytes: int = MAX_BODY_BYTES, ca_file: str | None = None) -> None:
        self._allow_real = allow_real
        self._max_body_bytes = max_body_bytes
        self._ca_file = ca_file
        self._http1 = AiohttpTransport(trusting(ca_file))
        self._http2: httpx2.AsyncBaseTransport | None = None
        self._urls: dict[str, httpx2.URL] = {}

    async def __aenter__(self) -> Self:
        """Nothing to open: connections are made when they are needed."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http1.aclose()
        if self._http2 is not None:
            await self._http2.aclose()

    async def send(self, call: Outgoing) -> WireReply | Failure:
        """The whole reply, whatever its status. Raises RealCallRefused and Http2Unavailable only."""
        async with self.stream(call) as reply:
            return reply if isinstance(reply, Failure) else await reply.whole()

    @contextlib.asynccontextmanager
    async def stream(self, call: Outgoing) -> AsyncIterator[WireStream | Failure]:
        """The reply from its head on, whatever its status; leaving the block frees the connection."""
        progress = Progress(call.clocks)
        response = await self._open(call, progress)
        if isinstance(response, Failure):
            yield response
            return
        stream = WireStream(response, progress, self._max_body_bytes)
        try:
            is_plain = stream.headers.get("content-encoding", "identity").lower() == "identity"
            yield stream if is_plain else call_failure(FailureKind.MALFORMED, "content_encoding", stream.status)
        finally:
            await stream.aclose()

    async def _open(self, call: Outgoing, progress: Progress) -> httpx2.Response | Failure:
        try:
            request = self._request(call, progress.trace)
            async with asyncio.timeout(call.clocks.connect_s) as alarm:
                progress.alarm = alarm
                return await self._transport(call).handle_async_request(request)
        except TimeoutError:
            return progress.timeout()
        except NotHttp:
            return call_failure(FailureKind.MALFORMED, "not_http")
        except (IllegalRequest, httpx2.InvalidURL):
            return call_failure(FailureKind.INTERNAL, "illegal_request")
        except httpx2.TransportError:
            if progress.sent_at is None:
                return call_failure(FailureKind.UNREACHABLE, "no_connection")
            return call_failure(FailureKind.TRANSIENT, "connection_lost")

    def _request(self, call: Outgoing, trace: Trace) -> httpx2.Request:
        """With `stream`, not `content`: the latter builds all headers twice to add these two."""
        url = self._url(call.url)
        headers = {
            "host": url.netloc.decode(),
            **DEFAULT_HEADERS,
            **call.headers,
            "content-length": str(len(call.body)),
        }
        stream = httpx2.ByteStream(call.body)
        return httpx2.Request("POST", url, headers=headers, stream=stream, extensions={"trace": trace})

    def _transport(self, call: Outgoing) -> httpx2.AsyncBaseTransport:
        if not call.http2:
            return self._http1
        if self._http2 is None:
            self._http2 = http2_transport(trusting(self._ca_file))
        return self._http2

    def _url(self, text: str) -> httpx2.URL:
        """Parsed and checked once: there are few different ones, and parsing costs more than the rest of a request."""
        url = self._urls.get(text)
        if url is None:
            url = httpx2.URL(text)
            if not self._allow_real and not is_loopback(url.host):
                raise RealCallRefused(f"{url.host} is not loopback, and real calls are switched off (allow_real=False)")
            if len(self._urls) < MAX_CONNECTIONS:
                self._urls[text] = url
        return url


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """HTTP/1.1 over aiohttp's pool, behind httpx2's seam. Takes requests whose content is bytes."""

    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        self._ssl: ssl.SSLContext | bool = True if ssl_context is None else ssl_context
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send, and return when the head of the reply is there. Raises httpx2's errors, IllegalRequest and NotHttp."""
        session = self._session or self._open_session()
        content = request.read()
        token = _trace.set(request.extensions.get("trace"))
        try:
            response = await session.request(
                request.method,
                yarl.URL(str(request.url), encoded=True),
                headers=[(name.decode("ascii"), value.decode("latin-1")) for name, value in request.headers.raw],
                data=io.BytesIO(content) if len(content) > LARGE_BODY_BYTES else content,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, ValueError) as error:
            raise translated(error) from error
        finally:
            _trace.reset(token)
        return httpx2.Response(response.status, headers=response.raw_headers, stream=AiohttpBody(response))

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _open_session(self) -> aiohttp.ClientSession:
        """Made at the first request: aiohttp binds it to the running loop."""
        self._session = aiohttp.ClientSession(
            connector=TracedConnector(limit=MAX_CONNECTIONS, keepalive_timeout=KEEPALIVE_S, ssl=self._ssl),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            auto_decompress=False,
            trust_env=False,
        )
        return self._session


class TracedConnector(aiohttp.TCPConnector):
    """Says when a connection is had. aiohttp's own tracing could, for 0.04 CPU ms a call in signals nobody hears."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> Connection:
        """From the pool, or a new one."""
        connection = await super().connect(req, traces, timeout)
        trace = _trace.get()
        if trace is not None:
            await trace(f"http11.{SENDING}", {})
        return connection


class AiohttpBody(httpx2.AsyncByteStream):
    """The body of a reply, as it comes. Closing it before its end closes the connection; after, it is in the pool.

    Weakness: aiohttp 3.14 does not tell its reader of garbage between two chunks, so only the idle clock ends it.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    def __aiter__(self) -> AsyncIterator[bytes]:
        """One pass only."""
        return self

    async def __anext__(self) -> bytes:
        """Whatever the socket gave; raises httpx2's errors when the body breaks off."""
        try:
            piece = await self._response.content.readany()
        except aiohttp.ClientError as error:
            raise translated(error) from error
        if not piece:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Never waits, so that a cancelled call frees its connection."""
        self._response.close()


TRANSLATIONS: tuple[tuple[type[Exception], type[httpx2.TransportError]], ...] = (
    (aiohttp.ClientConnectorError, httpx2.ConnectError),  # refused, no such name, TLS
    (aiohttp.ClientResponseError, NotHttp),
    (aiohttp.ClientError, httpx2.ReadError),
    (ValueError, IllegalRequest),  # aiohttp's word for a line end in a header
)
"""First match wins, so the most specific stand first."""


def translated(error: Exception) -> httpx2.TransportError:
    """An error of aiohttp in httpx2's terms."""
    return next(ours for theirs, ours in TRANSLATIONS if isinstance(error, theirs))(str(error))


def http2_transport(ssl_context: ssl.SSLContext | None) -> httpx2.AsyncBaseTransport:
    """httpx2's own HTTP/2. Many connections: its pool can keep a dead one for ever when it may have only one."""
    if importlib.util.find_spec("h2") is None:
        raise Http2Unavailable("http2 = true needs the package h2: pip install 'httpx2[http2]', or set http2 = false")
    return httpx2.AsyncHTTPTransport(
        verify=True if ssl_context is None else ssl_context,
        http2=True,
        limits=httpx2.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=KEEPALIVE_S),
    )


def trusting(ca_file: str | None) -> ssl.SSLContext | None:
    """TLS that trusts a private authority. One for each transport: httpx2 writes its protocols into the one it gets."""
    return None if ca_file is None else ssl.create_default_context(cafile=ca_file)


def is_loopback(host: str) -> bool:
    """An address of this machine's loopback, written out, or `localhost`; no name is looked up."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
