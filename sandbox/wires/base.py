"""The seam between a sandbox provider and its wires: how each reads a request and writes a reply."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from sandbox.speech import Ask, Refusal, Said

MAX_BODY_BYTES = 8_000_000
Headers = Iterable[tuple[bytes, bytes]]
Arrived = Mapping[str, str]
"""Headers of a request, names in lower case."""


class Wire(Protocol):
    """Reads and writes; no I/O. One without state serves all calls."""

    prefix: str
    """Of the ids of calls."""

    def key(self, headers: Arrived, query: str) -> str | None:
        """The key that a request carries, None without one. Raises Refusal for a header that the API demands."""

    def wrong_key(self) -> Refusal:
        """The refusal of a key that is not known, or missing."""

    def parse(self, raw: bytes, path: str, query: str) -> Ask:
        """Read and check a request. Raises Refusal (400, 404) as the provider does."""

    def body(self, said: Said) -> bytes:
        """A whole reply."""

    def frames(self, said: Said) -> list[bytes]:
        """The same as a stream, event by event."""

    def torn_frame(self) -> bytes:
        """An event of a stream whose JSON is broken."""

    def last_frame(self) -> bytes:
        """What ends every stream on this wire; empty where nothing special does."""

    def error_frame(self, refusal: Refusal) -> bytes:
        """An error in the middle of a stream."""

    def error(self, refusal: Refusal, retry_after_s: float | None = None) -> tuple[bytes, Headers]:
        """A refusal's body and headers, and where this wire says when to come again."""

    def is_text(self, *, is_stream: bool) -> bool:
        """Whether tool arguments travel as text, so that their JSON can be broken."""


def retry_header(retry_after_s: float | None) -> Headers:
    """The header Retry-After, where there is something to say."""
    return [] if retry_after_s is None else [(b"retry-after", f"{retry_after_s:g}".encode())]


def wrong(*rules: tuple[object, str]) -> Iterator[str]:
    """The complaints whose condition holds."""
    return (complaint for is_wrong, complaint in rules if is_wrong)
