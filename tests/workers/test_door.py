"""F29: no address that a caller can name leads into forbidden networks, and what may be called is called."""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from jobs.resolver import Names, NotResolved
from routing.addresses import Address, Rules, UrlRefused, target
from workers.door import Door

PUBLIC = "93.184.215.14"
# {port} is a port at which forbidden addresses do listen, and which the rules open: only the address is in the way.
LITERALS = (Path(__file__).parent / "forbidden_urls.txt").read_text(encoding="utf-8").split()
# What a name server says, one answer a question; the last one stays.
NAMES: dict[str, list[list[str]]] = {
    "private.test": [["10.0.0.1"]],
    "loopback.test": [["127.0.0.1"]],
    "mapped.test": [["::ffff:127.0.0.1"]],
    "nat64.test": [["64:ff9b::7f00:1"]],
    "sixtofour.test": [["2002:7f00:1::"]],
    "metadata.test": [["169.254.169.254"]],
    "mixed.test": [[PUBLIC, "127.0.0.1"]],
    "mixed6.test": [["127.0.0.1", "2606:4700::1111"]],
    "rebinds.test": [["127.0.0.1"], [PUBLIC], ["127.0.0.1"]],
    "empty.test": [[]],
}
PASSING = ("https://hooks.example.com/a", "https://hooks.example.com:8443/a", "https://1.1.1.1/", "http://public.test/x",
           "https://[2606:4700::1111]/", "https://b\u00fccher.example/", "https://xn--bcher-kva.example/", "https://172.32.0.1/",
           "https://100.128.0.1/", "https://localhost.example.com/", "https://127.0.0.1.example.com/")  # fmt: skip


class FakeNames:
    """A name server whose answers change from question to question (TTL 0)."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> tuple[Address, ...]:
        self.asked.append(host)
        if host == "localhost":
            return (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))
        if host not in NAMES:
            return (ipaddress.ip_address(PUBLIC),)
        answers = NAMES[host]
        found = answers[min(self.asked.count(host), len(answers)) - 1]
        return tuple(map(ipaddress.ip_address, found))


class Traps:
    """Listens on every loopback and wildcard address, and counts who comes."""

    def __init__(self) -> None:
        self.connects = 0
        self.port = 0

    async def serve(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connects += 1
        writer.close()


@contextlib.asynccontextmanager
async def trapped() -> AsyncIterator[Traps]:
    traps = Traps()
    first = await asyncio.start_server(traps.serve, "0.0.0.0", 0)
    traps.port = first.sockets[0].getsockname()[1]
    listeners = [first]
    with contextlib.suppress(OSError):  # a machine without IPv6
        listeners.append(await asyncio.start_server(traps.serve, "::", traps.port, family=socket.AF_INET6))
    try:
        yield traps
    finally:
        for listener in listeners:
            listener.close()


async def test_f29_nothing_forbidden_is_connected_to_and_nothing_allowed_is_refused():
    async with trapped() as traps:
        names = FakeNames()
        rules = Rules(allow_http=True, ports=frozenset({443, 8443, 80, traps.port}))
        door = Door(rules, names, timeout_s=5)
        urls = [url.format(port=traps.port) for url in LITERALS]
        urls += [f"http://{name}:{traps.port}/" for name in NAMES]
        replies = {url: await door.post(url, {}, b"{}") for url in urls}
        await door.aclose()
        through = [url for url, reply in replies.items() if not (reply.error or "").startswith("refused")]
        blocked_falsely = []
        for url in PASSING:
            try:
                await door.addresses(target(url))
            except UrlRefused:
                blocked_falsely.append(url)
        await asyncio.sleep(0)
        figures = f"tried={len(urls)} blocked={len(urls) - len(through)} connects={traps.connects}"
        passing = f"passing={len(PASSING)} false_blocks={len(blocked_falsely)}"
        sys.stdout.write(f"F29 {figures} {passing}\n")
        assert through == []
        assert traps.connects == 0
        assert blocked_falsely == []
        assert len(urls) >= 75


async def test_the_traps_would_see_a_connect():
    async with trapped() as traps:
        door = Door(Rules(networks=(ipaddress.ip_network("127.0.0.1/32"),)), FakeNames(), timeout_s=5)
        reply = await door.post(f"http://127.0.0.1:{traps.port}/", {}, b"{}")
        await door.aclose()
        assert reply.error == "broken_reply"
        assert traps.connects == 1


async def test_a_name_is_looked_up_once_and_its_checked_address_is_the_one_that_is_called():
    """Rebinding: the first answer is checked and used; the second, which would lead inside, is never asked for."""
    async with trapped() as traps:
        names = FakeNames()
        NAMES["turns.test"] = [["127.0.0.1"], ["10.0.0.1"]]
        door = Door(Rules(networks=(ipaddress.ip_network("127.0.0.1/32"),)), names, timeout_s=5)
        await door.post(f"http://turns.test:{traps.port}/", {}, b"{}")
        assert (names.asked, traps.connects) == (["turns.test"], 1)
        again = await door.post(f"http://turns.test:{traps.port}/", {}, b"{}")
        await door.aclose()
        assert (again.error or "").startswith("refused")
        assert traps.connects == 1


async def test_the_socket_itself_refuses_what_came_past_the_look_up():
    async with trapped() as traps:
        door = Door(Rules(allow_http=True, ports=frozenset({traps.port})), FakeNames(), timeout_s=5)
        aim = target(f"http://loopback.test:{traps.port}/")
        with pytest.raises(aiohttp.ClientConnectorError):
            await door._send(aim, (ipaddress.ip_address("127.0.0.1"),), {}, b"{}")
        await door.aclose()
        assert traps.connects == 0


async def test_a_redirect_is_a_reply_and_is_not_followed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    seen: list[bytes] = []

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 307 X\r\nlocation: /again\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(redirect, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    door = Door(Rules(networks=(ipaddress.ip_network("127.0.0.1/32"),)), FakeNames(), timeout_s=5)
    reply = await door.post(f"http://loopback.test:{port}/hook?a=%2F", {"webhook-id": "evt_1"}, b"{}")
    await door.aclose()
    listener.close()
    assert (reply.status, reply.headers["retry-after"]) == (307, "7")
    assert len(seen) == 1
    assert seen[0].startswith(b"POST /hook?a=%2F HTTP/1.1\r\n")
    assert f"Host: loopback.test:{port}".encode() in seen[0]


async def test_tls_is_spoken_with_the_name_and_not_with_the_address(tmp_path: Path):
    certificate = tmp_path / "certificate.pem"
    making = await asyncio.create_subprocess_exec(
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=loopback.test",
        "-addext", "subjectAltName=DNS:loopback.test", "-keyout", tmp_path / "key.pem", "-out", certificate,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await making.wait() == 0
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, tmp_path / "key.pem")
    asked: list[str | None] = []
    context.sni_callback = lambda _, name, __: asked.append(name)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 X\r\n\r\n")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    port = listener.sockets[0].getsockname()[1]
    rules = Rules(networks=(ipaddress.ip_network("127.0.0.1/32"),))
    NAMES["other.test"] = [["127.0.0.1"]]
    door, distrusting = (
        Door(rules, FakeNames(), timeout_s=5, ca_file=str(certificate)),
        Door(rules, FakeNames(), timeout_s=5),
    )
    assert (await door.post(f"https://loopback.test:{port}/", {}, b"{}")).status == 204
    assert asked == ["loopback.test"]
    assert (await door.post(f"https://other.test:{port}/", {}, b"{}")).error == "bad_certificate"
    assert (await distrusting.post(f"https://loopback.test:{port}/", {}, b"{}")).error == "bad_certificate"
    await door.aclose()
    await distrusting.aclose()
    listener.close()


async def test_a_silent_receiver_and_a_silent_name_server_end_in_time():
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def no_answer(host: str, port: int) -> tuple[Address, ...]:
        await asyncio.Event().wait()
        return ()

    listener = await asyncio.start_server(silence, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    rules = Rules(networks=(ipaddress.ip_network("127.0.0.1/32"),))
    door, mute = Door(rules, FakeNames(), timeout_s=0.2), Door(rules, no_answer, timeout_s=0.2)
    assert (await door.post(f"http://127.0.0.1:{port}/", {}, b"{}")).error == "timeout"
    assert (await mute.post(f"http://hooks.test:{port}/", {}, b"{}")).error == "timeout"
    await door.aclose()
    await mute.aclose()
    listener.close()


async def test_the_systems_resolver_gives_every_address_or_says_that_there_is_none():
    names = Names()
    assert ipaddress.ip_address("127.0.0.1") in await names("localhost", 80)
    with pytest.raises(NotResolved):
        await names("no-such-host.invalid", 80)
    names.close()
