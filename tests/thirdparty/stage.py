"""A worker's parts whose providers are elsewhere: one for each dialect, each under a policy of the dialect's name."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
from openai.types.chat import ChatCompletion

from jobs.job import Job
from jobs.policy import Policy
from jobs.settings import Provider, Settings, Worker
from routing.dialects.registry import DIALECTS
from tests.jobs.store import given
from tests.workers.lab import Lab
from tests.workers.server import Server

SPOKEN = sorted(DIALECTS)
BOUND_S = 20.0
PRICE = {"input": "1.00", "output": "2.00", "valid_from": "2026-01-01", "source": "a test"}
ABLE = {
    "context_tokens": 8_000,
    "max_output_tokens": 500,
    "has_tools": True,
    "has_parallel_tools": True,
    "has_forced_tools": True,
    "has_reliable_tools": True,
    "has_json_schema": True,
}


@contextlib.asynccontextmanager
async def opened(
    bases: Mapping[str, str], database_url: str, redis_url: str, upstream: str = "m"
) -> AsyncIterator[Lab]:
    """The parts, with a provider a dialect at its base URL, each serving `maker/<dialect>` under the upstream name."""
    settings = Settings(
        database_url=database_url,
        redis_url=redis_url,
        worker=Worker(slots=4, calls_in_flight=16, poll_s=0.2, flush_ms=1.0),
        providers={name: Provider(dialect=name, base_url=base) for name, base in bases.items()},  # type: ignore[arg-type]
        policies={name: Policy(name=name, tiers=((f"maker/{name}",),)) for name in bases},
        models=tuple({"id": f"maker/{name}", **ABLE} for name in bases),
        deployments=tuple(
            {"model": f"maker/{name}", "provider": name, "upstream": upstream, "price": PRICE} for name in bases
        ),
    )
    made = Lab(Server(_nobody), settings)
    made.tenant_id = await given.tenant(made.database)
    try:
        yield made
    finally:
        made.is_over.set()
        await made.parts.close()
        await made.database.close()


async def submitted(lab: Lab, dialect: str, *messages: dict[str, Any], **more: Any) -> Job:
    """A job in a worker's hands, for the provider of that dialect."""
    asked = messages or ({"role": "user", "content": f"Say something about {dialect}"},)
    body = {"model": dialect, "messages": asked, "max_tokens": 400, **more}
    return await lab.claimed(policy=dialect, model=dialect, request_raw=msgspec.json.encode(body))


async def carried(lab: Lab, job: Job) -> ChatCompletion:
    """Run the job to its end, through as many waits as its provider asks for, and read its answer by OpenAI's types."""
    async with asyncio.timeout(BOUND_S):
        while (ended := await lab.carry(job)) == "deferred":
            row = await lab.row(job)
            await asyncio.sleep(max(0.0, (row.run_at - row.now).total_seconds()))
            job = await lab.claim(job.id)
    assert ended == "succeeded", await lab.outcomes(job)
    return ChatCompletion.model_validate(msgspec.json.decode(await lab.answer_of(job)))


async def _nobody(_server: Server, _writer: asyncio.StreamWriter) -> None:
    raise AssertionError("the lab's own providers are not called here")
