"""Where a side of the bench runs: fresh servers, its processes, an upstream; all stopped at the end, also by Ctrl-C.

    with Stage(folder) as stage:
        stage.start_servers()
        stage.start("worker", argv, environment)
        driver = stage.driver("benchmarks.peers.delay", "4000", environment=...)

Servers are fresh for every side, so nobody pays for the vacuuming of another's rows.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import redis

from benchmarks import cue
from cli.embedded import Postgres, Redis
from cli.leash import leash
from cli.servers import Server, read
from cli.yard import CHECKOUT

STOP_S = 5.0
"""For a process that is asked to stop; there is nothing to save here, so it is killed after that."""
WAIT_S = 180.0
POLL_S = 0.2


class BenchError(RuntimeError):
    """The bench can't be run or would not be true; the message says why."""


class Stage:
    """The servers and processes of one side. Use it as a context manager."""

    def __init__(self, folder: Path, *, stop_s: float = STOP_S) -> None:
        self.folder = folder
        self._stop_s = stop_s
        self.postgres = Postgres(folder / "postgres")
        self.redis = Redis(folder / "redis")
        self.upstream_url = ""
        self.pids: dict[str, list[int]] = {}
        """Root processes by group, for the meter."""
        self._servers: list[Server] = []
        self._children: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o711)
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            child.terminate()
        deadline = time.monotonic() + self._stop_s
        for child in self._children:
            _end(child, deadline)
        for server in reversed(self._servers):
            server.stop()
            shutil.rmtree(server.folder, ignore_errors=True)

    def start_servers(self) -> None:
        """Start Postgres (fsync on) and Redis, empty, as `tokenyard up` would. Raises BenchError or ServerError."""
        for name, server in (("postgres", self.postgres), ("redis", self.redis)):
            shutil.rmtree(server.folder, ignore_errors=True)
            self._servers.append(server)
            server.start()
            self.pids[name] = [] if server.pid is None else [server.pid]
        strangers = self.redis_clients()
        if strangers:
            raise BenchError(f"{len(strangers)} strangers are connected to this bench's Redis: {strangers}")

    def start_upstream(self, delay_ms: float) -> None:
        """Start the provider; a second one takes the place of the first."""
        upstream = self._spawn("upstream", (sys.executable, "-m", "benchmarks.upstream", "--delay-ms", str(delay_ms)))
        self.pids["upstream"] = [upstream.pid]
        self.upstream_url = f"http://127.0.0.1:{int(_line(upstream, 'upstream'))}/v1"

    def start(self, group: str, argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start a process of a group; its output goes to GROUP.log in the stage's folder."""
        with (self.folder / f"{group}.log").open("a", encoding="utf-8") as log:
            child = self._spawn(group, argv, environment, log.fileno())
        self.pids.setdefault(group, []).append(child.pid)
        return child

    def driver(self, module: str, *arguments: str, environment: Mapping[str, str]) -> "Driver":
        """Start a program that drives load and wait until it is ready to go."""
        child = self._spawn("submitter", (sys.executable, "-m", module, *arguments), environment)
        self.pids["submitter"] = [child.pid]
        return Driver(module, child)

    def stop(self, group: str) -> None:
        """Stop a group's processes."""
        pids = self.pids.pop(group, [])
        for child in [child for child in self._children if child.pid in pids]:
            child.terminate()
            _end(child, time.monotonic() + self._stop_s)
            self._children.remove(child)

    def redis_clients(self) -> list[str]:
        """The last command of each client of Redis but ourselves; `brpop` is a consumer."""
        with contextlib.closing(redis.Redis.from_url(self.redis.url)) as client:
            ours = client.client_id()
            return [str(entry["cmd"]) for entry in client.client_list() if int(entry["id"]) != ours]

    def redis_used_mb(self) -> float:
        """What Redis holds, in MB."""
        with contextlib.closing(redis.Redis.from_url(self.redis.url)) as client:
            return int(client.info("memory")["used_memory"]) / 1_000_000

    def wait_for_consumer(self) -> None:
        """Wait until a worker waits at its queues."""
        self.wait(lambda: "brpop" in self.redis_clients(), "a worker listens", "worker")

    def wait(self, is_so: Callable[[], bool], what: str, group: str) -> None:
        """Look until it is so. Raises BenchError with the end of the group's log when it takes too long."""
        deadline = time.monotonic() + WAIT_S
        while not is_so():
            dead = [child for child in self._children if child.poll() is not None]
            if dead or time.monotonic() > deadline:
                why = f"a process ended ({dead[0].args!r})" if dead else f"not within {WAIT_S:.0f} s"
                words = "\n".join(read(self.folder / f"{group}.log").splitlines()[-15:])
                raise BenchError(f"waited until {what}: {why}; the end of {group}.log:\n{words}")
            time.sleep(POLL_S)

    def _spawn(
        self, group: str, argv: Sequence[str], environment: Mapping[str, str] | None = None, output: int | None = None
    ) -> subprocess.Popen[str]:
        with (self.folder / f"{group}.err").open("a", encoding="utf-8") as errors:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if output is None else output,
                stderr=errors if output is None else output,
                text=True,
                cwd=CHECKOUT,
                env=os.environ | {"PYTHONUNBUFFERED": "1"} | dict(environment or {}),
                start_new_session=True,  # a Ctrl-C reaches the bench alone, which stops in order
                preexec_fn=leash(signal.SIGKILL),  # noqa: PLW1509 - only calls prctl and getppid
            )
        self._children.append(child)
        return child


class Driver:
    """A program that drives load, ready to go."""

    def __init__(self, name: str, child: subprocess.Popen[str]) -> None:
        self._name = name
        self._child = child
        if _line(child, name) != cue.READY:
            raise BenchError(f"{name} did not say {cue.READY!r}")

    def go(self) -> None:
        """Let it begin."""
        if self._child.stdin is None:
            raise BenchError(f"{self._name} has no stdin")
        self._child.stdin.write(cue.GO + "\n")
        self._child.stdin.flush()

    def mark(self) -> dict[str, Any]:
        """Wait for the next thing it tells. Raises BenchError if it ended instead."""
        facts: dict[str, Any] = json.loads(_line(self._child, self._name))
        return facts


def _line(child: subprocess.Popen[str], name: str) -> str:
    """The next line that a child prints. Raises BenchError if it ended instead."""
    line = child.stdout.readline().strip() if child.stdout else ""
    if not line:
        raise BenchError(f"{name} ended (exit {child.poll()}); its .err file in the bench's folder says why")
    return line


def _end(child: subprocess.Popen[str], deadline: float) -> None:
    """Wait until `deadline` (monotonic), then kill its whole session: Celery's prefork children, too."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(max(0.0, deadline - time.monotonic()))
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
