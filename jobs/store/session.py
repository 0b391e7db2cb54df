"""Connections to Postgres: one engine a process, with time-outs on everything, and errors translated once."""

import asyncio
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

Connection = AsyncConnection
"""What the record's functions take; named here so that nobody else needs to know SQLAlchemy."""
CONNECT_TIMEOUT_S = 5
TURN_TIMEOUT_S = 10
STATEMENT_TIMEOUT_MS = 30_000
LOCK_TIMEOUT_MS = 10_000
ANSWER_TIMEOUT_S = 35.0
"""For who must go on: longer than a statement may take."""
UNHEARD_MS = 30_000
"""What was sent and is not acknowledged for so long: then the connection is lost. Keep-alives see only silent ones."""
IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000
"""A process that is frozen within a transaction holds its locks that long at most: the server ends its session."""


class StoreUnavailable(ConnectionError):
    """Postgres can't be reached, went away or gave up waiting; nothing was recorded, try again."""


class Database:
    """The record's engine. `transaction()` for what belongs together, `statement()` for what need not.

    `durable=False` gives connections whose commits may be lost in the last instant before a crash of Postgres
    (`synchronous_commit=off`): right for claims and beats, whose loss costs one lease, and for nothing else.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 8,
        durable: bool = True,
        turn_timeout_s: float = TURN_TIMEOUT_S,
        answer_timeout_s: float | None = None,
    ) -> None:
        """`answer_timeout_s` bounds a `statement()`: a server that is frozen ends nothing by its own time-outs."""
        self.engine: AsyncEngine = create_async_engine(
            sqlalchemy_url(url),
            pool_size=pool_size,
            max_overflow=0,
            hide_parameters=True,  # an error's text would quote prompts and answers
            pool_timeout=CONNECT_TIMEOUT_S,
            connect_args=connection_options(durable=durable),
        )
        event.listen(self.engine.sync_engine, "checkout", _refuse_the_lost)
        self._single = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._turns = Turns(pool_size, turn_timeout_s)
        self._answer_timeout_s = answer_timeout_s

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: committed at the end, rolled back by an exception. Raises StoreUnavailable."""
        async with self._turns.next(), self.engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[AsyncConnection]:
        """A connection that commits each statement by itself: one round trip instead of three."""
        async with self._turns.next(), answered_within(self._answer_timeout_s), self._single.connect() as connection:
            yield connection

    async def close(self) -> None:
        """Give all connections back."""
        await self.engine.dispose()


class Turns:
    """Turns at a few connections, first come first served.

    A pool hands a freed connection to whoever asks first, not to whoever waits longest: with hundreds of askers some
    starved until their time-out. A semaphore is fair, and nobody waits at the pool any more.
    """

    def __init__(self, connections: int, timeout_s: float) -> None:
        self._free = asyncio.Semaphore(connections)
        self._timeout_s = timeout_s

    @asynccontextmanager
    async def next(self) -> AsyncIterator[None]:
        """Wait for a turn. Raises StoreUnavailable when it does not come in time, or Postgres goes away in it."""
        if self._free.locked():
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._free.acquire()
            except TimeoutError as error:
                raise StoreUnavailable("no connection to Postgres became free in time") from error
        else:
            await self._free.acquire()
        try:
            with unavailable():
                yield
        finally:
            self._free.release()


@asynccontextmanager
async def answered_within(timeout_s: float | None) -> AsyncIterator[None]:
    """Raises StoreUnavailable when the block has not ended in time; None is for those who can wait."""
    try:
        async with asyncio.timeout(timeout_s) as clock:
            yield
    except TimeoutError as error:
        if not clock.expired():
            raise
        raise StoreUnavailable("Postgres does not answer") from error


def is_lost(connection: "psycopg.AsyncConnection[Any]") -> bool:
    """Whether the server has ended a connection that lay idle: it has something to say, unasked.

    A look at the socket, without a round trip: after a restart of Postgres nobody is handed a dead connection.
    """
    if connection.closed:
        return True
    heard = select.poll()
    heard.register(connection.pgconn.socket, select.POLLIN)
    return bool(heard.poll(0))


def _refuse_the_lost(dbapi_connection: Any, *_: object) -> None:
    """SQLAlchemy's pool then takes another, or opens one."""
    if is_lost(dbapi_connection.driver_connection):
        raise exc.DisconnectionError


def connection_options(*, durable: bool) -> dict[str, Any]:
    """What every connection of a process is opened with: time-outs on everything."""
    options = (
        f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={LOCK_TIMEOUT_MS}"
        f" -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT_MS} -c timezone=UTC -c jit=off"
    )
    if not durable:
        options += " -c synchronous_commit=off"
    return {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "options": options,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": UNHEARD_MS,
    }


class unavailable:  # noqa: N801 -- reads as a clause: `with unavailable():`
    """Translates a lost or refused connection into StoreUnavailable, once, at this border."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, exc.DBAPIError):
            if error.connection_invalidated or _is_away(error.orig):
                raise StoreUnavailable("Postgres is away") from error
        elif isinstance(error, psycopg.Error) and _is_away(error):  # spoken to the driver itself
            raise StoreUnavailable("Postgres is away") from error
        elif isinstance(error, exc.TimeoutError):
            raise StoreUnavailable("no connection to Postgres became free in time") from error
        elif isinstance(error, exc.InvalidRequestError) and str(error) == POOL_GAVE_UP:
            raise StoreUnavailable("Postgres ends every connection") from error


POOL_GAVE_UP = "This connection is closed"
"""SQLAlchemy's words when one connection after the other was lost before it could be handed out."""
# Connection trouble, a shutdown, no resources (disk, memory, connections), a statement or lock time-out, an idle
# transaction ended, a lost race, and a server that is read-only because it was not the primary any more.
_PASSING = ("08", "57P", "53", "57014", "55P03", "25P03", "40", "25006")


def _is_away(error: BaseException | None) -> bool:
    """Not a fault of the query, so it may be said again: see `_PASSING`."""
    if not isinstance(error, psycopg.Error):
        return False
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError)
    return state.startswith(_PASSING)


def sqlalchemy_url(url: str) -> str:
    """The URL with the driver that the record uses."""
    for scheme in ("postgresql://", "postgres://"):
        if url.startswith(scheme):
            return f"postgresql+psycopg://{url.removeprefix(scheme)}"
    return url
