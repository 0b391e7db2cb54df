"""The API against its own OpenAPI page, by schemathesis: any request and sequences of them, all its checks."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from msgspec.structs import replace

from api.app import create_with
from jobs.settings import Settings
from jobs.store.session import Database
from tests.api.conftest import make_key

HERE = Path(__file__).parent
EXAMPLES = 10
SEED = 20261125


@pytest.fixture
def served(settings: Settings) -> Iterator[str]:
    """The API on a port of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    waits = {"max_wait_s": 0.5, "max_events_s": 0.2, "chat_deadline_s": 0.1}  # else they outlast their caller
    brief = replace(settings, api=replace(settings.api, **waits))
    config = uvicorn.Config(create_with(brief), host="127.0.0.1", port=port, log_level="critical", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def key(settings: Settings) -> str:
    async def made() -> str:
        database = Database(settings.database_url, pool_size=1)
        try:
            return await make_key(database, "default")
        finally:
            await database.close()

    return asyncio.run(made())


def test_every_operation_keeps_its_word(served: str, key: str, tmp_path: Path):
    program = Path(sys.executable).with_name("schemathesis")
    options = ("--checks", "all", "--max-examples", str(EXAMPLES), "--seed", str(SEED), "--no-color")
    called = (f"{served}/openapi.json", "-H", f"Authorization: Bearer {key}", *options)
    done = subprocess.run(
        (str(program), "--config-file", str(HERE / "schemathesis.toml"), "run", *called),
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        check=False,
        env=os.environ | {"SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(HERE)},
    )
    assert done.returncode == 0, done.stdout[-20_000:]
