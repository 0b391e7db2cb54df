"""A person with a browser in tests, as far as HTTP goes: keeps cookies, fills in forms; and rows worth looking at."""

import re
import uuid
from typing import Any

import httpx2

from api.front import Front
from jobs.failures import Failure, FailureKind
from jobs.receipt import Candidate, Exclusion, Receipt
from jobs.states import Outcome
from jobs.store.rows import Move
from jobs.store.session import Database
from tests.jobs.store import given

RECEIPT = Receipt(
    policy="auto",
    catalog_version="c0ffee",
    policy_version="decade",
    chosen=Candidate("maker/small@lab", 0, "0.000012", "0.0001"),
    eligible=1,
    excluded=(Exclusion("maker/large@lab", "over_budget"),),
    binding="max_cost_usd",
    notes=("waited: breaker",),
)


class Visitor:
    """Signs in with a key and looks."""

    def __init__(self, app: Any) -> None:
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        self.client = httpx2.AsyncClient(transport=transport, base_url="http://yard", timeout=30)
        self.front: Front = app.state.front

    async def token(self, path: str = "/login") -> str:
        """The token in the form of a page."""
        found = re.search(r'name="form_token" value="([^"]+)"', (await self.client.get(path)).text)
        assert found
        return found[1]

    async def sign_in(self, key: str, **headers: str) -> httpx2.Response:
        form = {"form_token": await self.token(), "key": key}
        return await self.client.post("/login", data=form, headers=headers)

    async def look(self) -> str:
        """The page, drawn from what the record says now."""
        await self.front.watch.close()
        reply = await self.client.get("/")
        assert reply.status_code == 200, (reply.status_code, reply.headers.get("location"))
        return reply.text


def tile(html: str, name: str) -> tuple[str, str]:
    """(value, note) of a figure of the headline."""
    found = re.search(rf'<li id="tile-{name}"[^>]*>.*?<b>(.*?)</b> <span class="note">(.*?)</span>', html)
    assert found, name
    return found[1], found[2]


async def failed(database: Database, tenant_id: uuid.UUID, message: str = "it broke", **fields: Any) -> uuid.UUID:
    """A job of this tenant that failed after one call, with a receipt."""
    job_id = await given.job(database, tenant_id, **fields)
    token = await given.claimed(database, job_id)
    attempt_id = await given.attempt(database, job_id, token)
    closing = given.closing(attempt_id, outcome=Outcome.FAILED, failure=FailureKind.TRANSIENT, answer=None, status=503)
    move = Move.fail(job_id, token, Failure(FailureKind.TRANSIENT, message), closing)
    await given.settle(database, move.with_story(RECEIPT, ()))
    return job_id
