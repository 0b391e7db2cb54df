"""Reaches a yard's database for the commands of its operator: whoever holds the database, and not a tenant's key."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cli.yard import Yard, YardError
from jobs.configuration import ENVIRONMENT, load

if TYPE_CHECKING:
    from jobs.store.session import Connection

Found = TypeVar("Found")


def asked(var: Path | None, use: Callable[["Connection"], Coroutine[Any, Any, Found]]) -> Found:
    """What `use` says in one transaction on the environment's database, else on that of the yard that runs here.

    Raises YardError, SettingsError.
    """
    from jobs.store.session import Database, StoreUnavailable  # noqa: PLC0415 - few commands need SQLAlchemy

    url = load(environ=Yard(var).surroundings(os.environ)).database_url
    if not url:
        raise YardError(f"this works on the database itself: set {next(iter(ENVIRONMENT))}, or start a yard here")

    async def run() -> Found:
        database = Database(url, pool_size=1)
        try:
            async with database.transaction() as connection:
                return await use(connection)
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except StoreUnavailable as error:
        raise YardError(f"{error}; is {next(iter(ENVIRONMENT))} right and the server up?") from error
