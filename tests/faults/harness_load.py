"""The client of a fault test: submits over HTTP under idempotency keys and keeps the ids that got a 202."""

import asyncio
import base64
import itertools
import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx2
import msgspec

from jobs import ids
from jobs.broker import read_bell

SUBMITTERS = 8
GIVE_UP_AFTER = 200
"""Refused or broken tries of one submit, a tenth of a second apart."""


class Client:
    """Submits as a careful caller does: an answer that did not come is asked for again, under the same key."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self._key = key
        self._serials = itertools.count()
        self._salt = uuid.uuid4().hex
        self.refusals: Counter[int] = Counter()
        """Answers that were no 202, by status; 0 counts connections that broke."""
        self.slowest_s = 0.0
        """The longest wait for any answer."""
        self.without_remedy = 0
        """503s without Retry-After."""

    async def submit(
        self, count: int, lane: str, *, stream: bool = False, poison: str = "", model: str = "auto"
    ) -> list[uuid.UUID]:
        """`count` jobs: the ids that got a 202. `poison` is added to their prompts (`jobs.failpoints`)."""
        left = iter(range(count))

        def wanted(serial: int) -> dict[str, Any]:
            whole = job(serial, lane, stream, poison)
            whole["request"]["model"] = model
            return whole

        async with httpx2.AsyncClient(timeout=10, headers={"authorization": f"Bearer {self._key}"}) as client:

            async def some() -> list[uuid.UUID]:
                return [await self._submit(client, wanted(next(self._serials))) for _ in left]

            parts = await asyncio.gather(*(some() for _ in range(min(SUBMITTERS, count))))
        return [job_id for part in parts for job_id in part]

    async def _submit(self, client: httpx2.AsyncClient, wanted: dict[str, Any]) -> uuid.UUID:
        headers = {"idempotency-key": f"{self._salt}-{wanted['custom_id']}"}
        body = msgspec.json.encode(wanted)
        for _ in range(GIVE_UP_AFTER):
            began_s = time.monotonic()
            try:
                response = await client.post(f"{self.url}/v1/jobs", content=body, headers=headers)
            except httpx2.TransportError:
                self.refusals[0] += 1
                await asyncio.sleep(0.1)  # `url` may be moved to another API meanwhile
                continue
            self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
            if response.status_code == 202:
                return ids.read("job", response.json()["id"])
            self.refusals[response.status_code] += 1
            self.without_remedy += response.status_code == 503 and "retry-after" not in response.headers
            assert response.status_code in {409, 429, 503}, response.text
            await asyncio.sleep(0.1)
        raise AssertionError("no 202 came")


def job(serial: int, lane: str, stream: bool, poison: str) -> dict[str, Any]:
    """A submission whose prompt is like no other's."""
    prompt = f"card number {serial} was lost {poison}".strip()
    request = {"model": "auto", "messages": [{"role": "user", "content": prompt}]}
    return {"request": request | ({"stream": True} if stream else {}), "lane": lane, "custom_id": f"q-{serial}"}


def job_ids_in(message: bytes) -> list[uuid.UUID]:
    """The job ids in a bell as it lies in Redis: Celery's message protocol 2, its body in base64."""
    body = msgspec.json.decode(base64.b64decode(msgspec.json.decode(message)["body"]))
    return read_bell(body[1])


Report = Callable[[str], None]
"""Takes a test's line."""
