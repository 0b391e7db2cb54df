"""Real servers for every test: one embedded Postgres and one Redis per session, a fresh database per test."""

import contextlib
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from cli.embedded import Postgres, Redis
from tests.guardian import Guardian, interrupt_on_stops
from tests.properties import give_seed, load_profiles

TEMPLATE = "migrated"
load_profiles()
guardians: list[Guardian] = []
"""The one of this run."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", default="0", help="What property tests draw goes by this and their names (default 0).")


def pytest_configure(config: pytest.Config) -> None:
    interrupt_on_stops()
    guardians.append(Guardian())


def pytest_unconfigure(config: pytest.Config) -> None:
    while guardians:
        if left := guardians.pop().close():
            sys.stderr.write(f"\nended what the tests left behind:\n{left}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    give_seed(item, item.config.getoption("--seed"))


@pytest.fixture
def yard_folder() -> Iterator[Path]:
    """A short folder that Postgres' user can reach, too; pytest's `tmp_path` is closed to it when we are root."""
    with _short_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One Postgres for the session, without fsync: nothing in a test outlives the machine."""
    with _short_folder() as folder:
        server = Postgres(folder, fsync=False)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """One Redis for the session, the wheel's; tests that need it empty use names of their own."""
    with _short_folder() as folder:
        server = Redis(folder, from_wheel=True)
        server.start()
        try:
            yield server.url
        finally:
            server.stop()


@pytest.fixture(scope="session")
def migrated_template(postgres: Postgres) -> str:
    """Name of a database at the migrations' head, from which others are copied in milliseconds."""
    from migrations.run import upgrade  # noqa: PLC0415 - only tests with a database need it

    _execute(postgres.url, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    upgrade(database_at(postgres, TEMPLATE))
    return TEMPLATE


@pytest.fixture
def database_url(postgres: Postgres, migrated_template: str) -> Iterator[str]:
    """A fresh migrated database, dropped afterwards with whoever is still connected."""
    yield from _fresh_database(postgres, migrated_template)


@pytest.fixture
def empty_database_url(postgres: Postgres) -> Iterator[str]:
    """A fresh database without any table, for the migrations' own tests."""
    yield from _fresh_database(postgres, "template0")


def database_at(server: Postgres, name: str) -> str:
    """The URL of another database on the same server."""
    return server.url.replace("@/tokenyard?", f"@/{name}?")


def _fresh_database(server: Postgres, template: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    _execute(
        server.url,
        sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
            sql.Identifier(name), sql.Identifier(template)
        ),
    )
    try:
        yield database_at(server, name)
    finally:
        _execute(server.url, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _execute(url: str, statement: sql.Composed) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


@contextlib.contextmanager
def _short_folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="yard-"))
    for guardian in guardians:
        guardian.keep(path)
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
