"""A tenant's bound on waiting jobs: counted once for many submits, in the background, and never far off."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from api import quota as quotas
from api.problems import Problem
from api.quota import Quota
from jobs.store.accounts import Key
from jobs.store.session import Database
from tests.faults.harness import until
from tests.jobs.store import given


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url, pool_size=2)
    yield opened
    await opened.close()


class Counted(Quota):
    """Says how often it has counted."""

    counts = 0

    async def _count(self, tenant_id: uuid.UUID) -> None:
        self.counts += 1
        await super()._count(tenant_id)


async def key_of(database: Database, most: int) -> Key:
    tenant_id = await given.tenant(database)
    return Key(
        id=uuid.uuid4(), tenant_id=tenant_id, secret_sha256=b"", scopes=frozenset({"submit"}), max_queued_jobs=most
    )


async def test_submits_at_once_are_one_count_and_fill_the_queue_to_its_bound(database: Database):
    key, quota = await key_of(database, 10), Counted(database)
    for _ in range(4):
        await given.job(database, key.tenant_id)
    answers = await asyncio.gather(*(quota.take(key, 1) for _ in range(9)), return_exceptions=True)
    assert [type(answer) for answer in answers].count(type(None)) == 6
    refused = [answer for answer in answers if isinstance(answer, Problem)]
    assert len(refused) == 3
    assert 1 <= int(refused[0].headers["retry-after"]) <= 60
    assert quota.counts == 1


async def test_a_bulk_that_does_not_fit_is_refused_whole(database: Database):
    key, quota = await key_of(database, 10), Counted(database)
    with pytest.raises(Problem):
        await quota.take(key, 11)
    await quota.take(key, 10)


async def test_a_count_past_its_time_is_gone_by_while_a_fresh_one_is_made(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(quotas, "RECOUNT_S", 0.0)
    monkeypatch.setattr(quotas, "SHARE", 0)
    key, quota = await key_of(database, 10), Counted(database)
    await quota.take(key, 1)
    taken = asyncio.create_task(quota.take(key, 1))
    await asyncio.sleep(0)
    assert taken.done()  # without waiting for Postgres
    await until(lambda: quota.counts == 2 and not quota._counting, "the fresh count is there")
    for _ in range(8):
        await given.job(database, key.tenant_id)
    await quota.take(key, 1)
    await until(lambda: quota.counts == 3 and not quota._counting, "the next one, too")
    with pytest.raises(Problem):  # refused only by a count that is fresh
        await quota.take(key, 3)
    assert quota.counts == 4


async def test_a_count_under_way_is_given_up_with_the_process_and_leaves_no_connection_behind(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(quotas, "RECOUNT_S", 0.0)
    monkeypatch.setattr(quotas, "SHARE", 0)
    key, quota = await key_of(database, 10), Quota(database)
    await quota.take(key, 1)
    await quota.take(key, 1)
    assert quota._counting
    await quota.close()
    assert not quota._counting
    assert database.engine.pool.status().endswith("Current Checked out connections: 0")
