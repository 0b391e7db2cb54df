"""Which addresses a caller may make us call: https to the public internet, and what the settings open; pure.

The danger is server-side request forgery: a URL that leads back to our own network. Three walls, each enough alone for
what it sees: the URL's text (`target`), every address its name has (`Rules.refusal`), and the address a socket is
about to connect to (`Rules.forbids`). `workers.door` stands at all three. OWASP API7:2023.
"""

import ipaddress
import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import quote, urlsplit

import msgspec

from jobs.settings import Settings

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MOST_CHARACTERS = 2_000
PORTS = frozenset({443, 8443})
DEFAULT_PORTS = {"https": 443, "http": 80}
DENIED: tuple[tuple[str, str], ...] = (
    ("0.0.0.0/8", "this host"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "carrier-grade NAT"),
    ("127.0.0.0/8", "loopback"),
    ("168.63.129.16/32", "cloud metadata"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.0.2.0/24", "documentation"),
    ("192.31.196.0/24", "AS112"),
    ("192.52.193.0/24", "AMT"),
    ("192.88.99.0/24", "6to4 relay"),
    ("192.168.0.0/16", "private"),
    ("192.175.48.0/24", "AS112"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("::/96", "this host, IPv4-compatible"),
    ("::ffff:0:0/96", "IPv4-mapped"),
    ("::ffff:0:0:0/96", "IPv4-translated"),
    ("64:ff9b::/96", "NAT64"),
    ("64:ff9b:1::/48", "NAT64"),
    ("100::/64", "discard"),
    ("2001::/23", "protocol assignments, Teredo"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4"),
    ("2620:4f:8000::/48", "AS112"),
    ("3fff::/20", "documentation"),
    ("5f00::/16", "segment routing"),
    ("fc00::/7", "unique local"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
)
"""IANA's special-purpose registries (IPv4 and IPv6, 2026-10) by name, and Azure's metadata address, which is none of
them. `ipaddress.is_global` is no substitute: it lets NAT64, 6to4, multicast and fec0::/10 pass."""
_DENIED: tuple[tuple[Network, str], ...] = tuple((ipaddress.ip_network(net), name) for net, name in DENIED)
_UNICAST = ipaddress.IPv6Network("2000::/3")
_SAFE = re.compile(r"[!#$%&'()*+,\-./0-9:;=?@A-Z_a-z~\[\]]+")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_DEVIATIONS = frozenset("\u00df\u03c2\u200c\u200d")
"""Characters that the old and the new rules of IDNA read differently: they may lead to two hosts."""


class UrlRefused(ValueError):
    """The URL may not be called; the message says which rule it breaks and what to write instead."""


class Target(msgspec.Struct, frozen=True):
    """A URL taken apart, in the one spelling that every reader understands the same way."""

    url: str
    scheme: str
    host: str
    """ASCII, lower case; an IPv6 address without its brackets."""
    port: int
    literal: Address | None = None
    """The address, when the host is one."""


class Rules(msgspec.Struct, frozen=True):
    """What the settings open beyond https on 443 and 8443 to public addresses."""

    networks: tuple[Network, ...] = ()
    """Trusted: here http and any port are allowed, too."""
    allow_http: bool = False
    ports: frozenset[int] = PORTS
    trusted_only: bool = False
    """No public address either: `allow_real_calls = false`."""

    def trusts(self, address: Address) -> bool:
        """Whether the settings open this address."""
        return any(address.version == network.version and address in network for network in self.networks)

    def forbids(self, address: Address) -> str | None:
        """The name of the network that keeps an address from being called; None when it may be."""
        if self.trusts(address):
            return None
        for network, name in _DENIED:
            if address.version == network.version and address in network:
                return name
        if isinstance(address, IPv6Address) and address not in _UNICAST:
            return "not assigned"
        if not address.is_global:
            return "not global"
        return "beyond this yard (allow_real_calls = false)" if self.trusted_only else None

    def check(self, target: Target, addresses: Iterable[Address]) -> None:
        """Pass only if every address does: a name that also leads elsewhere is refused whole. Raises UrlRefused."""
        found = tuple(addresses)
        if not found:
            raise UrlRefused(f"{target.host} has no address")
        for address in found:
            if (network := self.forbids(address)) is not None:
                raise UrlRefused(
                    f"{target.host} leads to an address that may not be called ({network});"
                    " [webhooks] allow_networks opens networks of your own"
                )
        if all(map(self.trusts, found)):
            return
        if target.scheme != "https" and not self.allow_http:
            raise UrlRefused("the URL must begin with https:// ([webhooks] allow_http opens http)")
        if target.port not in self.ports and not (self.allow_http and target.scheme == "http" and target.port == 80):
            ports = ", ".join(map(str, sorted(self.ports)))
            raise UrlRefused(f"port {target.port} is not open; open are {ports} ([webhooks] ports opens more)")


def rules_of(settings: Settings) -> Rules:
    """What these settings open."""
    section = settings.webhooks
    return Rules(
        networks=tuple(map(ipaddress.ip_network, section.allow_networks)),
        allow_http=section.allow_http,
        ports=PORTS | frozenset(section.ports),
        trusted_only=not settings.allow_real_calls,
    )


def target(text: str) -> Target:
    """Take a URL apart and refuse what two readers could read differently. Raises UrlRefused."""
    if len(text) > MOST_CHARACTERS:
        raise UrlRefused(f"the URL has over {MOST_CHARACTERS} characters")
    if "\\" in text or any(char.isspace() or not char.isprintable() for char in text):
        raise UrlRefused("the URL has a space, a backslash or a control character in it; percent-encode it")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise UrlRefused(f"this is no URL: {error}") from error
    if parts.scheme not in DEFAULT_PORTS:
        raise UrlRefused("the URL must begin with https://")
    if "@" in parts.netloc:
        raise UrlRefused("the URL must not carry a user name or password; the signature says who calls")
    if parts.fragment:
        raise UrlRefused("the URL must not have a fragment (#...): it is never sent")
    host, literal = _host(parts.netloc.partition("]")[0] if "[" in parts.netloc else parts.netloc.partition(":")[0])
    if port == 0:
        raise UrlRefused("there is no port 0")
    port = port or DEFAULT_PORTS[parts.scheme]
    tail = _quoted(parts.path or "/") + (f"?{_quoted(parts.query)}" if parts.query else "")
    shown = f"[{host}]" if literal is not None and literal.version == 6 else host
    at = "" if port == DEFAULT_PORTS[parts.scheme] else f":{port}"
    return Target(f"{parts.scheme}://{shown}{at}{tail}", parts.scheme, host, port, literal)


def _host(text: str) -> tuple[str, Address | None]:
    """The host in its one spelling, and the address if it is one."""
    if text.startswith("["):
        return _bracketed(text[1:])
    host = _ascii(text)
    if not host:
        raise UrlRefused("the URL names no host")
    if host.endswith("."):
        raise UrlRefused("leave out the dot at the end of the host")
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):  # the URL standard's rule: whoever ends in a number is an IPv4 address
        try:
            literal = IPv4Address(host)  # only four plain decimals: no octal, hex, integer or short form
        except ValueError as error:
            raise UrlRefused("write an IPv4 address as four decimal numbers without leading zeros") from error
        return str(literal), literal
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise UrlRefused(f"{host[:100]!r} is no host name")
    return host, None


def _bracketed(text: str) -> tuple[str, Address | None]:
    if "%" in text:
        raise UrlRefused("an address with a zone (%...) means this machine's own links; it can't be called")
    try:
        literal = IPv6Address(text)
    except ValueError as error:
        raise UrlRefused(f"[{text[:60]}] is no IPv6 address") from error
    return str(literal), literal


def _ascii(text: str) -> str:
    """Lower case, international names in their `xn--` form; wide digits and dots become what they stand for."""
    if text.isascii():
        return text.lower()
    if _DEVIATIONS & set(text):
        raise UrlRefused("readers disagree on a letter of this host; write its xn-- form")
    try:
        return text.encode("idna").decode().lower()
    except UnicodeError as error:
        raise UrlRefused("this is no international host name; write its xn-- form") from error


def _quoted(text: str) -> str:
    """Path or query in ASCII; what is percent-encoded already stays as it is."""
    return text if _SAFE.fullmatch(text) else quote(text, safe="!#$%&'()*+,-./:;=?@_~[]")
