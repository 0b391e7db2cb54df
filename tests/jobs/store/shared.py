"""One database for a whole module, emptied before each test: a copy of the template costs more than most tests here."""

from collections.abc import Iterator

import psycopg
import pytest

from cli.embedded import Postgres
from tests import conftest

EMPTY = """
delete from attempts; delete from payloads; delete from jobs; delete from batches;
delete from budgets; delete from api_keys; delete from idempotency; delete from tenants; drop table if exists numbers;
update lane_turns set turn = 0, last_tenant = default, deficits = default, stock = 0, depth = 0
"""


@pytest.fixture(scope="module")
def module_database_url(postgres: Postgres, migrated_template: str) -> Iterator[str]:
    yield from conftest._fresh_database(postgres, migrated_template)


@pytest.fixture
def database_url(module_database_url: str) -> str:
    with psycopg.connect(module_database_url, autocommit=True) as connection:
        connection.execute(EMPTY)
    return module_database_url
