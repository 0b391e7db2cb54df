"""F33: of three dispatchers one is frozen between look and release, another between its release and its bells.

The third must go on; when the two thaw, the one releases from a look of long ago and the other holds bells of long ago,
and neither may do any harm.
"""

import re
import threading
import time
import uuid
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from signal import SIGCONT

import msgspec
import redis
from redis.client import Monitor

from jobs.broker import read_bell
from jobs.failpoints import SIGNAL_VARIABLE
from jobs.lanes import Lane
from tests.faults.harness import Ground, Running, Yard, until
from tests.faults.harness_load import Report
from tests.faults.harness_oracles import Findings, Oracle, verdict

MOST_BELLS = 1.1
"""A job, on average: a release whose bell was lost is rung again."""
TAKEOVER_S = 15.0
HELD = """
select count(*) from pg_stat_activity
where pid <> pg_backend_pid() and datname = current_database() and application_name = %(name)s
    and (state like 'idle in transaction%%' or xact_start is not null)
"""
NAME = "freezes"
MOVED = "select id from jobs where id = any(%(ids)s) and (released_at is not null or state <> 'queued') limit 1"
END = b"that was all"
RUNG = re.compile(
    rb'"LPUSH" "(?:' + b"|".join(lane.value.encode() for lane in Lane) + rb')" ".*?\\"body\\": \\"([\w+/=]+)'
)


@dataclass(frozen=True)
class Case:
    """What three dispatchers did between them."""

    findings: Findings
    bells_per_job: float
    takeover_s: float
    """From the second freeze to the next release."""
    transactions_held: int
    """Open in Postgres while both were frozen."""

    @property
    def faults(self) -> list[str]:
        found = list(self.findings.faults)
        if self.findings.states.keys() != {"succeeded"}:
            found.append(f"jobs ended as {dict(self.findings.states)}")
        if self.bells_per_job > MOST_BELLS:
            found.append(f"{self.bells_per_job:.2f} bells a job")
        if self.takeover_s > TAKEOVER_S:
            found.append(f"the others took over after {self.takeover_s:.0f} s")
        if self.transactions_held:
            found.append(f"frozen dispatchers held {self.transactions_held} transactions")
        return found

    def line(self) -> str:
        figures = f"bells_per_job={self.bells_per_job:.3f} takeover_s={self.takeover_s:.2f}"
        return f"F33 {self.findings.line()} {figures} held={self.transactions_held} {verdict(self.faults)}"


async def run(ground: Ground, jobs: int, report: Report, *, limit_s: float) -> Case:
    """Jobs before, during and after the freezes, `jobs` each."""
    async with Yard.opened(ground) as yard:
        oracle = Oracle(yard.connection, ground.calls)
        await yard.start_api()
        with _bells(yard.redis_url) as bells:
            accepted = await yard.client().submit(jobs, "bulk")
            frozen = [_dispatcher(yard, "looked:1"), _dispatcher(yard, "released:1")]
            yard.start_dispatcher()
            yard.start_worker(["standard", "bulk"])
            client = yard.client()
            while not all(one.is_frozen for one in frozen):
                accepted += await client.submit(8, "bulk")
            froze_at_s = time.monotonic()
            later = await client.submit(jobs, "bulk")

            async def goes_on() -> bool:
                return bool(await yard.rows(MOVED, ids=later))

            await until(goes_on, "the third dispatcher releases", TAKEOVER_S)
            takeover_s = time.monotonic() - froze_at_s
            ((held,),) = await yard.rows(HELD, name=NAME)
            await yard.ended(accepted + later, limit_s)
            for one in frozen:
                one.send(SIGCONT)
            await until(lambda: not any(one.is_frozen for one in frozen), "the two thaw")
            last = await client.submit(jobs, "bulk")
            await yard.ended(last, limit_s)
            everything = accepted + later + last
        case = Case(
            findings=await oracle.judge(everything),
            bells_per_job=sum(bells.values()) / len(everything),
            takeover_s=takeover_s,
            transactions_held=held,
        )
        report(case.line())
        return case


def _dispatcher(yard: Yard, point: str) -> Running:
    """One that freezes when it has something in hand."""
    return yard.start_dispatcher(point, {SIGNAL_VARIABLE: "SIGSTOP", "PGAPPNAME": NAME})


@contextmanager
def _bells(url: str) -> Iterator[Counter[uuid.UUID]]:
    """How often each job is named in a bell, as Redis itself hears it; complete when the block has ended."""
    heard: Counter[uuid.UUID] = Counter()
    with redis.Redis.from_url(url) as client, client.monitor() as monitor:

        def listen() -> None:
            while END not in (line := _line(monitor)):
                for body in RUNG.findall(line):
                    heard.update(read_bell(msgspec.json.decode(b64decode(body))[1]))

        listening = threading.Thread(target=listen, name="monitor")
        listening.start()
        try:
            yield heard
        finally:
            client.echo(END)
            listening.join()


def _line(monitor: Monitor) -> bytes:
    line = monitor.connection.read_response(disable_decoding=True)
    return line if isinstance(line, bytes) else str(line).encode()
