"""F34: overload: `standard` brings nine jobs for each of `bulk`, one tenant twenty times what ten others bring, and the
interactive lane has no worker. Shares must be as configured, and the small must not wait behind the pile.

Everything waits before the first worker starts; judged is the order in which jobs were started, never the time.
"""

import signal
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from jobs.lanes import TERMS, Lane
from jobs.store import accounts, owner
from jobs.store.session import Database
from jobs.store.submit import insert
from tests.faults.harness import Ground, Running, Yard
from tests.faults.harness_load import Report, job
from tests.faults.harness_oracles import Findings, Oracle, verdict
from tests.jobs.store import given

SHARED = (Lane.STANDARD, Lane.BULK)
SMALL_TENANTS = 10
TIMES = 20
LEAST_JAIN = 0.9
SHARE_OFF = 0.08
"""A bell holds up to 32 jobs of one lane, so a short run's shares come in steps."""
STARTED = "select id, lane, tenant_id from jobs where started_at is not null order by started_at, hashtext(id::text)"
"""Those of one bell were started at once: in no order."""


@dataclass(frozen=True)
class Case:
    """In which order jobs were started."""

    findings: Findings
    bulk_share: float
    """Of the jobs started while both lanes had work."""
    jain: float
    """Over the tenants' jobs started while all tenants had work; 1 is fair."""
    last_small: int
    """Where the last job of a small tenant stood in the order."""
    last_small_bound: int
    interactive_waited: bool

    @property
    def faults(self) -> list[str]:
        found = list(self.findings.faults)
        if self.findings.states.keys() != {"succeeded", "cancelled"}:
            found.append(f"jobs ended as {dict(self.findings.states)}")
        asked = TERMS[Lane.BULK].weight / sum(TERMS[lane].weight for lane in SHARED)
        if abs(self.bulk_share - asked) > SHARE_OFF:
            found.append(f"bulk had {self.bulk_share:.0%} of its shared workers, not {asked:.0%}")
        if self.jain < LEAST_JAIN:
            found.append(f"Jain's index is {self.jain:.2f}")
        if self.last_small > self.last_small_bound:
            found.append(f"a small tenant waited behind the pile: its last job was number {self.last_small}")
        if not self.interactive_waited:
            found.append("interactive jobs ran without a worker of their lane: nothing was proved")
        return found

    def line(self) -> str:
        shares = f"bulk={self.bulk_share:.1%} jain={self.jain:.3f} last_small={self.last_small}/{self.last_small_bound}"
        return f"F34 {self.findings.line()} {shares} {verdict(self.faults)}"


async def run(ground: Ground, bulk: int, small: int, report: Report, *, limit_s: float) -> Case:
    """`bulk` jobs against nine times as many in standard; ten tenants with `small` jobs each against twenty times."""
    async with Yard.opened(ground) as yard:
        oracle = Oracle(yard.connection, ground.calls)
        database = Database(yard.database_url, pool_size=1)
        try:
            interactive = await _fill(database, "lanes", Lane.INTERACTIVE, 40)
            dispatcher, lanes, order = await _overload(yard, database, bulk, limit_s)
            tenants, ranks = await _crowd(yard, dispatcher, database, small, limit_s)
            yard.start_worker([Lane.INTERACTIVE])
            await yard.ended(interactive, limit_s)
        finally:
            await database.close()
        piles = list(tenants.values())
        jain, last_small = _fairness(ranks, piles)
        case = Case(
            findings=await oracle.judge([*lanes, *interactive, *(job_id for pile in piles for job_id in pile)]),
            bulk_share=_share_while_both(order, bulk),
            jain=jain,
            last_small=last_small,
            # Their own, as many of the big one's, and what two bells a slot may mix up.
            last_small_bound=(SMALL_TENANTS + 2) * small + 2 * 4 * TERMS[Lane.BULK].bell_size,
            interactive_waited=not any(lane == Lane.INTERACTIVE for _, lane in order),
        )
        report(case.line())
        return case


async def _overload(
    yard: Yard, database: Database, bulk: int, limit_s: float
) -> tuple[Running, list[uuid.UUID], list[tuple[uuid.UUID, str]]]:
    """Two lanes on one worker until bulk has run out: the dispatcher, all jobs, and those started, in order."""
    piled = await _fill(database, "lanes", Lane.STANDARD, 9 * bulk)
    lanes = await _fill(database, "lanes", Lane.BULK, bulk)
    dispatcher = yard.start_dispatcher()
    yard.start_worker(SHARED)
    await yard.ended(lanes, limit_s)
    order = [(row[0], row[1]) for row in await yard.rows(STARTED)]
    await _cancel(yard, database, "lanes", piled, limit_s)
    return dispatcher, piled + lanes, order


async def _crowd(
    yard: Yard, dispatcher: Running, database: Database, small: int, limit_s: float
) -> tuple[dict[str, list[uuid.UUID]], list[uuid.UUID]]:
    """Eleven tenants in one lane until the small ones have run out: their jobs, and those started, in order."""
    counts = {"big": TIMES * small} | {f"small-{nth}": small for nth in range(SMALL_TENANTS)}
    dispatcher.send(signal.SIGSTOP)  # while they all come
    piles = {name: await _fill(database, name, Lane.BULK, count) for name, count in counts.items()}
    dispatcher.send(signal.SIGCONT)
    await yard.ended([job_id for name, pile in piles.items() if name != "big" for job_id in pile], limit_s)
    everyone = {job_id for pile in piles.values() for job_id in pile}
    ranks = [row[0] for row in await yard.rows(STARTED) if row[0] in everyone]
    await _cancel(yard, database, "big", piles["big"], limit_s)
    return piles, ranks


async def _fill(database: Database, tenant: str, lane: Lane, count: int) -> list[uuid.UUID]:
    """Jobs of a tenant that wait, as a submit leaves them."""
    async with database.transaction() as connection:
        tenant_id = await accounts.ensure_tenant(connection, tenant)
        plain = [given.submission(tenant_id, lane=lane) for _ in range(count)]
        submissions = [
            msgspec.structs.replace(one, request_raw=msgspec.json.encode(job(nth, lane, False, "")["request"]))
            for nth, one in enumerate(plain)
        ]
        for start in range(0, count, 500):
            await insert(connection, submissions[start : start + 500])
    return [one.id for one in submissions]


async def _cancel(yard: Yard, database: Database, tenant: str, job_ids: Sequence[uuid.UUID], limit_s: float) -> None:
    """End what is left of a pile that has served."""
    async with database.statement() as connection:
        tenant_id = await accounts.ensure_tenant(connection, tenant)
        for job_id in job_ids:
            await owner.cancel_job(connection, tenant_id, job_id)
    await yard.ended(job_ids, limit_s)


def _share_while_both(order: Sequence[tuple[uuid.UUID, str]], bulk: int) -> float:
    """The part of bulk among the jobs started until its last nine tenths were: there was work in both lanes."""
    seen = 0
    for place, (_, lane) in enumerate(order, start=1):
        seen += lane == Lane.BULK
        if seen >= bulk * 0.9:
            return seen / place
    return 0.0


def _fairness(ranks: Sequence[uuid.UUID], piles: Sequence[Sequence[uuid.UUID]]) -> tuple[float, int]:
    """Jain's index while every tenant had work, and the place of the small ones' last job.

    R. Jain, D. Chiu, W. Hawe, "A Quantitative Measure of Fairness", DEC TR-301, 1984: (sum x)^2 / (n sum x^2).
    """
    owner = {job_id: nth for nth, pile in enumerate(piles) for job_id in pile}
    started: Counter[int] = Counter()
    for job_id in ranks:
        started[owner[job_id]] += 1
        if any(started[nth] == len(pile) for nth, pile in enumerate(piles)):
            break
    counts = [started[nth] for nth in range(len(piles))]
    last_small = max(place for place, job_id in enumerate(ranks, start=1) if owner[job_id] != 0)
    return sum(counts) ** 2 / (len(counts) * sum(count * count for count in counts)), last_small
