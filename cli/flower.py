"""Runs Flower, Celery's monitor, so that it shows everything and changes nothing: `python -m cli.flower HOST PORT`.

The password comes from TOKENYARD_FLOWER_PASSWORD. FLOWER_... variables set what is not set here (a url prefix, say).
"""

import os
import sys

from cli.processes import FLOWER_PASSWORD_VARIABLE
from jobs.broker import make_app
from jobs.configuration import load

USER = "tokenyard"
MAX_TASKS = 10_000
"""Bells kept in memory, 2 to 3 KB each; Flower's default of 100,000 has filled small machines."""
PURGE_S = 3_600
"""How long a worker that is gone is shown: the next container has another name, and the list would grow for ever."""
COLUMNS = "name,state,kwargs,result,exception,received,runtime,worker"
"""Which jobs a bell carried and how they rest, in place of Celery's ids of messages."""


def arguments(host: str, port: int) -> list[str]:
    """The command line of Flower. These win over FLOWER_... variables; a file of settings is never read."""
    return [
        "flower",
        f"--address={host}",
        f"--port={port}",
        "--read-only=true",
        "--enable-events=false",  # workers send them already; one whose switch is off keeps it off
        "--persistent=false",
        f"--max-tasks={MAX_TASKS}",
        f"--purge-offline-workers={PURGE_S}",
        f"--tasks-columns={COLUMNS}",
        f"--conf={os.devnull}",
    ]


def credentials(password: str) -> str:
    """What Flower compares a visitor's with. Raises ValueError for what it could not read."""
    if not password.isprintable() or not password.isascii() or "," in password:
        raise ValueError(f"{FLOWER_PASSWORD_VARIABLE}: use printable ASCII without a comma")
    return f"{USER}:{password}"


def main(host: str, port: int) -> None:
    """Serve until a signal."""
    password = os.environ.get(FLOWER_PASSWORD_VARIABLE)
    if not password:
        sys.exit(f"flower: set {FLOWER_PASSWORD_VARIABLE}: it is never shown without a password")
    try:
        os.environ["FLOWER_BASIC_AUTH"] = credentials(password)  # read by Flower below, in this process
    except ValueError as error:
        sys.exit(f"flower: {error}")
    app = make_app(load().redis_url)
    # Flower asks workers eight questions at once, and each holds two connections: from a pool of four (ours) or ten
    # (Celery's own) they wait for one another for ever. Without a pool, nobody meets a connection that a restart of
    # Redis has broken either.
    app.conf.broker_pool_limit = None
    app.start(arguments(host, port))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
