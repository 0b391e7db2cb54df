"""Makes the first key: `python -m jobs.store.bootstrap_key` prints a fresh admin key of the tenant `default`."""

import asyncio
import sys

from jobs.configuration import load
from jobs.store.accounts import Scope, create_key, ensure_tenant
from jobs.store.session import Database, StoreUnavailable

TENANT = "default"


async def bootstrap(database: Database) -> str:
    """Make tenant `default` if it is absent, and a key with every scope; returns the key's text."""
    async with database.transaction() as connection:
        tenant_id = await ensure_tenant(connection, TENANT)
        _, key = await create_key(connection, tenant_id, "bootstrap", Scope)
    return key


async def _main(url: str) -> str:
    database = Database(url, pool_size=1)
    try:
        return await bootstrap(database)
    finally:
        await database.close()


if __name__ == "__main__":
    database_url = load().database_url
    if not database_url:
        sys.exit("bootstrap_key: set TOKENYARD_DATABASE_URL to a migrated database")
    try:
        print(asyncio.run(_main(database_url)))  # noqa: T201 -- a command's answer
    except StoreUnavailable as error:
        sys.exit(f"bootstrap_key: {error}; is TOKENYARD_DATABASE_URL right and the server up?")
