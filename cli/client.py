"""Speaks to a yard's API for the commands: one client, errors as sentences."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx2
import msgspec
import typer
from rich.console import Console

from cli.yard import Yard, YardError

URL_VARIABLE = "TOKENYARD_URL"
KEY_VARIABLE = "TOKENYARD_API_KEY"
TIMEOUT_S = 90.0
MOST_A_PAGE = 1000
errors = Console(stderr=True, highlight=False)
"""For whoever reads, not for the next command in the pipe."""


class NoAnswer(YardError):
    """Nobody answers at the yard's address, or its record is away for now."""


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
        here = state.api_url if state is not None else ""
        url = os.environ.get(URL_VARIABLE, "").rstrip("/") or here
        if not url:
            raise YardError(f"no yard runs in {yard.var}; start it with `tokenyard up`, or set {URL_VARIABLE}")
        if not url.startswith(("http://", "https://")):
            raise YardError(f"{URL_VARIABLE} is {url!r}; it must begin with http:// or https://")
        # The key of the yard here is for the yard here: it must not be sent to whatever the variable names.
        key = os.environ.get(KEY_VARIABLE) or (yard.key() if url == here else None)
        if not key:
            raise YardError(f"no key: set {KEY_VARIABLE} (a yard started by `up` keeps its own in {yard.key_path})")
        return cls(url, key)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """GET a JSON object; parameters that are None are left out, a list is sent as one parameter each."""
        return self._checked("GET", path, params=_asked(params))

    def post(self, path: str, content: Any = None, *, once: str | None = None, **params: Any) -> dict[str, Any]:
        """POST bytes (or an iterable of bytes, streamed) and get a JSON object; `once` is the Idempotency-Key."""
        headers = {"content-type": "application/json"} | ({"idempotency-key": once} if once is not None else {})
        return self._checked("POST", path, content=content, params=_asked(params), headers=headers)

    def patch(self, path: str, content: Any) -> dict[str, Any]:
        """PATCH bytes and get a JSON object."""
        return self._checked("PATCH", path, content=content, headers={"content-type": "application/json"})

    def delete(self, path: str) -> dict[str, Any]:
        """DELETE and get a JSON object."""
        return self._checked("DELETE", path)

    def lines(self, path: str) -> Iterator[dict[str, Any]]:
        """GET newline-delimited JSON, line by line as it comes."""
        for line in self.raw_lines(path):
            yield msgspec.json.decode(line)

    def raw_lines(self, path: str) -> Iterator[bytes]:
        """The same, each line as the API wrote it, without its LF."""
        with _translated(self.url), self._http.stream("GET", path) as reply:
            if reply.status_code >= 400:
                reply.read()
                raise _error(reply)
            yield from _split(reply.iter_bytes())

    def pages(self, path: str, most: int | None = None, **params: Any) -> Iterator[dict[str, Any]]:
        """The entries of a list, page by page: the first `most`, or all."""
        after, left = None, most
        while left is None or left > 0:
            limit = MOST_A_PAGE if left is None else min(MOST_A_PAGE, left)
            page = self.get(path, after=after, limit=limit, **params)
            yield from page["data"]
            if not page["has_more"]:
                return
            after = page["last_id"]
            left = None if left is None else left - limit

    def _checked(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        with _translated(self.url):
            reply = self._http.request(method, path, **options)
        if reply.status_code >= 400:
            raise _error(reply)
        try:
            body: dict[str, Any] = msgspec.json.decode(reply.content)
        except msgspec.DecodeError as error:
            raise YardError(f"{self.url} is not a yard's API: its answer is not JSON") from error
        return body


@contextlib.contextmanager
def visit(var: Path | None) -> Iterator[Client]:
    """A client for one command; what goes wrong is a sentence on stderr and exit 1, Ctrl-C is exit 130."""
    try:
        with Client.of(Yard(var)) as client:
            yield client
    except YardError as error:
        errors.print(f"tokenyard: {error}", markup=False, style="red", soft_wrap=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        errors.print("Interrupted.")
        raise typer.Exit(130) from None


@contextlib.contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except (httpx2.TransportError, httpx2.InvalidURL) as error:
        raise NoAnswer(f"{url} does not answer ({type(error).__name__}); see `tokenyard status`") from error


def _asked(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def _split(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Lines at LF only: a JSON text may hold other characters that Python takes for line ends."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line for line in lines if line)
    if rest:
        yield rest


def _error(reply: httpx2.Response) -> YardError:
    kind = NoAnswer if reply.status_code in {502, 503, 504} else YardError
    return kind(_sentence(reply))


def _sentence(reply: httpx2.Response) -> str:
    try:
        error = msgspec.json.decode(reply.content)["error"]
        details = "".join(f"\n  line {bad['line']}: {bad['message']}" for bad in error.get("details", [])[:20])
        return f"{error['message']}{details}"
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"the API answered {reply.status_code} {reply.reason_phrase}"
