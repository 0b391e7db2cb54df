"""F24: one Idempotency-Key, many senders, and an API that dies between commit and answer: one job, one answer."""

import asyncio
import signal
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx2
import msgspec

from cli.processes import SMALL
from jobs import ids
from tests.faults.harness import Ground, Yard, until
from tests.faults.harness_load import Report
from tests.faults.harness_oracles import verdict

REQUEST = {"model": SMALL, "messages": [{"role": "user", "content": "I lost my card"}]}
JOB = msgspec.json.encode({"request": REQUEST})
ROUTES = {"/v1/jobs": JOB, "/v1/jobs/bulk": b"\n".join([JOB] * 5)}
AGE = "update idempotency set created_at = now() - make_interval(hours => %(hours)s) returning key"
MADE = "select (select count(*) from jobs where batch_id is null), (select count(*) from batches)"


@dataclass
class Case:
    """What was sent under shared keys, and what came of it."""

    senders: int
    codes: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    made: int = 0

    def line(self) -> str:
        codes = " ".join(f"{code}:{count}" for code, count in sorted(self.codes.items()))
        return f"F24 senders={self.senders} made={self.made} codes={codes} {verdict(self.faults)}"


class Sender:
    """Sends to one API with one key, and notes what did not turn out as it must."""

    def __init__(self, yard: Yard, case: Case, http: httpx2.AsyncClient) -> None:
        self._yard = yard
        self._case = case
        self._http = http
        self.url = yard.url

    async def send(self, route: str, key: str, body: bytes | None = None) -> httpx2.Response:
        headers = {"authorization": f"Bearer {self._yard.key}", "idempotency-key": key}
        content = ROUTES[route] if body is None else body
        response = await self._http.post(self.url + route, content=content, headers=headers, timeout=30)
        self._case.codes[response.status_code] += 1
        return response

    async def made(self) -> tuple[int, int]:
        """(jobs outside batches, batches) in the record."""
        ((jobs, batches),) = await self._yard.rows(MADE)
        return jobs, batches

    def expect(self, found: object, wanted: object, what: str) -> None:
        if found != wanted:
            self._case.faults.append(f"{what}: {found!r}, not {wanted!r}")


async def run(ground: Ground, senders: int, report: Report) -> Case:
    """Parallel senders, another body, an API that dies before its answer, and repetitions after 23 and 25 hours."""
    case = Case(senders)
    async with Yard.opened(ground) as yard, httpx2.AsyncClient(limits=httpx2.Limits()) as http:
        await yard.start_api()
        sender = Sender(yard, case, http)
        for route in ROUTES:
            await _together(sender, route, senders)
            await _dies_between(yard, sender, route)
            await _grows_old(yard, sender, route)
        jobs, batches = await sender.made()
        case.made = jobs + batches
        # Each route: one of the senders', one of the dying API's, one of the key that was free again after 25 hours.
        sender.expect((jobs, batches), (3, 3), "jobs and batches made")
    report(case.line())
    return case


async def _together(sender: Sender, route: str, senders: int) -> None:
    """All at once: one is done, the others get its answer (or a 409 to come back, while it is at work)."""
    answers = await asyncio.gather(*(sender.send(route, "together") for _ in range(senders)))
    accepted = {answer.content for answer in answers if answer.status_code == 202}
    sender.expect(len(accepted), 1, f"{route}: different answers to one key")
    sender.expect({answer.status_code for answer in answers} - {202, 409}, set(), f"{route}: other answers")
    late = await asyncio.gather(*(sender.send(route, "together") for answer in answers if answer.status_code == 409))
    sender.expect({answer.content for answer in late} <= accepted, True, f"{route}: a resend got another answer")
    other = await sender.send(route, "together", ROUTES[route] + b"\n")
    sender.expect((other.status_code, _code(other)), (422, "idempotency_mismatch"), f"{route}: another body")


async def _dies_between(yard: Yard, sender: Sender, route: str) -> None:
    """`kill -9` after the commit and before the 202: the sender hears nothing, sends again, and gets the same id."""
    whole = sender.url
    before = sum(await sender.made())
    sender.url, doomed = await yard.start_api(die_at="submitted_before_bell")
    try:
        await sender.send(route, "between")
        sender.expect("an answer", "none", f"{route}: the API that was to die")
    except httpx2.TransportError:
        await until(lambda: not doomed.is_alive, "the API dies")
        sender.expect(doomed.exit_code, -signal.SIGKILL, f"{route}: exit code")
    sender.url = whole
    sender.expect(sum(await sender.made()), before + 1, f"{route}: rows after the death")
    answers = [await sender.send(route, "between") for _ in range(2)]
    sender.expect([answer.status_code for answer in answers], [202, 202], f"{route}: the resend")
    sender.expect(answers[0].content, answers[1].content, f"{route}: the resend's resend")
    found = {row[0] for row in await yard.rows("select id from jobs union all select id from batches")}
    sender.expect(_id(answers[0]) in found, True, f"{route}: the id is in the record")
    sender.expect(sum(await sender.made()), before + 1, f"{route}: rows after the resend")


async def _grows_old(yard: Yard, sender: Sender, route: str) -> None:
    """After 23 hours the same answer, after 25 a new job."""
    first = await sender.send(route, "between")
    await yard.rows(AGE, hours=23)
    sender.expect((await sender.send(route, "between")).content, first.content, f"{route}: after 23 h")
    await yard.rows(AGE, hours=25)
    fresh = await sender.send(route, "between")
    sender.expect(fresh.status_code, 202, f"{route}: after 25 h")
    sender.expect(_id(fresh) != _id(first), True, f"{route}: a new id after 25 h")


def _id(response: httpx2.Response) -> uuid.UUID:
    name: str = response.json()["id"]
    return ids.read(name.partition("_")[0], name)


def _code(response: httpx2.Response) -> Any:
    return response.json().get("error", {}).get("code")
