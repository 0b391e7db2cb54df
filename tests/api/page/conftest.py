"""A visitor of an app of its own."""

from collections.abc import AsyncIterator

import pytest

from api.app import create_with, lifespan
from jobs.settings import Settings
from jobs.store.accounts import Scope
from jobs.store.session import Database
from tests.api.conftest import make_key
from tests.api.page.visitor import Visitor


@pytest.fixture
async def stranger(settings: Settings) -> AsyncIterator[Visitor]:
    """Somebody who has not signed in."""
    app = create_with(settings)
    async with lifespan(settings)(app):
        visitor = Visitor(app)
        async with visitor.client:
            yield visitor


@pytest.fixture
async def visitor(stranger: Visitor, database: Database) -> Visitor:
    """Somebody signed in with an admin key of tenant `default`."""
    reply = await stranger.sign_in(await make_key(database, "default", Scope.ADMIN))
    assert (reply.status_code, reply.headers["location"]) == (303, "/")
    return stranger
