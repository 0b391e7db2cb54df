"""A mock of the providers that others wrote (llmock), and a worker that calls it on every dialect we speak."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.thirdparty.stage import SPOKEN, opened
from tests.workers.lab import Lab

BASES = {"openai": "/v1", "anthropic": "/anthropic", "gemini": "/gemini/v1beta"}
BOUND_S = 20.0


class Mock:
    """The running mock: what it shall do, what it saw, and what it thinks of its client."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx2.Client(base_url=url, timeout=BOUND_S)

    def script(self, *behaviors: dict[str, Any]) -> None:
        """Behaviours for the calls to come, each for one call unless it says otherwise."""
        reply = self._client.post("/_llmock/scenario", json={"behaviors": behaviors})
        assert reply.status_code < 300, reply.text

    def verdict(self) -> dict[str, Any]:
        """What it thinks of the client that called."""
        found: dict[str, Any] = self._client.get("/_llmock/verdict").json()
        return found

    def report(self) -> str:
        """The same in words."""
        return self._client.get("/_llmock/verdict", params={"format": "text"}).text

    def wait(self) -> None:
        """Until it serves. Raises TimeoutError."""
        until = time.monotonic() + BOUND_S
        while time.monotonic() < until:
            with contextlib.suppress(httpx2.TransportError):
                if self._client.get("/health").status_code == 200:
                    return
            time.sleep(0.05)
        raise TimeoutError("llmock did not start")

    def close(self) -> None:
        """Release the client."""
        self._client.close()


@pytest.fixture(scope="session")
def mock() -> Iterator[Mock]:
    """One mock for the session."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).parent / "llmock"), "serve", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen([*command, "--log-level", "warning"], stdout=subprocess.DEVNULL) as process:
        made = Mock(f"http://127.0.0.1:{port}")
        try:
            made.wait()
            yield made
        finally:
            made.close()
            process.kill()


@pytest.fixture(params=SPOKEN)
def dialect(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def lab(mock: Mock, database_url: str, redis_url: str) -> AsyncIterator[Lab]:
    """A worker's parts; a job under the policy `anthropic` goes to the mock's Anthropic side, and so on."""
    async with opened({name: mock.url + BASES[name] for name in SPOKEN}, database_url, redis_url) as made:
        yield made
