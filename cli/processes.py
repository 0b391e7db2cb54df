"""The command line and environment of each process of a yard, for the supervisor and for the starters alike."""

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cli.yard import CHECKOUT
from jobs.configuration import SESSION_PREFIX
from jobs.lanes import WEBHOOKS, Lane

DRAIN_LIMIT_S = 30.0
"""Longest wait for a stopping worker: it gives its jobs back after 25 s (settings: worker.drain_s)."""
LONGEST_NAME = 63
"""Postgres cuts a session's name after so many bytes."""
WEBHOOKS_LIMIT_S = 20.0
"""A stopping webhook worker lets its calls end, 15 s at most; what does not end is sent again."""
SANDBOX_DATA = CHECKOUT / "examples" / "banking77"
FLOWER_PASSWORD_VARIABLE = "TOKENYARD_FLOWER_PASSWORD"  # noqa: S105 - its name
SMALL, LARGE = "sandbox/intent-small", "sandbox/intent-large"
OTHER = "depot/intent-large"
"""Of a second maker."""


@dataclass(frozen=True)
class Process:
    """One process: what to run, with what added to the environment, and how it is stopped."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_stage: int = 0
    """Stages are stopped one after the other: providers must outlive the workers that still call them."""
    stop_limit_s: float = 10.0
    """After this it is ended by force."""
    ready_file: Path | None = None
    """Appears when the process serves; None if it says nothing."""


@dataclass(frozen=True)
class SandboxProvider:
    """An offline provider: a name, one model, an address, how slow it pretends to be, and the wire it is spoken to on.

    The process behind it answers on every wire; `dialect` is what the yard is told.
    """

    name: str
    model: str
    port: int
    latency_ms: int
    dialect: str = "openai"


def api(host: str, port: int) -> Process:
    """The HTTP front on uvicorn."""
    served = ("--host", host, "--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log")
    return Process("api", _module("uvicorn", "api.app:create", "--factory", *served), _session("api"))


def worker(name: str, lanes: Sequence[str], slots: int) -> Process:
    """A Celery worker for some lanes; `slots` messages at once, in quarantine one."""
    slots = 1 if Lane.QUARANTINE in lanes else slots
    return Process(
        f"worker-{name}",
        _module(
            "celery", "-A", "workers.app", "worker", "--pool", "custom", "-c", str(slots), "-Q", ",".join(lanes),
            "-n", f"{name}@%h", "--without-gossip", "--without-mingle", "-E", "--loglevel", "INFO",
        ),
        {
            **_session("worker"),
            "CELERY_CUSTOM_WORKER_POOL": "workers.pool:WakingThreadPool",
            "TOKENYARD_LANES": ",".join(lanes),
            "TOKENYARD_WORKER": name,
        },
        stop_limit_s=DRAIN_LIMIT_S,
    )  # fmt: skip


def webhooks() -> Process:
    """The Celery worker that delivers webhooks; any number may run. Two slots: its bells only wake its loop."""
    return Process(
        "webhooks",
        _module(
            "celery", "-A", "workers.webhook_app", "worker", "--pool", "custom", "-c", "2", "-Q", WEBHOOKS,
            "-n", "webhooks@%h", "--without-gossip", "--without-mingle", "-E", "--loglevel", "INFO",
        ),
        {**_session("webhooks"), "CELERY_CUSTOM_WORKER_POOL": "workers.pool:WakingThreadPool"},
        stop_limit_s=WEBHOOKS_LIMIT_S,
    )  # fmt: skip


def dispatcher() -> Process:
    """Release and sweep; any number may run."""
    return Process("dispatcher", _module("workers.dispatcher"), _session("dispatcher"), stop_stage=1)


def flower(host: str, port: int, password: str) -> Process:
    """Celery's monitor, read-only. The password travels in the environment: `ps` shows command lines to everyone."""
    return Process("flower", _module("cli.flower", host, str(port)), {FLOWER_PASSWORD_VARIABLE: password})


def migrate() -> Process:
    """Brings the database to this version's schema, then ends."""
    return Process("migrate", _module("migrations.run"))


def bootstrap_key() -> Process:
    """Prints a fresh admin key of the default tenant, then ends."""
    return Process("bootstrap-key", _module("jobs.store.bootstrap_key"))


def train(folder: Path) -> Process:
    """Trains the sandbox's models into its cache, once for all its providers, then ends."""
    return Process("sandbox-train", _module("sandbox", "train", "--data", str(SANDBOX_DATA), "--cache", str(folder)))


def sandbox(provider: SandboxProvider, folder: Path) -> Process:
    """An offline provider over a small model; `folder` holds the trained models and its call log."""
    ready = folder / f"{provider.name}.ready"
    options = {
        "--name": provider.name,
        "--models": provider.model,
        "--port": str(provider.port),
        "--data": str(SANDBOX_DATA),
        "--cache": str(folder),
        "--calls": str(folder / f"{provider.name}.calls.jsonl"),
        "--latency-ms": str(provider.latency_ms),
        "--ready-file": str(ready),
    }
    argv = [part for option in options.items() for part in option]
    return Process(provider.name, _module("sandbox", *argv), stop_stage=1, ready_file=ready)


def environment(process: Process, yard: Mapping[str, str]) -> dict[str, str]:
    """Everything a process finds in its environment: ours, the yard's addresses, its own."""
    return {**os.environ, "PYTHONUNBUFFERED": "1", **yard, **process.environment}


def _session(role: str) -> dict[str, str]:
    """Names the process's sessions in Postgres, so that pg_stat_activity, `doctor` and `health` know whose they are."""
    return {"PGAPPNAME": f"{SESSION_PREFIX}{role}@{socket.gethostname()}"[:LONGEST_NAME]}


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *arguments)
