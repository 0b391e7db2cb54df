"""F28: receivers that are down, slow, gone or asking for patience; all events arrive in the end, nobody else waits."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from jobs import ids
from jobs.settings import Settings, Webhooks
from jobs.store import outbox, webhooks
from jobs.store.session import Database
from routing.addresses import rules_of
from routing.webhooks import SCHEDULE_S
from tests.jobs.store import given
from tests.jobs.store.hooking import endpoint, execute, put_forward, rows
from tests.workers.receiver import Answer, Receiver, receiving
from workers.door import Door
from workers.webhooks import Deliverer

SECTION = Webhooks(allow_networks=("127.0.0.1/32",), timeout_s=4.0, lease_s=30.0, poll_s=0.1)
MINUTE_S, HOUR_S = 60, 3600


async def nowhere(host: str, port: int) -> tuple[()]:
    raise AssertionError("every receiver here is an address")


class Lab:
    """A deliverer over a real record, a receiver, and endpoints of one tenant."""

    def __init__(self, database: Database, receiver: Receiver, tenant_id: uuid.UUID) -> None:
        self.database = database
        self.receiver = receiver
        self.tenant_id = tenant_id
        door = Door(rules_of(Settings(webhooks=SECTION)), nowhere, timeout_s=SECTION.timeout_s)
        self.door = door
        self.deliverer = Deliverer(database, door, SECTION, lambda: 0.0)
        self.put_out: set[tuple[str, str]] = set()
        self.hooks: dict[str, uuid.UUID] = {}

    async def hook(self, name: str) -> uuid.UUID:
        """An endpoint whose receiver verifies its calls."""
        self.hooks[name] = await endpoint(self.database, self.tenant_id, f"{self.receiver.url}/{name}")
        await self.learn_secrets(name)
        return self.hooks[name]

    async def learn_secrets(self, name: str) -> None:
        """The receiver verifies by all secrets that are valid now."""
        (row,) = await rows(self.database, "select * from webhooks where id = :id", id=self.hooks[name])
        self.receiver.secrets[name] = [secret for secret in (row.secret, row.old_secret) if secret is not None]

    async def event(self, name: str, count: int = 1) -> list[str]:
        """Put out events for one endpoint: their ids."""
        made = []
        for _ in range(count):
            async with self.database.transaction() as connection:
                event_id = await outbox.tell(connection, self.tenant_id, self.hooks[name], "job.succeeded", {})
            assert event_id is not None
            made.append(ids.show("evt", event_id))
        self.put_out |= {(name, event_id) for event_id in made}
        return made

    async def all_due(self) -> None:
        """Deliver until nothing is due."""
        async with asyncio.timeout(30):
            while await self.deliverer.claim() or self.deliverer.in_flight:
                await asyncio.gather(*self.deliverer._in_flight)

    async def standing(self, name: str) -> tuple[str, int, float | None]:
        """(state, tries, seconds to the next) of an endpoint's only event."""
        (row,) = await rows(
            self.database,
            "select state, tries, extract(epoch from next_at - now())::float8 as wait_s from webhook_deliveries"
            " where webhook_id = :id",
            id=self.hooks[name],
        )
        return row.state, row.tries, row.wait_s if row.state == "pending" else None


@pytest.fixture
async def lab(database_url: str) -> AsyncIterator[Lab]:
    database = Database(database_url, pool_size=4)
    async with receiving() as receiver:
        made = Lab(database, receiver, await given.tenant(database))
        yield made
        assert receiver.forged == 0, "a signature did not verify"
        assert all(len(bodies) == 1 for bodies in receiver.bodies.values()), "an event's tries differ in their bytes"
        await made.door.aclose()
    await database.close()


def answering(status: int, **told: str) -> Answer:
    return status, {name.replace("_", "-"): text for name, text in told.items()}


async def test_a_receiver_that_is_down_gets_everything_on_schedule_when_it_is_up_again(lab: Lab):
    await lab.hook("a")
    lab.receiver.answers["a"] = lambda _: answering(500)
    (event,) = await lab.event("a")
    waits = []
    for _ in range(5):
        await lab.all_due()
        _, _, wait_s = await lab.standing("a")
        assert wait_s is not None
        waits.append(round(wait_s))
        await put_forward(lab.database, wait_s + 1)
    assert waits == list(SCHEDULE_S[1:6])
    assert lab.receiver.tried["a"] == 5
    del lab.receiver.answers["a"]
    await lab.all_due()
    assert lab.receiver.got == [("a", event)]
    (hook,) = await rows(lab.database, "select failures, failing_since, paused_until from webhooks")
    assert tuple(hook) == (0, None, None)


async def test_after_the_last_try_it_has_failed_and_a_replay_begins_anew_under_the_same_id(lab: Lab):
    webhook_id = await lab.hook("a")
    lab.receiver.answers["a"] = lambda _: answering(302, location="/elsewhere")
    (event,) = await lab.event("a")
    for _ in SCHEDULE_S:
        await lab.all_due()
        await put_forward(lab.database, 25 * HOUR_S)
        await execute(lab.database, "update webhooks set failing_since = now()")
    assert await lab.standing("a") == ("failed", 10, None)
    assert lab.receiver.tried == {"a": 10}
    async with lab.database.statement() as connection:
        assert await outbox.replay(connection, lab.tenant_id, webhook_id, ids.read("evt", event)) == 1
    del lab.receiver.answers["a"]
    await lab.all_due()
    assert lab.receiver.got == [("a", event)]
    tried = await rows(lab.database, "select number, status from webhook_tries order by number")
    assert [tuple(row) for row in tried] == [*((n, 302) for n in range(1, 11)), (11, 200)]


async def test_gone_disables_at_once_holds_the_rest_and_tells_the_tenants_other_endpoints(lab: Lab):
    await lab.hook("gone")
    lab.receiver.answers["gone"] = lambda _: answering(410)
    await lab.hook("other")
    await lab.event("gone")
    await lab.all_due()
    (row,) = await rows(
        lab.database, "select enabled, disabled_reason from webhooks where id = :id", id=lab.hooks["gone"]
    )
    assert tuple(row) == (False, "it answered 410 Gone")
    assert await lab.standing("gone") == ("held", 1, None)
    assert lab.receiver.tried == {"gone": 1, "other": 1}


async def test_five_days_of_failures_disable_and_a_day_less_does_not(lab: Lab):
    await lab.hook("dead")
    await lab.hook("other")
    lab.receiver.answers["dead"] = lambda _: answering(500)
    await lab.event("dead", 2)
    await lab.all_due()
    await put_forward(lab.database, 4.9 * 24 * HOUR_S)
    await lab.all_due()
    assert [row.enabled for row in await rows(lab.database, "select enabled from webhooks")] == [True, True]
    await put_forward(lab.database, 0.2 * 24 * HOUR_S)
    await lab.all_due()
    (row,) = await rows(
        lab.database, "select enabled, disabled_reason from webhooks where id = :id", id=lab.hooks["dead"]
    )
    assert tuple(row) == (False, "every try of 5 days failed")
    (news,) = await rows(
        lab.database, "select webhook_id, state from webhook_deliveries where type = 'webhook.disabled'"
    )
    assert tuple(news) == (lab.hooks["other"], "delivered")
    held = await rows(lab.database, "select state from webhook_deliveries where webhook_id = :id", id=lab.hooks["dead"])
    assert {row.state for row in held} == {"held"}


@pytest.mark.parametrize("status", [429, 503])
async def test_a_receiver_that_asks_for_patience_gets_it(lab: Lab, status: int):
    await lab.hook("busy")
    lab.receiver.answers["busy"] = lambda tries: answering(status, retry_after="600") if tries == 1 else None
    await lab.event("busy")
    await lab.all_due()
    state, tries, wait_s = await lab.standing("busy")
    assert (state, tries) == ("pending", 1)
    assert wait_s is not None
    assert 590 < wait_s <= 600
    await lab.event("busy")
    await lab.all_due()
    assert lab.receiver.tried == {"busy": 1}, "what came later waits, too"
    del lab.receiver.answers["busy"]
    await put_forward(lab.database, 601)
    await lab.all_due()
    assert set(lab.receiver.got) == lab.put_out


async def test_one_dead_among_many_holds_up_nobody_and_gets_its_own_in_the_end(lab: Lab):
    names = [f"h{n}" for n in range(20)]
    await lab.hook("dead")
    for name in names:
        await lab.hook(name)
    lab.receiver.answers["dead"] = lambda _: None  # takes the call and never answers
    await lab.event("dead", 40)
    for name in names:
        await lab.event(name, 3)
    running = asyncio.create_task(lab.deliverer.run())
    lab.deliverer.nudge()
    healthy = {pair for pair in lab.put_out if pair[0] != "dead"}
    await lab.receiver.until(lambda: set(lab.receiver.got) >= healthy)
    assert lab.receiver.most_at_once["dead"] <= SECTION.concurrency_per_endpoint
    assert lab.receiver.tried["dead"] <= 8, "40 wait, a few are tried"
    await lab.deliverer.drain(SECTION.timeout_s + 5)
    await running
    del lab.receiver.answers["dead"]
    lab.deliverer = Deliverer(lab.database, lab.door, SECTION, lambda: 0.0)
    await put_forward(lab.database, 2 * HOUR_S)
    await lab.all_due()
    assert set(lab.receiver.got) == lab.put_out
    assert len(lab.receiver.got) == len(lab.put_out), "nothing was delivered twice"


async def test_without_a_bell_a_worker_looks_for_itself(lab: Lab):
    await lab.hook("a")
    running = asyncio.create_task(lab.deliverer.run())
    for _ in range(3):
        await lab.event("a")
        await lab.receiver.until(lambda: set(lab.receiver.got) == lab.put_out)
    await lab.deliverer.drain(5)
    await running


async def test_after_a_rotation_both_secrets_sign_until_the_old_one_has_run_out(lab: Lab):
    webhook_id = await lab.hook("a")
    async with lab.database.transaction() as connection:
        assert await webhooks.rotate(connection, lab.tenant_id, webhook_id) is not None
    await lab.learn_secrets("a")
    assert len(lab.receiver.secrets["a"]) == 2
    await lab.event("a")
    await lab.all_due()
    await execute(lab.database, "update webhooks set old_secret_until = now()")
    old = lab.receiver.secrets["a"].pop()
    await lab.event("a")
    await lab.all_due()
    assert len(lab.receiver.got) == 2
    assert lab.receiver.forged == 0
    lab.receiver.secrets["a"].append(old)
    await lab.event("a")
    await lab.all_due()
    assert lab.receiver.forged == 1, "the receiver would have seen a wrong signature"
    lab.receiver.forged = 0


async def test_a_url_that_leads_inside_by_now_is_not_called(lab: Lab):
    await lab.hook("a")
    await execute(lab.database, "update webhooks set url = replace(url, '127.0.0.1', '127.0.0.2')")
    await lab.event("a")
    await lab.all_due()
    (row,) = await rows(lab.database, "select status, error from webhook_tries")
    assert row.status is None
    assert row.error.startswith("refused: 127.0.0.2")
    assert lab.receiver.tried == {}


async def test_a_deleted_endpoints_call_books_nothing(lab: Lab):
    webhook_id = await lab.hook("a")
    lab.receiver.answers["a"] = lambda _: None
    await lab.event("a")
    await lab.deliverer.claim()
    await lab.receiver.until(lambda: lab.receiver.tried["a"] == 1)
    async with lab.database.transaction() as connection:
        assert await webhooks.delete(connection, lab.tenant_id, webhook_id)
    lab.receiver.end()
    await lab.all_due()
    assert await rows(lab.database, "select from webhook_tries") == []
