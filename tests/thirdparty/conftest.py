"""A mock of the providers that others wrote (llmock), and a worker's parts that call it on every dialect we speak."""

import asyncio
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

from jobs.policy import Policy
from jobs.settings import Provider, Settings, Worker
from routing.dialects.registry import DIALECTS
from tests.jobs.store import given
from tests.workers.lab import Lab
from tests.workers.server import Server

BASES = {"openai": "/v1", "anthropic": "/anthropic", "gemini": "/gemini/v1beta"}
SPOKEN = sorted(DIALECTS)
BOUND_S = 20.0
PRICE = {"input": "1.00", "output": "2.00", "valid_from": "2026-01-01", "source": "a test"}


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
    made = Lab(Server(_nobody), _settings(mock.url, database_url, redis_url))
    made.tenant_id = await given.tenant(made.database)
    try:
        yield made
    finally:
        made.is_over.set()
        await made.parts.close()
        await made.database.close()


async def _nobody(_server: Server, _writer: asyncio.StreamWriter) -> None:
    raise AssertionError("the lab's own providers are not called here")


def _settings(url: str, database_url: str, redis_url: str) -> Settings:
    return Settings(
        database_url=database_url,
        redis_url=redis_url,
        worker=Worker(slots=4, calls_in_flight=16, poll_s=0.2, flush_ms=1.0),
        providers={name: Provider(dialect=name, base_url=url + BASES[name]) for name in SPOKEN},  # type: ignore[arg-type]
        policies={name: Policy(name=name, tiers=((f"maker/{name}",),)) for name in SPOKEN},
        models=tuple(
            {"id": f"maker/{name}", "context_tokens": 8_000, "max_output_tokens": 100, "has_tools": True}
            for name in SPOKEN
        ),
        deployments=tuple(
            {"model": f"maker/{name}", "provider": name, "upstream": f"{name}-model", "price": PRICE} for name in SPOKEN
        ),
    )
