"""Speaks to a yard's API for the commands: one client, errors as sentences."""

import os
from collections.abc import Iterator
from typing import Any

import httpx2
import msgspec

from cli.yard import Yard, YardError

URL_VARIABLE = "TOKENYARD_URL"
KEY_VARIABLE = "TOKENYARD_API_KEY"
TIMEOUT_S = 90.0


class Client:
    """`Client.of(yard)` finds address and key: the environment's, else those of the yard that runs here.

    Raises YardError for anything that is not a 2xx answer, with the API's own sentence.
    """

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self._http = httpx2.Client(
            base_url=url, timeout=TIMEOUT_S, headers={"authorization": f"Bearer {key}"}, trust_env=False
        )

    @classmethod
    def of(cls, yard: Yard) -> "Client":
        """A client of the yard named in the environment, or of the one in this folder."""
        state = yard.running()
        url = os.environ.get(URL_VARIABLE) or (state.api_url if state is not None else "")
        if not url:
            raise YardError(f"no yard runs in {yard.var}; start it with `tokenyard up`, or set {URL_VARIABLE}")
        key = os.environ.get(KEY_VARIABLE) or yard.key()
        if not key:
            raise YardError(f"no key: set {KEY_VARIABLE} (a yard started by `up` keeps its own in {yard.key_path})")
        return cls(url, key)

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """GET a JSON object; parameters that are None are left out."""
        asked = {name: value for name, value in params.items() if value is not None}
        return self._checked("GET", path, params=asked)

    def post(self, path: str, content: Any = None, **params: Any) -> dict[str, Any]:
        """POST bytes (or an iterable of bytes, streamed) and get a JSON object."""
        asked = {name: value for name, value in params.items() if value is not None}
        return self._checked("POST", path, content=content, params=asked, headers={"content-type": "application/json"})

    def delete(self, path: str) -> dict[str, Any]:
        """DELETE and get a JSON object."""
        return self._checked("DELETE", path)

    def lines(self, path: str) -> Iterator[dict[str, Any]]:
        """GET newline-delimited JSON, line by line as it comes."""
        try:
            with self._http.stream("GET", path) as reply:
                if reply.status_code >= 400:
                    reply.read()
                    raise YardError(_sentence(reply))
                for line in _split(reply.iter_bytes()):
                    yield msgspec.json.decode(line)
        except httpx2.TransportError as error:
            raise YardError(f"{self.url} does not answer ({type(error).__name__}); see `tokenyard status`") from error

    def pages(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Every entry of a list, page by page."""
        after = None
        while True:
            page = self.get(path, after=after, limit=1000, **params)
            yield from page["data"]
            if not page["has_more"]:
                return
            after = page["last_id"]

    def _checked(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            reply = self._http.request(method, path, **options)
        except httpx2.TransportError as error:
            raise YardError(f"{self.url} does not answer ({type(error).__name__}); see `tokenyard status`") from error
        if reply.status_code >= 400:
            raise YardError(_sentence(reply))
        body: dict[str, Any] = msgspec.json.decode(reply.content)
        return body


def _split(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Lines at LF only: a JSON text may hold other characters that Python takes for line ends."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line for line in lines if line)
    if rest:
        yield rest


def _sentence(reply: httpx2.Response) -> str:
    try:
        error = msgspec.json.decode(reply.content)["error"]
        details = "".join(f"\n  line {bad['line']}: {bad['message']}" for bad in error.get("details", [])[:20])
        return f"{error['message']}{details}"
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"the API answered {reply.status_code} {reply.reason_phrase}"
