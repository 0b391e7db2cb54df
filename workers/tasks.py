"""The Celery tasks: one a lane; each hands its bell to the process's loop and holds its thread until the jobs rest.

Celery's monitors (Flower) see a task succeed with one line (`9 succeeded, 1 deferred`), or fail by `BellFailed`.
"""

import logging
from collections.abc import Callable
from typing import Any

from celery import Celery
from celery.worker.request import Request

from jobs.broker import read_bell, task_name
from jobs.lanes import Lane
from workers.bootstrap import Worker

log = logging.getLogger(__name__)
BAD = frozenset({"failed", "left to rescue"})
"""Words of `workers.intake` for a job that went wrong; all others mean that it succeeded, waits or was stopped."""


class BellFailed(Exception):
    """Jobs of a bell failed and none succeeded: a monitor shows the task red. The message counts how they rest."""


class Unacknowledged(Request):
    """A bell on a queue that keeps no messages: there is nothing to tell Redis when it was taken.

    kombu would ask all the same, on a fresh client, in the thread that all bells pass: a tenth of the CPU of a worker
    whose bells carry one job each.
    """

    def acknowledge(self) -> None:
        """It was taken."""
        self.acknowledged = True


def told(line: str) -> str:
    """The line of a bell that went well enough. Raises BellFailed for one with failures and no success.

    Red at any failure would paint nearly every full bell of a lane where one job in fifty fails.
    """
    words = {part.partition(" ")[2] for part in line.split(", ")}
    if words & BAD and "succeeded" not in words:
        raise BellFailed(line)
    return line


def register(app: Celery, worker: Callable[[], Worker]) -> None:
    """Register `tokenyard.<lane>` for every lane; `worker` gives the running worker of this process."""
    for lane in Lane:

        def carry(**bell: Any) -> str:
            return told(_answer(worker(), bell))

        carry.__doc__ = f"Carry the jobs of a bell of the {lane.value} lane; returns how they rest."
        # `throws`: logged in one line; a job's failure is in the record, with all that is known.
        app.task(carry, name=task_name(lane), ignore_result=True, throws=(BellFailed,), Request=Unacknowledged)


def _answer(worker: Worker, bell: dict[str, Any]) -> str:
    try:
        return worker.answer(read_bell(bell))
    except Exception as error:  # a border: Celery would put a driver's words into an event in Redis
        log.exception("a bell could not be answered; its jobs are found again")
        raise BellFailed(f"a defect ({type(error).__name__}); the worker's log has it") from None
