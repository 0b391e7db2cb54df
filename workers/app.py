"""What `celery -A workers.app worker` loads: the app, its tasks, and the worker's start and stop."""

import signal
from typing import Any

from celery.signals import setup_logging, worker_init, worker_ready, worker_shutdown, worker_shutting_down

from jobs import logs
from jobs.broker import make_app
from jobs.configuration import load
from workers import tasks
from workers.bootstrap import Worker
from workers.events import EventsInCompany

settings = load()
app = make_app(settings.redis_url)
app.steps["consumer"].add(EventsInCompany)
_running: list[Worker] = []


def _worker() -> Worker:
    return _running[0]


tasks.register(app, _worker)


@setup_logging.connect
def _log(**_: Any) -> None:
    logs.setup(settings.telemetry)


@worker_init.connect
def _start(**_: Any) -> None:
    signal.signal(signal.SIGTERM, _stop_before_celery)
    _running.append(Worker(settings))


def _stop_before_celery(*_: Any) -> None:
    """SIGTERM between our start and Celery's, which sets a handler of its own: jobs may have been polled by then."""
    _stop()
    raise SystemExit(0)


@worker_ready.connect
def _check(**_: Any) -> None:
    """Celery logs an error of a signal's receiver and goes on; a worker without its parts must not."""
    if not _running:
        raise SystemExit("the worker could not start; the error stands above")


@worker_shutting_down.connect
def _drain(how: str = "Warm", **_: Any) -> None:
    """A warm shutdown (SIGTERM) has patience with calls in flight, a cold one (SIGQUIT) gives all back at once."""
    for worker in _running:
        worker.start_draining(None if how == "Warm" else 0.0)


@worker_shutdown.connect
def _stop(**_: Any) -> None:
    while _running:
        _running.pop().stop()
