"""One head; each migration goes up, down and up on a filled database, and agrees with the tables."""

import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, inspect, text

from jobs.store.session import sqlalchemy_url
from jobs.store.tables import metadata
from migrations import run

SCRIPTS = ScriptDirectory("migrations")
REVISIONS = [script.revision for script in reversed(list(SCRIPTS.walk_revisions()))]
INDEXES = """
select tablename, indexname, indexdef from pg_indexes
where schemaname = 'public' and tablename = any(:tables) order by 1, 2
"""
COLUMNS = r"""
select table_name, column_name, data_type, numeric_precision, numeric_scale, is_nullable,
    regexp_replace(column_default, '^''(.*)''::[a-z]+$', '\1')
from information_schema.columns where table_schema = 'public' and table_name = any(:tables) order by 1, 2
"""
CHECKS = """
select conname, pg_get_constraintdef(oid) from pg_constraint
where contype in ('c', 'f', 'u') and conrelid = any(cast(:tables as regclass[])) and conparentid = 0 order by 1
"""
TABLES = sorted(metadata.tables)


def connected(url: str) -> Iterator[Engine]:
    engine = create_engine(sqlalchemy_url(url))
    yield engine
    engine.dispose()


@pytest.fixture
def migrated(database_url: str) -> Iterator[Engine]:
    yield from connected(database_url)


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[Engine]:
    yield from connected(empty_database_url)


def rows(engine: Engine, query: str, **names: Any) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query), names)]


def fill(connection: Connection) -> None:
    """A row in every table there is at this revision, with whatever columns it has."""
    one = uuid.UUID("01890000-0000-7000-8000-000000000001")
    known: dict[str, Any] = {
        "jobs.state": "queued",
        "jobs.token": None,
        "jobs.finished_at": None,
        "attempts.outcome": "accepted",
        "attempts.cost_basis": "usage",
        "attempts.budget_ids": None,
        "budgets.period": "day",
        "budgets.alert_percents": [50],
        "webhook_deliveries.state": "pending",
        "token_sums.sums": [1.0],
    }
    samples = {"UUID": one, "BYTEA": b"x", "INTEGER": 1, "SMALLINT": 1, "BOOLEAN": True, "TEXT": "x", "JSONB": "{}"}
    samples |= {"TIMESTAMP": "2026-01-01", "NUMERIC": 1, "DOUBLE PRECISION": 1.0, "BIGINT": 1, "ARRAY": ["x"]}
    inspector = inspect(connection)
    there = set(inspector.get_table_names())
    for table in (table.name for table in metadata.sorted_tables if table.name in there):
        columns = {column["name"]: str(column["type"]) for column in inspector.get_columns(table)}
        values = {
            name: known.get(f"{table}.{name}", samples[re.split(r"[(\[]", "ARRAY" if "ARRAY" in kind else kind)[0]])
            for name, kind in columns.items()
        }
        names = ", ".join(values)
        marks = ", ".join(f"cast(:{name} as jsonb)" if columns[name] == "JSONB" else f":{name}" for name in values)
        connection.execute(text(f"insert into {table} ({names}) values ({marks})"), values)


def test_there_is_one_head_and_it_is_what_this_code_expects():
    assert SCRIPTS.get_heads() == [run.head()]


@pytest.mark.parametrize("revision", REVISIONS)
def test_each_migration_goes_up_down_and_up_again_on_a_filled_database(
    empty_database_url: str, empty: Engine, revision: str
):
    before = SCRIPTS.get_revision(revision).down_revision
    assert before is None or isinstance(before, str)
    run.upgrade(empty_database_url, revision)
    with empty.begin() as connection:
        fill(connection)
    first = rows(empty, COLUMNS, tables=TABLES)
    run.downgrade(empty_database_url, before or "base")
    run.upgrade(empty_database_url, revision)
    assert rows(empty, COLUMNS, tables=TABLES) == first
    assert rows(empty, "select version_num from alembic_version") == [(revision,)]


def test_the_way_back_to_the_beginning_leaves_nothing(empty_database_url: str, empty: Engine):
    run.upgrade(empty_database_url)
    with empty.begin() as connection:
        fill(connection)
    run.downgrade(empty_database_url, "base")
    left = rows(
        empty, "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')"
    )
    assert left == [("alembic_version",)]


def test_migrating_twice_is_migrating_once(database_url: str, migrated: Engine):
    before = rows(migrated, COLUMNS, tables=TABLES)
    run.upgrade(database_url)
    assert rows(migrated, COLUMNS, tables=TABLES) == before


def test_alembic_finds_no_difference_between_the_tables_and_the_record(migrated: Engine):
    def is_ours(thing: Any, name: str | None, kind: str, *_: Any) -> bool:
        """Partitions exist in the database only; their parents stand for them."""
        return kind != "table" or name in metadata.tables

    with migrated.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": is_ours, "compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


@pytest.mark.parametrize("query", [COLUMNS, INDEXES, CHECKS], ids=["columns", "indexes", "constraints"])
def test_the_tables_as_code_sees_them_are_the_tables_as_migrated(migrated: Engine, empty: Engine, query: str):
    """What alembic does not compare: an index's condition, checks, precision. Both are asked of Postgres itself."""
    metadata.create_all(empty)
    assert rows(empty, query, tables=TABLES) == rows(migrated, query, tables=TABLES)


def test_every_partitioned_table_has_a_default(migrated: Engine):
    partitioned = rows(migrated, "select relname from pg_class where relkind = 'p' order by 1")
    assert partitioned == [("attempts",), ("payloads",)]
    for (table,) in partitioned:
        assert rows(migrated, "select to_regclass(:name) is not null", name=f"{table}_default") == [(True,)]
