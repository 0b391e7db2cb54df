"""`tokenyard health WHAT`: whether one process of this host works, for a container's health check."""

import os
import socket
from enum import StrEnum
from typing import Annotated

import typer

from cli import ask
from cli.plan import url_at
from cli.up import Var, console, plain_errors
from cli.yard import Yard, YardError
from jobs.configuration import load
from jobs.settings import Settings


class What(StrEnum):
    """A process that can be asked after."""

    API = "api"
    WORKER = "worker"
    DISPATCHER = "dispatcher"
    WEBHOOKS = "webhooks"
    FLOWER = "flower"


def health(
    what: What,
    name: Annotated[str | None, typer.Option(help="A worker's --name, where one host runs several.")] = None,
    var: Var = None,
) -> None:
    """Exit 0 if the process of that kind on this host works, else 1.

    Workers and dispatchers are judged by what they do in Postgres, whose clock decides; no message is sent to them.
    While Postgres is away nobody can tell, and the exit is 0: a restart would mend nothing.
    """
    with plain_errors():
        yard = Yard(var)
        settings = load(environ=yard.surroundings(os.environ))
        here = yard.running()  # its ports may be others than the settings': those were taken
        if what is What.API:
            url = here.api_url if here is not None else ""
            says = _answers(url or url_at(settings.api.host, settings.api.port), "/healthz")
        elif what is What.FLOWER:
            url = here.flower_url if here is not None else ""
            says = _answers(url or url_at(settings.flower.host, settings.flower.port), "/healthcheck")
        else:
            says = _works(settings, what, socket.gethostname(), name)
        console.print(says, markup=False, soft_wrap=True)


def _answers(url: str, path: str) -> str:
    reply = ask.get(url, path)
    if reply is None or reply.status != 200:
        raise YardError(f"{url}{path} does not answer")
    return f"{url} answers"


def _works(settings: Settings, what: What, host: str, name: str | None) -> str:
    from cli.checkup.record import is_lively  # noqa: PLC0415 - no other command is to load SQLAlchemy
    from jobs.store import vitals  # noqa: PLC0415
    from jobs.store.session import StoreUnavailable  # noqa: PLC0415

    try:
        sessions, workers = vitals.alive(settings.database_url)
    except StoreUnavailable as error:
        return f"unknown: Postgres does not answer ({error})"
    if what is What.WORKER:
        if any(worker.host == host and name in {None, worker.name} for worker in workers):
            return f"a worker on {host} beats"
    elif any(is_lively(session, what.value) and session.host == host for session in sessions):
        return f"a {what.value} on {host} works"
    raise YardError(f"no {what.value} on {host} was heard of within its time")
