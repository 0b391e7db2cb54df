"""A caller of the API in tests: sends with its key and says what came back."""

import asyncio
import hashlib
import uuid
from collections.abc import Callable
from typing import Any

import httpx2
import msgspec

from api.front import Front
from jobs import ids
from jobs.store import idempotency
from jobs.store.accounts import ensure_tenant
from jobs.store.idempotency import Claim, Reply
from jobs.store.session import Database

JOB: dict[str, Any] = {"request": {"model": "auto", "messages": [{"role": "user", "content": "I lost my card"}]}}


class Caller:
    def __init__(self, client: httpx2.AsyncClient, front: Front, database: Database, key: str) -> None:
        self.client = client
        self.front = front
        self.database = database
        self.key = key

    async def call(self, method: str, path: str, content: bytes | None = None, **headers: str) -> httpx2.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.request(
            method, path, content=content, headers={"authorization": f"Bearer {self.key}"} | named, timeout=30
        )

    async def get(self, path: str) -> Any:
        response = await self.call("GET", path)
        assert response.status_code == 200, response.text
        return response.json()

    async def submit(self, **fields: Any) -> uuid.UUID:
        response = await self.call("POST", "/v1/jobs", msgspec.json.encode(JOB | fields))
        assert response.status_code == 202, response.text
        return ids.read("job", response.json()["id"])

    async def bulk(self, count: int, query: str = "") -> str:
        lines = [msgspec.json.encode(JOB | {"custom_id": f"q-{n}"}) for n in range(count)]
        response = await self.call("POST", f"/v1/jobs/bulk{query}", b"\n".join(lines))
        assert response.status_code == 202, response.text
        name: str = response.json()["id"]
        return name

    async def problem(self, method: str, path: str, content: bytes | None = None, **headers: str) -> tuple[int, Any]:
        response = await self.call(method, path, content, **headers)
        assert response.status_code >= 400, response.text
        assert response.headers["x-request-id"].startswith("req_")
        error = response.json()["error"]
        assert set(error) >= {"type", "code", "message", "param"}
        return response.status_code, error


async def until(holds: Callable[[], bool]) -> None:

    for _ in range(1_000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come true")


async def answered_before(caller: Caller, route: str, key: str, body: bytes) -> bytes:
    """Put into the record what this body got under this key when it was still right: the answer."""
    answer = msgspec.json.encode({"id": f"first-under-{key}"})
    async with caller.database.transaction() as connection:
        tenant_id = await ensure_tenant(connection, "default")
        claim = Claim(tenant_id, route, key, hashlib.sha256(body).digest())
        assert await idempotency.take(connection, claim, Reply(202, answer)) is None
    return answer


def job_path(job_id: uuid.UUID, rest: str = "") -> str:
    return f"/v1/jobs/{ids.show('job', job_id)}{rest}"
