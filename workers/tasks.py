"""The Celery tasks: one a lane; each hands its bell to the process's loop and holds its thread until the jobs rest."""

from collections.abc import Callable
from typing import Any

from celery import Celery

from jobs.broker import read_bell, task_name
from jobs.lanes import Lane
from workers.bootstrap import Worker


def register(app: Celery, worker: Callable[[], Worker]) -> None:
    """Register `tokenyard.<lane>` for every lane; `worker` gives the running worker of this process."""
    for lane in Lane:

        def carry(**bell: Any) -> str:
            return worker().answer(read_bell(bell))

        carry.__doc__ = f"Carry the jobs of a bell of the {lane.value} lane; returns how they rest."
        app.task(carry, name=task_name(lane), ignore_result=True)
