"""F28: webhook workers are killed one after the other; every terminal job is told of, under one id."""

import signal
from dataclasses import dataclass

import httpx2
import msgspec

from cli import processes
from jobs import ids
from jobs.failpoints import WEBHOOK_POINTS
from tests.faults.harness import Ground, Yard, until
from tests.faults.harness_load import Report, job
from tests.faults.harness_oracles import verdict
from tests.workers.receiver import Receiver, receiving

# So seldom a poll that only bells can bring the workers to it.
SETTINGS = """[webhooks]
allow_networks = ["127.0.0.1/32"]
timeout_s = 1.5
lease_s = 3.0
poll_s = 600.0
"""
EVENTS = "select id from webhook_deliveries"
LEFT = """
select (select count(*) from jobs where finished_at is null)
    + (select count(*) from webhook_deliveries where state <> 'delivered'),
    (select count(*) from webhook_deliveries where type = 'batch.finished')
"""
UNTOLD = """
select count(*) from jobs j where webhook_id is not null and finished_at is not null
    and not exists (select from webhook_deliveries d where d.job_id = j.id)
"""


@dataclass(frozen=True)
class Case:
    """What was put out, and what arrived."""

    jobs: int
    events: frozenset[str]
    """Ids in the outbox; one is the batch's."""
    untold: int
    """Terminal jobs that name an endpoint and have no event."""
    arrived: frozenset[str]
    twice: int
    """Deliveries beyond the first of their event: calls whose end was never booked."""
    forged: int
    deaths: int

    @property
    def faults(self) -> list[str]:
        found = []
        if len(self.events) != self.jobs + 1 or self.untold:
            found.append("the outbox does not hold one event for each job and one for the batch")
        if self.arrived != self.events:
            found.append(f"{len(self.events ^ self.arrived)} events did not arrive, or are nobody's")
        if self.deaths != len(WEBHOOK_POINTS):
            found.append("a worker did not die where it should")
        if self.forged:
            found.append("a signature did not verify")
        return found

    def line(self) -> str:
        delivered = 100 * len(self.arrived & self.events) / max(1, len(self.events))
        said = f"events={len(self.events)} delivered={delivered:.1f}% twice={self.twice} deaths={self.deaths}"
        return f"F28 jobs={self.jobs} {said} signature_failures={self.forged} {verdict(self.faults)}"


async def run(ground: Ground, jobs: int, report: Report, *, limit_s: float) -> Case:
    """A batch whose lines name the endpoint too, while webhook workers die one after the other; the last one lives."""
    async with receiving() as receiver, Yard.opened(ground, worker=SETTINGS) as yard:
        yard.start_dispatcher()
        await yard.start_api()
        yard.start_worker()
        async with httpx2.AsyncClient(base_url=yard.url, headers={"authorization": f"Bearer {yard.key}"}) as client:
            await _submit(client, receiver, jobs)
        deaths = 0
        for point in sorted(WEBHOOK_POINTS):
            doomed = yard.start(processes.webhooks(), die_at=f"{point}:{max(2, jobs // 8)}")
            await until(lambda doomed=doomed: not doomed.is_alive, f"the webhook worker dies at {point}", limit_s)
            assert doomed.exit_code == -signal.SIGKILL, doomed.last_words()
            deaths += 1
        yard.start(processes.webhooks())

        async def all_told() -> bool:
            ((left, finished),) = await yard.rows(LEFT)
            return bool(left == 0 and finished == 1)

        await until(all_told, "every event is delivered", limit_s)
        ((untold,),) = await yard.rows(UNTOLD)
        case = Case(
            jobs=jobs,
            events=frozenset(ids.show("evt", row[0]) for row in await yard.rows(EVENTS)),
            untold=untold,
            arrived=frozenset(event for _, event in receiver.got),
            twice=len(receiver.got) - len({event for _, event in receiver.got}),
            forged=receiver.forged,
            deaths=deaths,
        )
        report(case.line())
        return case


async def _submit(client: httpx2.AsyncClient, receiver: Receiver, jobs: int) -> None:
    """An endpoint, and a batch that names it, as each of its lines does."""
    made = (await client.post("/v1/webhooks", json={"url": f"{receiver.url}/yard", "name": "f28"})).json()
    receiver.secrets["yard"] = [made["secret"]]
    lines = [
        msgspec.json.encode(job(serial, "bulk", stream=False, poison="") | {"webhook": made["id"]})
        for serial in range(jobs)
    ]
    reply = await client.post(f"/v1/jobs/bulk?webhook={made['id']}", content=b"\n".join(lines))
    assert reply.status_code == 202, reply.text
