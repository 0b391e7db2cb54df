"""The ground of the short forms: the session's Postgres, and one offline provider."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.embedded import Postgres
from tests.faults.harness import Ground, provider

LATENCY_MS = 150


@pytest.fixture(scope="session")
def ground(postgres: Postgres, migrated_template: str) -> Iterator[Ground]:
    folder = Path(tempfile.mkdtemp(prefix="fault-lab-"))
    try:
        with provider(folder, LATENCY_MS) as (url, calls):
            yield Ground(postgres.url, migrated_template, url, calls)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
