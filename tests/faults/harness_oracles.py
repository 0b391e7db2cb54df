"""What must hold after every fault: ids that got a 202 (A), the provider's call log (P) and the record agree.

The numbers are those of the fault matrix: I1 nothing lost, I2 one ending, I3 no stale write, I4 every call has its
row, I5 the known cost is the provider's, to the last digit.
"""

import asyncio
import itertools
import math
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from jobs import ids
from jobs.states import State

TERMINAL = frozenset(state.value for state in State if state.is_terminal)
INPUT, OUTPUT, MILLION = Decimal("0.36"), Decimal("0.40"), Decimal(1_000_000)
PATIENCE_S = 30.0
SHOWN = 4

# A witness beside the record: each change of state, and each write to a row that had ended.
WITNESS = (
    "create table witness (job_id uuid, was text, became text)",
    """
    create function witness() returns trigger language plpgsql as $$
    begin
        if old.state is distinct from new.state or old.state not in ('queued', 'running') then
            insert into witness values (new.id, old.state, new.state);
        end if;
        return null;
    end $$
    """,
    "create trigger witness after update on jobs for each row execute function witness()",
)


async def set_witness(connection: "psycopg.AsyncConnection[Any]") -> None:
    """Put the trigger beside a fresh record."""
    for statement in WITNESS:
        await connection.execute(statement)


@dataclass
class Call:
    """One call as the provider saw it; `bill_usd` is None until its answer was computed."""

    attempt: uuid.UUID
    bill_usd: Decimal | None = None
    began_s: float = 0.0
    """Epoch seconds, of the machine that all of this runs on."""
    ended_s: float = math.inf


def read_calls(path: Path, skip: int = 0) -> list[Call]:
    """The provider's calls, of the log's lines after the first `skip`."""
    calls: dict[str, Call] = {}
    for raw in path.read_bytes().splitlines()[skip:]:
        line = msgspec.json.decode(raw)
        if line["event"] == "begin":
            calls[line["call"]] = Call(ids.read("att", line["request_id"]), began_s=line["time_s"])
        elif line["event"] == "end" and line["call"] in calls:
            bill = (INPUT * line["input_tokens"] + OUTPUT * line["output_tokens"]) / MILLION
            calls[line["call"]].bill_usd, calls[line["call"]].ended_s = bill, line["time_s"]
    return list(calls.values())


@dataclass(frozen=True)
class Row:
    """An attempt in the ledger."""

    id: uuid.UUID
    job: uuid.UUID
    outcome: str | None
    cost_usd: Decimal | None
    bound_usd: Decimal | None


@dataclass
class Findings:
    """What the oracles found of some jobs. `faults` is empty when all invariants hold."""

    accepted: int
    terminal: int
    calls: int
    states: Counter[str]
    outcomes: Counter[str]
    extra_by_job: Counter[uuid.UUID]
    faults: list[str] = field(default_factory=list)

    @property
    def lost(self) -> int:
        return self.accepted - self.terminal

    @property
    def extra_calls(self) -> int:
        return sum(self.extra_by_job.values())

    def line(self) -> str:
        return f"A={self.accepted} terminal={self.terminal} lost={self.lost} extra_calls={self.extra_calls}"


class Oracle:
    """Compares a record with the provider's log from `mark` on; make it before the first submit."""

    def __init__(self, connection: "psycopg.AsyncConnection[Any]", log: Path) -> None:
        self.connection = connection
        self._log = log
        self._mark = len(log.read_bytes().splitlines()) if log.exists() else 0

    def calls(self) -> list[Call]:
        return read_calls(self._log, self._mark)

    async def quiet(self) -> None:
        """Wait until the provider has ended every call it began, also those whose callers died."""
        for _ in range(int(PATIENCE_S / 0.05)):
            if all(call.bill_usd is not None for call in self.calls()):
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the provider did not end its calls")

    async def ledger(self) -> list[Row]:
        statement = "select id, job_id, outcome, cost_usd, cost_bound_usd from attempts"
        return [Row(*row) for row in await (await self.connection.execute(statement)).fetchall()]

    async def judge(self, accepted: Iterable[uuid.UUID]) -> Findings:
        """All invariants over the jobs of `accepted`; calls and rows of other jobs are left to their own judgement."""
        await self.quiet()
        calls = self.calls()  # before the ledger: a call's row is older than the call, also where others go on calling
        wanted = set(accepted)
        found = await self.connection.execute("select id, state, answer_attempt from jobs")
        jobs = {row[0]: (row[1], row[2]) for row in await found.fetchall() if row[0] in wanted}
        ledger = [row for row in await self.ledger() if row.job in wanted]
        job_of = {row.id: row.job for row in await self.ledger()}
        mine = [call for call in calls if job_of.get(call.attempt) in wanted]
        per_job = Counter(job_of[call.attempt] for call in mine)
        findings = Findings(
            accepted=len(wanted),
            terminal=sum(state in TERMINAL for state, _ in jobs.values()),
            calls=len(mine),
            states=Counter(state for state, _ in jobs.values()),
            outcomes=Counter(str(row.outcome) for row in ledger),
            extra_by_job=Counter({job: count - 1 for job, count in per_job.items() if count > 1}),
        )
        findings.faults += lost(wanted, jobs)
        findings.faults += await self._endings(wanted)
        findings.faults += accepted_twice(ledger, jobs)
        findings.faults += unbooked(calls, job_of)
        findings.faults += misbilled(mine, ledger)
        return findings

    async def _endings(self, wanted: set[uuid.UUID]) -> list[str]:
        """I2 and I3: one ending each, and nothing written to a row that had ended."""
        history = await (await self.connection.execute("select job_id, was, became from witness")).fetchall()
        endings = Counter(job for job, was, became in history if became in TERMINAL and was not in TERMINAL)
        twice = [job for job in wanted if endings[job] > 1]
        late = [job for job, was, _ in history if was in TERMINAL and job in wanted]
        faults = [f"I2: {len(twice)} jobs ended more than once"] if twice else []
        return faults + ([f"I3: {len(late)} writes to jobs that had ended"] if late else [])


def most_at_once(calls: Iterable[Call], since_s: float, until_s: float) -> int:
    """Most calls that ran side by side, among those that began between two moments."""
    among = [call for call in calls if since_s <= call.began_s <= until_s]
    steps = sorted([(call.began_s, 1) for call in among] + [(call.ended_s, -1) for call in among])
    return max(itertools.accumulate((step for _, step in steps), initial=0))


def verdict(faults: list[str]) -> str:
    """The end of a test's line: `ok`, or the first faults and `FAIL`."""
    if not faults:
        return "ok"
    more = f"[and {len(faults) - SHOWN} more] " if len(faults) > SHOWN else ""
    return "".join(f"[{fault}] " for fault in faults[:SHOWN]) + f"{more}FAIL"


def lost(wanted: set[uuid.UUID], jobs: dict[uuid.UUID, tuple[str, uuid.UUID | None]]) -> list[str]:
    """I1: every job that got a 202 is there and has ended."""
    ended = {job for job, (state, _) in jobs.items() if state in TERMINAL}
    return [f"I1: {len(wanted - ended)} jobs lost"] if wanted - ended else []


def accepted_twice(ledger: list[Row], jobs: dict[uuid.UUID, tuple[str, uuid.UUID | None]]) -> list[str]:
    """I3: a succeeded job has one accepted attempt, its answer; no other job has any."""
    accepted: dict[uuid.UUID, list[uuid.UUID]] = {}
    for row in ledger:
        if row.outcome == "accepted":
            accepted.setdefault(row.job, []).append(row.id)
    wrong = [
        job
        for job, (state, answer) in jobs.items()
        if accepted.get(job, []) != ([answer] if state == "succeeded" else [])
    ]
    return [f"I3: {len(wrong)} jobs whose accepted attempts are not their answer"] if wrong else []


def unbooked(calls: list[Call], job_of: dict[uuid.UUID, uuid.UUID]) -> list[str]:
    """I4: every call has its row, and none was made twice under one row."""
    strangers = [call for call in calls if call.attempt not in job_of]
    doubled = len(calls) - len({call.attempt for call in calls})
    faults = [f"I4: {len(strangers)} calls without a row"] if strangers else []
    return faults + ([f"I4: {doubled} calls under the row of another"] if doubled else [])


def misbilled(calls: list[Call], ledger: list[Row]) -> list[str]:
    """I4 and I5: known costs are the provider's exactly, unknown ones are flagged and within their bound."""
    bills = {call.attempt: call.bill_usd for call in calls}
    faults = []
    for row in ledger:
        bill = bills.get(row.id)
        if row.outcome is None:
            faults.append(f"I4: attempt {row.id} is still open")
        elif bill is None and row.outcome not in {"not_sent", "unknown"}:
            faults.append(f"I4: attempt {row.id} is {row.outcome}, and the provider knows of no such call")
        elif row.cost_usd is not None and row.cost_usd != (bill or 0):
            faults.append(f"I5: attempt {row.id} cost {bill}, booked are {row.cost_usd}")
        elif row.cost_usd is None and bill is not None and (row.bound_usd is None or bill > row.bound_usd):
            faults.append(f"I5: attempt {row.id} cost {bill}, beyond its bound {row.bound_usd}")
    return faults
