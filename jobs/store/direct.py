"""Connections for the few statements that every job passes, spoken to the driver itself.

SQLAlchemy's way to the driver and back (a checked-out connection, a greenlet, a compiled statement, a result) costs a
process 0.1 to 0.3 CPU ms a statement, more than the driver takes: nothing for what is asked now and then, a tenth of
an interactive job (`make bench`, the front door, 2026-11). The statements stay SQLAlchemy's: they run on both.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import lru_cache
from typing import Any, Protocol

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import namedtuple_row
from sqlalchemy import TextClause, make_url
from sqlalchemy.dialects import registry

from jobs.store.session import TURN_TIMEOUT_S, Turns, answered_within, connection_options, is_lost, sqlalchemy_url


class Found(Protocol):
    """What a statement found, as far as the record's functions look at it."""

    def all(self) -> Sequence[Any]:
        """The rows; a column is an attribute."""

    def scalars(self) -> Iterator[Any]:
        """Their first columns."""

    def __iter__(self) -> Iterator[Any]:
        """The rows."""


class Line(Protocol):
    """A connection, SQLAlchemy's or the driver's own."""

    async def execute(self, statement: TextClause, parameters: Mapping[str, Any], /) -> Found:
        """Run it."""


class Lines(Protocol):
    """Gives such connections, as `Database` and `Direct` do."""

    def statement(self) -> AbstractAsyncContextManager[Line]:
        """One that commits each statement by itself. Raises StoreUnavailable."""

    def transaction(self) -> AbstractAsyncContextManager[Line]:
        """One in a transaction. Raises StoreUnavailable."""

    async def close(self) -> None:
        """Give all connections back."""


class Rows:
    """What the driver found."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self._rows = rows

    def all(self) -> Sequence[Any]:
        """The rows; a column is an attribute."""
        return self._rows

    def scalars(self) -> Iterator[Any]:
        """Their first columns."""
        return (row[0] for row in self._rows)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)


class DriverLine:
    """The driver's own connection."""

    def __init__(self, connection: "psycopg.AsyncConnection[Any]") -> None:
        self._connection = connection

    async def execute(self, statement: TextClause, parameters: Mapping[str, Any], /) -> Rows:
        """Run it; the driver has it prepared from its sixth time on."""
        cursor = await self._connection.execute(sql(statement), parameters)
        return Rows(await cursor.fetchall() if cursor.description is not None else [])


class Direct:
    """A few of the driver's connections, opened when they are needed and kept."""

    def __init__(
        self,
        url: str,
        *,
        connections: int = 2,
        durable: bool = True,
        turn_timeout_s: float = TURN_TIMEOUT_S,
        answer_timeout_s: float | None = None,
    ) -> None:
        """As `Database` has them."""
        self._address, named = _SPELLING.create_connect_args(make_url(sqlalchemy_url(url)))
        self._options = named | connection_options(durable=durable)
        self._turns = Turns(connections, turn_timeout_s)
        self._answer_timeout_s = answer_timeout_s
        self._idle: list[psycopg.AsyncConnection[Any]] = []

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[DriverLine]:
        """A connection that commits each statement by itself. Raises StoreUnavailable."""
        async with self._connection() as connection:
            yield DriverLine(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[DriverLine]:
        """A transaction: committed at the end, rolled back by an exception. Raises StoreUnavailable."""
        async with self._connection() as connection, connection.transaction():
            yield DriverLine(connection)

    @asynccontextmanager
    async def _connection(self) -> "AsyncIterator[psycopg.AsyncConnection[Any]]":
        async with self._turns.next(), answered_within(self._answer_timeout_s):
            connection = await self._take()
            try:
                yield connection
            finally:
                if connection.info.transaction_status is TransactionStatus.IDLE:
                    self._idle.append(connection)
                else:  # lost, or cut within a statement
                    await connection.close()

    async def _take(self) -> "psycopg.AsyncConnection[Any]":
        while self._idle:
            connection = self._idle.pop()
            if not is_lost(connection):
                return connection
            await connection.close()
        return await psycopg.AsyncConnection.connect(
            *self._address, autocommit=True, row_factory=namedtuple_row, **self._options
        )

    async def close(self) -> None:
        """Give the connections back."""
        while self._idle:
            await self._idle.pop().close()


_SPELLING = registry.load("postgresql.psycopg")()


@lru_cache(maxsize=64)
def sql(statement: TextClause) -> str:
    """A statement in the driver's spelling of parameters."""
    return str(statement.compile(dialect=_SPELLING))
