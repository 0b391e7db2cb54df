"""What `celery -A workers.webhook_app worker` loads: the worker that delivers webhooks, and its one task."""

from typing import Any

from celery.signals import setup_logging, worker_init, worker_ready, worker_shutdown, worker_shutting_down

from jobs import logs, meters
from jobs.broker import VERSION, WEBHOOKS_TASK, make_app
from jobs.configuration import load
from jobs.resolver import Names
from jobs.settings import Settings
from jobs.store.session import Database
from routing.addresses import rules_of
from workers.door import Door
from workers.loop import LoopThread
from workers.webhooks import Deliverer

POOL_SIZE = 4
STOP_MARGIN_S = 2.0


class WebhookWorker:
    """The process at work: its loop, its deliverer, its door. Made once, when Celery has started."""

    def __init__(self, settings: Settings) -> None:
        self._section = settings.webhooks
        self._names = Names()
        self._loop = LoopThread()
        self._deliverer = self._loop.run(self._build(settings))
        self._loop.start(self._deliverer.run())
        self._loop.start(meters.watch_loop())
        self._metrics = meters.told(settings.telemetry, meters.WEBHOOKS)

    async def _build(self, settings: Settings) -> Deliverer:
        """Choose the real things. A coroutine, because some of them bind to the loop they are made on."""
        self._database = Database(settings.database_url, pool_size=POOL_SIZE)
        self._door = Door(rules_of(settings), self._names, timeout_s=self._section.timeout_s)
        return Deliverer(self._database, self._door, self._section)

    def answer(self) -> str:
        """Look for what is due; returns one line for Flower."""
        return self._loop.run(self._nudge())

    async def _nudge(self) -> str:
        self._deliverer.nudge()
        return f"{self._deliverer.in_flight} on their way"

    def start_draining(self) -> None:
        """Take nothing new; returns at once."""
        self._loop.start(self._deliverer.drain(self._section.timeout_s))

    def stop(self) -> None:
        """Let what is on its way arrive, then close."""
        if self._metrics is not None:
            self._metrics.shutdown()
        self._loop.run(self._deliverer.drain(self._section.timeout_s + STOP_MARGIN_S))
        self._loop.run(self._close())
        self._loop.stop()

    async def _close(self) -> None:
        await self._door.aclose()
        await self._database.close()
        self._names.close()


settings = load()
app = make_app(settings.redis_url)
_running: list[WebhookWorker] = []


def deliver(v: int = 0, **_: Any) -> str:
    """Answer a bell: deliver what is due."""
    return _running[0].answer() if v == VERSION else "unknown bell"


app.task(deliver, name=WEBHOOKS_TASK, ignore_result=True)


@setup_logging.connect
def _log(**_: Any) -> None:
    logs.setup(settings.telemetry)


@worker_init.connect
def _start(**_: Any) -> None:
    _running.append(WebhookWorker(settings))


@worker_ready.connect
def _check(**_: Any) -> None:
    """Celery logs an error of a signal's receiver and goes on; a worker without its parts must not."""
    if not _running:
        raise SystemExit("the webhook worker could not start; the error stands above")


@worker_shutting_down.connect
def _drain(**_: Any) -> None:
    for worker in _running:
        worker.start_draining()


@worker_shutdown.connect
def _stop(**_: Any) -> None:
    while _running:
        _running.pop().stop()
