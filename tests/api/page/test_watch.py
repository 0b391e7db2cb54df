"""One drawing for all who look, and a Postgres that hangs is away: old figures never pass for new ones."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from api.page.watch import Watch, in_time
from jobs.health import HealthReader
from jobs.settings import Settings
from jobs.store.session import Database, StoreUnavailable
from routing.catalog import Catalog
from routing.plan import Yard
from tests.api.page.visitor import tile
from tests.jobs.store import given


class Hanging(Database):
    """A database that answers, and counts its connections, until it is told to hang."""

    def __init__(self, url: str) -> None:
        super().__init__(url, pool_size=4)
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = 0

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[AsyncConnection]:
        self.asked += 1
        await self.answers.wait()
        async with super().statement() as connection:
            yield connection


@pytest.fixture
async def hanging(settings: Settings) -> AsyncIterator[Hanging]:
    opened = Hanging(settings.database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def watch(hanging: Hanging, settings: Settings) -> AsyncIterator[Watch]:
    reader = HealthReader(settings.redis_url)
    made = Watch(hanging, reader, settings, Yard(Catalog.of([], []), frozenset()))
    yield made
    await made.close()
    await reader.aclose()


async def test_ten_who_look_cost_what_one_does(watch: Watch, hanging: Hanging, database: Database):
    tenant_id = await given.tenant(database)
    await in_time(watch.look(tenant_id))
    of_one = hanging.asked
    await asyncio.gather(*(watch.look(tenant_id) for _ in range(10)))
    assert hanging.asked == of_one
    await watch.close()
    pages = await asyncio.gather(*(in_time(watch.look(tenant_id)) for _ in range(10)))
    assert len(set(pages)) == 1
    assert hanging.asked == 2 * of_one


async def test_a_postgres_that_hangs_is_away_although_there_are_old_figures(
    watch: Watch, hanging: Hanging, database: Database
):
    watch.fresh_s = 0.0
    tenant_id = await given.tenant(database)
    assert tile(await watch.look(tenant_id), "done")[0] == "0"
    watch.wait_s = 0.05
    hanging.answers.clear()
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await watch.look(tenant_id)
    watch.wait_s = 10
    hanging.answers.set()
    await given.succeeded(database, await given.job(database, tenant_id))
    await watch.close()
    assert tile(await watch.look(tenant_id), "done")[0] == "1"


async def test_more_tenants_than_are_remembered_see_their_pages(
    watch: Watch, hanging: Hanging, database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("api.page.watch.MOST_TENANTS", 2)
    tenants = [await given.tenant(database, name=f"tenant {number}") for number in range(4)]
    hanging.answers.clear()
    looks = [asyncio.create_task(watch.look(tenant_id)) for tenant_id in tenants]
    await asyncio.sleep(0.1)
    hanging.answers.set()
    pages = await asyncio.gather(*looks, return_exceptions=True)
    assert [type(page) for page in pages] == [str] * 4


async def test_a_question_that_hangs_is_left_to_end_by_itself():
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    with pytest.raises(StoreUnavailable):
        await in_time(answer, wait_s=0.01)
    assert not answer.cancelled()
    answer.set_exception(ConnectionError("late"))
    assert await in_time(asyncio.sleep(0, 7)) == 7


async def test_who_does_not_exist_sees_nothing(watch: Watch):
    assert tile(await watch.look(uuid.uuid4()), "waiting")[0] == "0"
