"""A lab for each test of the everyday commands: one API a module, a tenant of its own a test."""

from collections.abc import Iterator

import pytest

from cli.embedded import Postgres
from tests.cli.lab import Lab, of_a_fresh_tenant, serving
from tests.cli.whole import Whole, whole_yard
from tests.conftest import _fresh_database, _short_folder


@pytest.fixture(scope="module")
def served(postgres: Postgres, migrated_template: str, redis_url: str) -> Iterator[tuple[str, str]]:
    """The addresses of an API and of its database; a module long, so that its thread is in nobody else's way."""
    for database_url in _fresh_database(postgres, migrated_template):
        with serving(database_url, redis_url) as url:
            yield url, database_url


@pytest.fixture
def lab(served: tuple[str, str]) -> Lab:
    return of_a_fresh_tenant(*served)


@pytest.fixture
def nobody() -> Lab:
    """Where nobody answers: a command that gets so far as to ask ends with exit 1."""
    return Lab("http://127.0.0.1:1", "ty_a_b", "")


@pytest.fixture(scope="package")
def whole() -> Iterator[Whole]:
    """One yard by `tokenyard up` for all tests here that need a whole one; it stops before other packages' tests."""
    with _short_folder() as folder, whole_yard(folder) as up:
        yield up
