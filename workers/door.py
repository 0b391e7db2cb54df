"""The guarded door: calls addresses that a caller named (webhooks, image URLs), and only those on the public internet.

A name is looked up once; all its addresses must pass; the connection goes to one of those, under the original name
(Host, SNI, certificate). The socket's own address is checked again when it is about to connect, so that no way around
the look-up is a way in. No redirects, cookies, or proxies from the environment; a reply's body is never read here.
"""

import asyncio
import contextvars
import socket
import ssl
from collections.abc import Mapping, Sequence
from ipaddress import ip_address

import aiohttp
import yarl
from aiohappyeyeballs import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult

from jobs.resolver import NotResolved, Resolver
from routing.addresses import Address, Rules, Target, UrlRefused, target
from routing.webhooks import Reply

MOST_CONNECTIONS = 512
TROUBLES: dict[type[Exception], str] = {
    TimeoutError: "timeout",
    NotResolved: "no_such_host",
    aiohttp.ClientConnectorCertificateError: "bad_certificate",
    aiohttp.ClientSSLError: "no_tls",
    aiohttp.ClientConnectorError: "no_connection",
    aiohttp.ClientError: "broken_reply",
    OSError: "no_connection",
    ValueError: "broken_reply",
}
"""What can stand in the way, most specific first, in the word that the try's record has for it."""
_passed: contextvars.ContextVar[Sequence[Address]] = contextvars.ContextVar("passed", default=())
"""The addresses of the present call that were checked; the connector gets no others."""


class Door:
    """One per process and event loop; `post` never raises for what the other side does."""

    def __init__(self, rules: Rules, resolve: Resolver, *, timeout_s: float, ca_file: str | None = None) -> None:
        self._rules = rules
        self._resolve = resolve
        self._timeout_s = timeout_s
        self._ssl = ssl.create_default_context(cafile=ca_file)
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send a POST; the status and headers of its reply, or what stood in the way, within the time-out."""
        try:
            async with asyncio.timeout(self._timeout_s):
                aim = target(url)
                passed = await self.addresses(aim)
                return await self._send(aim, passed, headers, body)
        except UrlRefused as refusal:
            return Reply(error=f"refused: {refusal}")
        except tuple(TROUBLES) as error:
            return Reply(error=next(word for kind, word in TROUBLES.items() if isinstance(error, kind)))

    async def addresses(self, aim: Target) -> Sequence[Address]:
        """The addresses of a target, all of them checked. Raises UrlRefused, NotResolved."""
        found = (aim.literal,) if aim.literal is not None else await self._resolve(aim.host, aim.port)
        self._rules.check(aim, found)
        return found

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def _send(self, aim: Target, passed: Sequence[Address], headers: Mapping[str, str], body: bytes) -> Reply:
        session = self._session or self._open_session()
        token = _passed.set(passed)
        try:
            response = await session.post(
                yarl.URL(aim.url, encoded=True), data=body, headers=headers, allow_redirects=False
            )
        finally:
            _passed.reset(token)
        response.close()  # the head says all; a body could be endless
        return Reply(response.status, {name.lower(): text for name, text in response.headers.items()})

    def _open_session(self) -> aiohttp.ClientSession:
        """Made at the first call: aiohttp binds it to the running loop. Each call has a connection of its own."""
        connector = aiohttp.TCPConnector(
            limit=MOST_CONNECTIONS,
            force_close=True,
            resolver=_Passed(),
            use_dns_cache=False,
            ssl=self._ssl,
            socket_factory=self._socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            auto_decompress=False,
            trust_env=False,
        )
        return self._session

    def _socket(self, info: AddrInfoType) -> socket.socket:
        """A socket for one address. Raises OSError for one that may not be called: the last wall."""
        family, kind, protocol, _, address = info
        if self._rules.forbids(ip_address(str(address[0]).partition("%")[0])) is not None:
            raise PermissionError("this address may not be called")
        return socket.socket(family, kind, protocol)


class _Passed(AbstractResolver):
    """Gives aiohttp the addresses that were checked for this call, whatever it asks for."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """As aiohttp wants them."""
        return [
            {
                "hostname": host,
                "host": str(address),
                "port": port,
                "family": socket.AF_INET6 if address.version == 6 else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            }
            for address in _passed.get()
        ]

    async def close(self) -> None:
        """Nothing is held."""
