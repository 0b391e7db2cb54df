"""A small data set cut from the shipped one, models trained on it once, and a real provider over HTTP."""

import csv
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from sandbox.models import Classifier, obtain
from sandbox.rows import EVALUATION_FILE, TRAINING_FILE, read_rows

BANKING = Path(__file__).parents[2] / "examples" / "banking77"
INTENTS = 12
SMALL = "sandbox/intent-small"
LARGE = "sandbox/intent-large"
OTHER = "depot/intent-large"
BOUND_S = 20.0


class Running(msgspec.Struct, frozen=True):
    """A provider in its own process."""

    url: str
    process: subprocess.Popen[bytes]
    calls: Path

    def lines(self) -> list[dict[str, Any]]:
        """The call log."""
        return [msgspec.json.decode(line) for line in self.calls.read_bytes().splitlines()]


Start = Callable[..., AbstractContextManager[Running]]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve intents in the same two files."""
    folder = tmp_path_factory.mktemp("rows")
    kept = sorted(set(read_rows(BANKING / TRAINING_FILE)[1]))[:INTENTS]
    for name in (TRAINING_FILE, EVALUATION_FILE):
        rows = [row for row in zip(*read_rows(BANKING / name), strict=True) if row[1] in kept]
        with (folder / name).open("w", newline="", encoding="utf-8") as handle:
            csv.writer(handle).writerows([("text", "category"), *rows])
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def small(data, cache) -> Classifier:
    return obtain(SMALL, data, cache)


@pytest.fixture(scope="session")
def large(data, cache) -> Classifier:
    return obtain(LARGE, data, cache)


@pytest.fixture(scope="session")
def start(data, cache, small, large, tmp_path_factory) -> Start:
    """Starts a provider with more flags; it is killed at the end of the block."""

    @contextmanager
    def started(*flags: str) -> Iterator[Running]:
        calls = tmp_path_factory.mktemp("provider") / "calls.ndjson"
        command = [sys.executable, "-m", "sandbox", "--data", str(data), "--cache", str(cache)]
        command += ["--calls", str(calls), "--latency-ms", "0", *flags]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                ready = msgspec.json.decode(process.stdout.readline())
                yield Running(ready["url"], process, calls)
            finally:
                process.kill()

    return started


@pytest.fixture(scope="session")
def provider(start) -> Iterator[Running]:
    with start("--name", "sandbox-east") as running:
        yield running


@pytest.fixture
def client(provider) -> Iterator[httpx2.Client]:
    """A client of the shared provider, whose faults are cleared before and after."""
    with httpx2.Client(base_url=provider.url, timeout=BOUND_S) as made:
        made.delete("/_sandbox/faults")
        yield made
        made.delete("/_sandbox/faults")


@pytest.fixture
def question(small) -> Callable[..., dict[str, Any]]:
    """Builds a request that is on the model's task."""
    system = "Answer with one of: " + ", ".join(small.labels)

    def built(**more: Any) -> dict[str, Any]:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": "How do I activate my card?"}]
        return {"model": SMALL, "messages": messages, **more}

    return built
