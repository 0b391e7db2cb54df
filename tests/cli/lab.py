"""A real API over a record of its own, the commands pointed at it, and jobs brought into states by the real SQL."""

import asyncio
import contextlib
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterator
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
import uvicorn
from typer.testing import CliRunner, Result

from api.app import create_with
from cli.client import KEY_VARIABLE, URL_VARIABLE
from cli.main import app
from cli.yard import VAR_VARIABLE
from jobs import ids
from jobs.failures import Failure, FailureKind
from jobs.policy import Policy
from jobs.receipt import Candidate, Exclusion, Receipt
from jobs.settings import Provider, Settings
from jobs.states import Outcome
from jobs.store.accounts import Scope, create_key, ensure_tenant
from jobs.store.rows import Move
from jobs.store.session import Database
from tests.cli.waiting import until
from tests.jobs.store import given

Found = TypeVar("Found")
PRICE = {"input": "0.10", "output": "0.20", "valid_from": "2026-01-01", "source": "a test"}
RECEIPT = Receipt(
    policy="auto",
    catalog_version="c1",
    policy_version="p1",
    chosen=Candidate("maker/small@lab", 0, "0.0001", "0.0005"),
    runner_up=Candidate("maker/large@far", 1, "0.0090", "0.0100"),
    eligible=2,
    excluded=(Exclusion("maker/other@off", "provider_off"),),
    binding="price",
)


class Lab:
    """`run` types a command; `record` works on the database beside the API."""

    def __init__(self, url: str, key: str, database_url: str) -> None:
        self.url = url
        self.key = key
        self._database_url = database_url
        self.environment = {URL_VARIABLE: url, KEY_VARIABLE: key, VAR_VARIABLE: "/nowhere"}

    def run(self, *words: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, words, input=stdin, env=self.environment)

    def said(self, *words: str, stdin: str | None = None) -> str:
        """What a command that must succeed says."""
        done = self.run(*words, stdin=stdin)
        assert done.exit_code == 0, done.output
        return done.output

    def submitted(self, count: int) -> tuple[str, list[str]]:
        """A batch of plain questions: its id, and its jobs' ids in input order."""
        said = self.said("submit", "-", stdin="".join(f"question {n}\n" for n in range(count)))
        (batch,) = {word for word in said.split() if word.startswith("batch_")}
        return batch, self.jobs(batch)

    def jobs(self, batch: str) -> list[str]:
        lines = self.said("jobs", "list", "--batch", batch, "--json", "--limit", "1000").splitlines()
        return [msgspec.json.decode(line)["id"] for line in lines if line.startswith("{")][::-1]

    def record(self, use: Callable[[Database], Coroutine[Any, Any, Found]]) -> Found:
        return asyncio.run(_with_database(self._database_url, use))

    def succeed(self, job: str, **changes: Any) -> None:
        self.record(lambda database: given.succeeded(database, ids.read("job", job), **changes))

    def fail(self, job: str, kind: FailureKind = FailureKind.BAD_REQUEST) -> None:
        self.record(lambda database: _failed(database, ids.read("job", job), kind))

    def escalate(self, job: str) -> None:
        """A rejected answer at the first tier, an accepted one at the second."""
        self.record(lambda database: _escalated(database, ids.read("job", job)))

    def lose(self, job: str) -> None:
        """Run a job whose one call was cut, so that nobody knows its bill."""
        self.record(lambda database: _lost(database, ids.read("job", job)))


async def _with_database(url: str, use: Callable[[Database], Coroutine[Any, Any, Found]]) -> Found:
    database = Database(url, pool_size=4)
    try:
        return await use(database)
    finally:
        await database.close()


async def _failed(database: Database, job_id: uuid.UUID, kind: FailureKind) -> None:
    token = await given.claimed(database, job_id)
    attempt = await given.attempt(database, job_id, token)
    refused = {"outcome": Outcome.FAILED, "failure": kind, "answer": None, "confidence": None, "status": 400}
    closing = given.closing(attempt, cost_usd=Decimal(0), **refused)
    await given.settle(database, Move.fail(job_id, token, Failure(kind, "it was refused"), closing))


async def _escalated(database: Database, job_id: uuid.UUID) -> None:
    token = await given.claimed(database, job_id)
    first = await given.attempt(database, job_id, token)
    rejected = given.closing(first, outcome=Outcome.REJECTED, confidence=0.41)
    await given.settle(database, Move.close(job_id, token, rejected))
    second = await given.attempt(database, job_id, token, provider="far")
    accepted = given.closing(second, confidence=0.93, cost_usd=Decimal("0.01"))
    move = Move.succeed(job_id, token, second, accepted).with_story(RECEIPT, (), intent_kept=None)
    await given.settle(database, move)


async def _lost(database: Database, job_id: uuid.UUID) -> None:
    token = await given.claimed(database, job_id)
    attempt = await given.attempt(database, job_id, token)
    cut = given.closing(attempt, outcome=Outcome.CANCELLED, cost_usd=None, cost_basis="estimate", answer=None)
    await given.settle(database, Move.expire(job_id, token, cut))


@contextlib.contextmanager
def serving(database_url: str, redis_url: str) -> Iterator[str]:
    """Serve the API on a free port in a thread while the block runs: its address."""
    settings = Settings(
        database_url=database_url,
        redis_url=redis_url,
        providers={"lab": Provider(dialect="openai", base_url="http://127.0.0.1:9")},
        policies={"auto": Policy(name="auto", tiers=(("maker/small",),))},
        models=({"id": "maker/small", "context_tokens": 8_000, "max_output_tokens": 1_000, "has_tools": False},),
        deployments=({"model": "maker/small", "provider": "lab", "upstream": "small", "price": PRICE},),
    )
    server = uvicorn.Server(
        uvicorn.Config(create_with(settings), host="127.0.0.1", port=0, log_level="error", ws="none")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive())
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)


def of_a_fresh_tenant(url: str, database_url: str) -> Lab:
    """A lab whose key sees none of the other tests' jobs."""

    async def key(database: Database) -> str:
        async with database.transaction() as connection:
            tenant_id = await ensure_tenant(connection, uuid.uuid4().hex)
            _, text = await create_key(connection, tenant_id, "test", Scope)
        return text

    return Lab(url, asyncio.run(_with_database(database_url, key)), database_url)
