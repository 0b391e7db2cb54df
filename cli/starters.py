"""`tokenyard api|worker|webhooks|dispatcher|flower|migrate|sandbox`: one process in the foreground, for production."""

import os
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from cli import processes
from cli.processes import Process
from cli.up import Var, plain_errors
from cli.yard import CHECKOUT, Yard, YardError
from jobs.configuration import CONFIG_VARIABLE, ENVIRONMENT, config_paths, load
from jobs.lanes import Lane

Lanes = Annotated[
    list[Lane] | None, typer.Option("--lane", help="May be given several times; default: all but quarantine.")
]
Slots = Annotated[int | None, typer.Option(min=1, help="Celery messages carried at once (default: worker.slots).")]


def api(
    host: Annotated[str | None, typer.Option(help="Default: api.host of the settings.")] = None,
    port: Annotated[int | None, typer.Option(help="Default: api.port of the settings.")] = None,
    var: Var = None,
) -> None:
    """Serve the HTTP API."""
    with plain_errors():
        settings = load().api
        _become(processes.api(host or settings.host, port or settings.port), var)


def worker(lane: Lanes = None, slots: Slots = None, name: str = "worker", var: Var = None) -> None:
    """Run a Celery worker. Give `interactive` a process of its own; `quarantine` must have one, somewhere."""
    with plain_errors():
        lanes = [str(each) for each in lane or (Lane.INTERACTIVE, Lane.STANDARD, Lane.BULK)]
        if Lane.QUARANTINE in lanes and len(lanes) > 1:
            raise YardError("the quarantine lane needs a process of its own: its jobs are feared to kill it")
        _become(processes.worker(name, lanes, slots or load().worker.slots), var)


def webhooks(var: Var = None) -> None:
    """Deliver webhooks. Any number may run."""
    with plain_errors():
        _become(processes.webhooks(), var)


def dispatcher(var: Var = None) -> None:
    """Run the dispatcher: releases jobs and sweeps expired leases. Any number may run."""
    with plain_errors():
        _become(processes.dispatcher(), var)


def flower(
    host: Annotated[str | None, typer.Option(help="Default: flower.host of the settings.")] = None,
    port: Annotated[int | None, typer.Option(help="Default: flower.port of the settings.")] = None,
    var: Var = None,
) -> None:
    """Show workers and bells in a browser: Flower, read-only, user `tokenyard`.

    The password comes from TOKENYARD_FLOWER_PASSWORD, else from the yard here, which keeps one of its own.
    """
    with plain_errors():
        password = os.environ.get(processes.FLOWER_PASSWORD_VARIABLE) or Yard(var).flower_password()
        if not password:
            raise YardError(f"set {processes.FLOWER_PASSWORD_VARIABLE}: Flower is never shown without a password")
        settings = load().flower
        _become(processes.flower(host or settings.host, port or settings.port, password), var)


def migrate(var: Var = None) -> None:
    """Bring the database to this version's schema."""
    with plain_errors():
        _become(processes.migrate(), var)


def bootstrap_key(var: Var = None) -> None:
    """Print a fresh admin key of the tenant `default`: the first key of a database."""
    with plain_errors():
        _become(processes.bootstrap_key(), var)


def sandbox(
    name: str = "sandbox-east", model: str = processes.SMALL, port: int = 0, latency_ms: int = 150, var: Var = None
) -> None:
    """Serve an offline provider over a small model."""
    with plain_errors():
        yard = Yard(var)
        yard.make()
        _become(processes.sandbox(processes.SandboxProvider(name, model, port, latency_ms), yard.sandbox), var)


def _become(process: Process, var: Path | None) -> NoReturn:
    """Replace this process. Addresses come from the environment, else from the yard that runs here."""
    around = Yard(var).surroundings(os.environ)
    configs = os.pathsep.join(str(path.absolute()) for path in config_paths(around))
    environment = processes.environment(process, around | ({CONFIG_VARIABLE: configs} if configs else {}))
    if not process.name.startswith("sandbox") and not load(environ=environment).database_url:
        raise YardError(f"set {next(iter(ENVIRONMENT))}, or start a yard here with `tokenyard up`")
    os.chdir(CHECKOUT)
    os.execve(process.argv[0], process.argv, environment)  # noqa: S606 - the point: signals reach the process itself
