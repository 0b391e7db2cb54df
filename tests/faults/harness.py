"""A whole yard of real processes that a fault test may kill and freeze, and the ground it stands on."""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, LiteralString

import httpx2
import psutil
import psycopg
from psycopg import sql

from cli import processes
from cli.embedded import Redis
from cli.leash import leash
from cli.processes import OTHER, SMALL, Process, SandboxProvider, environment
from cli.yard import CHECKOUT, next_free_port
from jobs.failpoints import VARIABLE
from tests.faults import harness_oracles as oracles
from tests.faults.harness_load import Client

HOST = "127.0.0.1"
LANES = ("interactive", "standard", "bulk")
PRICE = {"input": "0.36", "output": "0.40"}
"""USD per million tokens; the oracle of the costs reckons with the same."""
SETTINGS = f"""\
[worker]
slots = 4
calls_in_flight = 64
lease_s = {{lease_s}}
beat_s = {{beat_s}}
poll_s = 1.0
{{worker}}
[dispatcher]
tick_ms = 50
sweep_s = 0.3
reissue_s = 4.0
[providers.lab]
dialect = "openai"
base_url = "{{url}}/v1"
is_sandbox = true
{{provider}}
[[models]]
id = "{SMALL}"
context_tokens = 32_768
max_output_tokens = 1_024
has_tools = false
has_vision = false
has_logprobs = true
source = "a test"
[[deployments]]
model = "{SMALL}"
provider = "lab"
upstream = "{SMALL}"
is_sandbox = true
price = {{{{ input = "{PRICE["input"]}", output = "{PRICE["output"]}", valid_from = "2026-05-01", source = "a test" }}}}
[policies.auto]
tiers = [["{SMALL}"]]
attempts_per_deployment = {{attempts}}
"""


class Vain(AssertionError):
    """A condition did not come true within its bound."""


async def until(
    condition: Callable[[], bool] | Callable[[], Awaitable[bool]], what: str, limit_s: float = 60.0
) -> None:
    """Return when `condition()` is true. Raises Vain with `what` after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while True:
        found = condition()
        if found if isinstance(found, bool) else await found:
            return
        if time.monotonic() > deadline:
            raise Vain(f"waited {limit_s:.0f} s in vain: {what}")
        await asyncio.sleep(0.05)


class Running:
    """One process in a session of its own."""

    def __init__(self, process: Process, addresses: Mapping[str, str], log: Path) -> None:
        self.name = process.name
        self.argv = process.argv
        self._log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                process.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=CHECKOUT,
                env=environment(process, addresses),
                start_new_session=True,
                preexec_fn=leash(signal.SIGKILL),  # noqa: PLW1509 - only calls prctl and getppid
            )

    @property
    def is_alive(self) -> bool:
        return self._popen.poll() is None

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def is_frozen(self) -> bool:
        return psutil.Process(self._popen.pid).status() == psutil.STATUS_STOPPED

    @property
    def exit_code(self) -> int | None:
        return self._popen.poll()

    def send(self, number: signal.Signals) -> None:
        os.kill(self._popen.pid, number)

    def end(self) -> None:
        """Kill it with everything in its session; fine if it is dead."""
        if self.is_alive:
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()

    def last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])


@dataclass(frozen=True)
class Ground:
    """What many yards stand on: a Postgres, a database to copy, and an offline provider with its call log."""

    postgres_url: str
    template: str
    provider_url: str
    calls: Path

    async def slow_down(self, add_ms: float) -> None:
        """Let the provider take longer for every call; 0: as usual again."""
        await self.script(*([{"kind": "latency", "add_ms": add_ms}] if add_ms else []))

    async def script(self, *faults: dict[str, object]) -> None:
        """Let the provider have these faults (`sandbox.faults.Fault`) and no others; none: as usual again."""
        async with httpx2.AsyncClient(base_url=self.provider_url) as client:
            await client.delete("/_sandbox/faults")
            if faults:
                response = await client.post("/_sandbox/faults", json={"faults": list(faults)})
                assert response.status_code == 200, response.text


@contextmanager
def provider(folder: Path, latency_ms: int) -> Iterator[tuple[str, Path]]:
    """An offline provider, which trains its models into `folder` first: its address and its call log."""
    port = next_free_port(HOST, 8700 + os.getpid() % 1000)
    process = processes.sandbox(SandboxProvider("lab", f"{SMALL},{OTHER}", port, latency_ms), folder)
    running = Running(process, {}, folder / "lab.log")
    try:
        deadline = time.monotonic() + 60
        while process.ready_file is not None and not process.ready_file.exists():
            if not running.is_alive or time.monotonic() > deadline:
                raise Vain(f"the provider does not start:\n{running.last_words()}")
            time.sleep(0.05)
        yield f"http://{HOST}:{port}", folder / "lab.calls.jsonl"
    finally:
        running.end()


class Yard:
    """A yard: a database and a Redis of its own, an API, a dispatcher, and the workers that a test starts."""

    def __init__(self, ground: Ground, folder: Path, redis: Redis, settings: Mapping[str, object]) -> None:
        self.ground = ground
        self.redis = redis
        self.redis_url = redis.url
        self._folder = folder
        self._running: list[Running] = []
        name = f"fault_{secrets.token_hex(6)}"
        self._name = name
        self.database_url = ground.postgres_url.replace("@/tokenyard?", f"@/{name}?")
        config = folder / "tokenyard.toml"
        config.write_text(SETTINGS.format(url=ground.provider_url, **settings))
        self._addresses = {
            "TOKENYARD_DATABASE_URL": self.database_url,
            "TOKENYARD_REDIS_URL": self.redis_url,
            "TOKENYARD_CONFIG": str(config),
        }
        self.key = ""
        self.url = ""
        """Of the API started first."""
        self.connection: psycopg.AsyncConnection[Any]

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, ground: Ground, *, lease_s: float = 2.0, worker: str = "", provider: str = "", attempts: int = 9
    ) -> AsyncIterator["Yard"]:
        """A fresh yard without processes; at the end all its processes are killed and its servers gone.

        `worker` and `provider` add lines to those sections of the settings; `attempts` are a job's, that count.
        """
        folder = Path(tempfile.mkdtemp(prefix="fault-"))
        redis = Redis(folder / "redis", from_wheel=True)
        redis.start()
        settings = {
            "lease_s": lease_s,
            "beat_s": lease_s / 4,
            "worker": worker,
            "provider": provider,
            "attempts": attempts,
        }
        yard = cls(ground, folder, redis, settings)
        yard._administer("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", yard._name, ground.template)
        try:
            yard.connection = await psycopg.AsyncConnection.connect(yard.database_url, autocommit=True)
            await oracles.set_witness(yard.connection)
            yard.key = await asyncio.to_thread(yard._make_key)
            yield yard
        finally:
            await yard.connection.close()
            for running in yard._running:
                running.end()
            redis.stop()
            yard._administer("DROP DATABASE {} WITH (FORCE)", yard._name)
            shutil.rmtree(folder, ignore_errors=True)

    def _administer(self, statement: LiteralString, *names: str) -> None:
        with psycopg.connect(self.ground.postgres_url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _make_key(self) -> str:
        made = processes.bootstrap_key()
        done = subprocess.run(
            made.argv, env=environment(made, self._addresses), cwd=CHECKOUT, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    async def connect(self) -> None:
        """Look at the record over a fresh connection: Postgres was away."""
        await self.connection.close()
        self.connection = await psycopg.AsyncConnection.connect(self.database_url, autocommit=True)

    def set_environment(self, **environ: str) -> None:
        """Give the processes that start from now on these variables, too."""
        self._addresses |= environ

    def logs(self) -> bytes:
        """All that every process has written so far."""
        return b"".join(path.read_bytes() for path in sorted(self._folder.glob("*.log")))

    def command_lines(self) -> bytes:
        """How the processes were called: everybody on a machine can see it."""
        return b"\n".join(" ".join(running.argv).encode() for running in self._running)

    @contextmanager
    def frozen_redis(self) -> Iterator[None]:
        """Redis neither answers nor hangs up."""
        pid = self.redis.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def start(
        self, process: Process, die_at: str | None = None, environ: Mapping[str, str] = MappingProxyType({})
    ) -> Running:
        """Start a process, armed to die at `point:passage` if that is given, with `environ` over the yard's."""
        addresses = self._addresses | ({VARIABLE: die_at} if die_at else {}) | dict(environ)
        log = self._folder / f"{process.name}-{len(self._running)}.log"
        running = Running(process, addresses, log)
        self._running.append(running)
        return running

    def start_worker(
        self,
        lanes: Sequence[str] = LANES,
        die_at: str | None = None,
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> Running:
        return self.start(processes.worker(f"w{len(self._running)}", lanes, slots=4), die_at, environ)

    def start_dispatcher(self, die_at: str | None = None, environ: Mapping[str, str] = MappingProxyType({})) -> Running:
        return self.start(processes.dispatcher(), die_at, environ)

    async def start_api(self, die_at: str | None = None) -> tuple[str, Running]:
        """An API at work: its address and its process."""
        port = next_free_port(HOST, 9700 + os.getpid() % 1000 + 10 * len(self._running))
        running = self.start(processes.api(HOST, port), die_at)
        url = f"http://{HOST}:{port}"

        async def answers() -> bool:
            try:
                async with httpx2.AsyncClient() as client:
                    return (await client.get(f"{url}/healthz")).status_code == 200
            except httpx2.TransportError:
                return False

        try:
            await until(answers, "the API serves")
        except Vain as vain:
            raise Vain(running.last_words()) from vain
        self.url = self.url or url
        return url, running

    def client(self) -> Client:
        return Client(self.url, self.key)

    async def rows(self, statement: LiteralString, **names: object) -> list[Any]:
        return await (await self.connection.execute(statement, names)).fetchall()

    async def ended(self, job_ids: Sequence[Any], limit_s: float = 60.0) -> None:
        """Return when all these jobs have ended. Raises Vain with the states and every process's last words."""
        statement = "select count(*) from jobs where id = any(%(ids)s) and state in ('queued', 'running')"

        async def done() -> bool:
            ((left,),) = await self.rows(statement, ids=list(job_ids))
            return bool(left == 0)

        try:
            await until(done, "all jobs end", limit_s)
        except Vain as vain:
            states = await self.rows("select state, released_at is not null, claims, count(*) from jobs group by 1,2,3")
            words = "\n".join(f"-- {running.name}\n{running.last_words()}" for running in self._running)
            raise Vain(f"{vain}: {states}\n{words}") from vain


class Keeper:
    """Starts workers again when they end, as a supervisor does; cancel `keep` to stop."""

    def __init__(self, yard: Yard, lanes: Sequence[Sequence[str]], environ: Mapping[str, str]) -> None:
        self._yard = yard
        self._lanes = lanes
        self._environ = environ
        self._workers = [yard.start_worker(served, environ=environ) for served in lanes]
        self.ends: list[tuple[str, int | None]] = []
        """Of those that ended: their lanes and exit codes."""

    async def keep(self) -> None:
        while True:
            for place, (served, worker) in enumerate(zip(self._lanes, self._workers, strict=True)):
                if not worker.is_alive:
                    self.ends.append((",".join(served), worker.exit_code))
                    self._workers[place] = self._yard.start_worker(served, environ=self._environ)
            await asyncio.sleep(0.1)
