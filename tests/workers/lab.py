"""A worker's parts over a real record and a provider that answers by script: what the tests of the runner stand on."""

import asyncio
import contextlib
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import text

from jobs.job import Job
from jobs.policy import Policy
from jobs.settings import Dispatcher, Provider, Settings, Worker
from jobs.signals import Signals
from jobs.store import lifecycle
from jobs.store.session import Database
from routing.catalog_load import catalog_of
from routing.plan import Plan
from tests.jobs.store import given
from tests.workers.server import Answering, Server, sends, serving
from workers.bootstrap import planner
from workers.counters import MemoryCounters, Place
from workers.gate import Gate
from workers.parts import Parts
from workers.runner import Runner
from workers.transport import Transport

PROVIDERS = ("a", "b", "c")
PRICE = {"input": "1.00", "output": "2.00", "valid_from": "2026-01-01", "source": "a test"}
TOKENS_IN, TOKENS_OUT = 41, 9
COST_USD = Decimal("0.000059")
"""41 tokens at 1 USD and 9 at 2 USD a million."""
POLICY = Policy(
    name="auto",
    tiers=(("maker/small@a", "maker/small@b"), ("maker/large@c",)),
    choose="ordered",
    min_confidence=0.7,
)
NOTHING_SHIPPED = "models = []\ndeployments = []"


def answers(content: str = "refund", logprob: float = -0.01) -> Answering:
    """A whole completion whose only token has that log-probability."""
    tokens = [{"token": content, "logprob": logprob, "bytes": None, "top_logprobs": []}]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content},
        "finish_reason": "stop",
        "logprobs": {"content": tokens},
    }
    usage = {"prompt_tokens": TOKENS_IN, "completion_tokens": TOKENS_OUT, "total_tokens": TOKENS_IN + TOKENS_OUT}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return sends(reply(200, body | {"usage": usage}))


def refuses(status: int, *headers: str) -> Answering:
    """An error in OpenAI's shape."""
    return sends(reply(status, {"error": {"message": "no", "type": "t", "code": None, "param": None}}, *headers))


def reply(status: int, body: dict[str, Any], *headers: str) -> bytes:
    raw = msgspec.json.encode(body)
    lines = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {len(raw)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


class Lab:
    """One worker's parts, and the scripts of its three providers. A call that no script expects is a fault."""

    def __init__(self, server: Server, settings: Settings) -> None:
        self.server = server
        self.settings = settings
        self.ahead_s = 0.0
        self.is_over = asyncio.Event()
        self.unexpected = 0
        self.database = Database(settings.database_url, pool_size=2)
        self.scripts: dict[str, deque[Answering]] = {name: deque() for name in PROVIDERS}
        self.parts = Parts(
            settings,
            Database(settings.database_url, pool_size=1, durable=False),
            Database(settings.database_url, pool_size=3),
            Gate(MemoryCounters(_unseen, self.clock), settings.providers, lambda _: None, self.clock, lambda: 0),
            Transport(allow_real=False),
            Signals(settings.redis_url),
        )
        self.parts.plan = planner(settings, catalog_of(settings, NOTHING_SHIPPED))
        self.tenant_id = uuid.UUID(int=0)

    def script(self, **by_provider: list[Answering]) -> None:
        """What each provider answers, call by call."""
        for name, answering in by_provider.items():
            self.scripts[name].extend(answering)

    async def silence(self, _server: Server, _writer: asyncio.StreamWriter) -> None:
        """A provider that takes a call and never answers it, till the test is over."""
        await self.is_over.wait()

    async def answer(self, server: Server, writer: asyncio.StreamWriter) -> None:
        """What the scripts say; a call that they do not foresee is counted."""
        async with server.changed:
            server.changed.notify_all()
        script = self.scripts[server.heads[-1].split(b"/")[1].decode()]
        self.unexpected += not script
        await (script.popleft() if script else refuses(400))(server, writer)

    async def claimed(self, **changes: Any) -> Job:
        """A job in a worker's hands."""
        job_id = await given.job(self.database, self.tenant_id, **changes)
        return await self.claim(job_id)

    async def claim(self, job_id: uuid.UUID) -> Job:
        async with self.database.statement() as connection:
            await connection.execute(text("update jobs set released_at = now() where id = :id"), {"id": job_id})
            ((job,), _) = await lifecycle.claim_rung(connection, [job_id], lease_s=30)
        return job

    def carry(self, job: Job) -> "asyncio.Task[str]":
        """Run a claimed job under its lease."""
        plan = self.parts.plan(job)
        assert isinstance(plan, Plan)
        task = asyncio.create_task(Runner(self.parts, job, plan, time.monotonic() + job.time_left_s).run())
        self.parts.leases.take(job, task)
        self.parts.leases.begin(job.id)
        return task

    async def execute(self, statement: str, **names: object) -> None:
        async with self.database.statement() as connection:
            await connection.execute(text(statement), names)

    async def row(self, job: Job) -> Any:
        async with self.database.statement() as connection:
            found = await connection.execute(text("select *, now() as now from jobs where id = :id"), {"id": job.id})
            return found.one()

    async def answer_of(self, job: Job) -> bytes:
        """The stored answer that the job was ended with."""
        async with self.database.statement() as connection:
            query = text("select p.body from payloads p join jobs j on p.id = j.answer_attempt where j.id = :id")
            return bytes((await connection.execute(query, {"id": job.id})).scalar_one())

    async def attempts(self, job: Job) -> list[Any]:
        async with self.database.statement() as connection:
            found = await connection.execute(
                text("select * from attempts where job_id = :id order by id"), {"id": job.id}
            )
            return list(found.all())

    async def outcomes(self, job: Job) -> list[tuple[str, str | None]]:
        return [(row.deployment, row.outcome) for row in await self.attempts(job)]

    async def called(self, count: int) -> None:
        """Wait until the providers have had so many calls."""
        await self.server.until(lambda: len(self.server.bodies) >= count)

    def clock(self) -> float:
        """What the gate and its counters go by, in seconds; `ahead_s` puts it forward."""
        return time.monotonic() + self.ahead_s


async def _unseen(_place: Place) -> tuple[int, int] | None:
    return None


def settings_for(url: str, database_url: str, redis_url: str) -> Settings:
    base = url.removesuffix("/v1/chat/completions")
    return Settings(
        database_url=database_url,
        redis_url=redis_url,
        worker=Worker(slots=4, calls_in_flight=16, poll_s=0.2, flush_ms=1.0),
        dispatcher=Dispatcher(tick_ms=20, sweep_s=0.1),
        providers={name: Provider(dialect="openai", base_url=f"{base}/{name}") for name in PROVIDERS},
        policies={"auto": POLICY},
        models=tuple(
            {"id": model, "context_tokens": 8_000, "max_output_tokens": 100, "has_tools": False, "has_logprobs": True}
            for model in ("maker/small", "maker/large")
        ),
        deployments=tuple(
            {"model": model, "provider": provider, "upstream": model.partition("/")[2], "price": PRICE}
            for provider, model in (("a", "maker/small"), ("b", "maker/small"), ("c", "maker/large"))
        ),
    )


@contextlib.asynccontextmanager
async def opened(database_url: str, redis_url: str) -> AsyncIterator[Lab]:
    labs: list[Lab] = []

    async def answer(server: Server, writer: asyncio.StreamWriter) -> None:
        await labs[0].answer(server, writer)

    async with serving(answer) as server:
        lab = Lab(server, settings_for(server.url, database_url, redis_url))
        labs.append(lab)
        lab.tenant_id = await given.tenant(lab.database)
        try:
            yield lab
            assert lab.unexpected == 0, "the providers had calls that no script foresaw"
        finally:
            lab.is_over.set()
            await lab.parts.close()
            await lab.database.close()
