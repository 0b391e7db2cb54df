"""The bells: a Celery app over Redis whose messages carry a lane, job ids and a version, and nothing else."""

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from celery import Celery
from kombu.entity import Queue

from jobs import ids
from jobs.lanes import TERMS, WEBHOOKS, Lane
from routing.fairness import Turns

VERSION = 1
"""Bells carry it; a worker drops a bell of a version it does not know, and the two-second poll finds its jobs."""
WEBHOOKS_TASK = "tokenyard.webhooks"
EVENT_QUEUE_S = 60
PUBLISH_TIMEOUT_S = 1.0


class LaneCycle:
    """Which lane a worker's free slot asks first: its lanes by their weights, as kombu's `queue_order_strategy`.

    kombu's own `priority` asks in the order of `-Q`: while one lane has a backlog, those behind it get nothing. Its
    `round_robin` knows no weights.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._turns = Turns({lane.value: terms.weight for lane, terms in TERMS.items()})

    def update(self, names: Iterable[str]) -> None:
        """These queues are consumed from now on."""
        self._names = list(names)

    def consume(self, most: int) -> list[str]:
        """The queues in the order in which a blocking pop looks into them."""
        return self._turns.order(self._names)[:most]

    def rotate(self, last_used: str) -> str:
        """A message came from this queue, and those before it were empty."""
        self._turns.took(last_used)
        return last_used


def celery_url(redis_url: str) -> str:
    """Celery's spelling of a Redis address: redis-py says unix:///path, kombu says redis+socket:///path."""
    if redis_url.startswith("unix://"):
        return "redis+socket://" + redis_url.removeprefix("unix://")
    return redis_url


def make_app(redis_url: str) -> Celery:
    """The Celery app of every process: JSON only, no results, no acknowledgements, no prefetch.

    `no_ack` and `worker_disable_prefetch` belong together: without acknowledgements a prefetched message is lost
    with its worker, without prefetch it never leaves Redis before a slot is free. A lost bell is the poll's matter.
    """
    app = Celery("tokenyard", broker=celery_url(redis_url))
    app.conf.update(
        task_queues=[Queue(name, routing_key=name, no_ack=True) for name in (*Lane, WEBHOOKS)],
        task_default_queue=Lane.STANDARD.value,
        task_create_missing_queues=False,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_send_sent_event=False,
        task_track_started=False,
        worker_send_task_events=True,
        event_queue_ttl=EVENT_QUEUE_S,
        event_queue_expires=EVENT_QUEUE_S,
        worker_disable_prefetch=True,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=True,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_pool_limit=4,
        broker_pool_acquire_timeout=PUBLISH_TIMEOUT_S,
        broker_transport_options={
            "queue_order_strategy": f"{__name__}:{LaneCycle.__name__}",  # by name: a worker tells its options as JSON
            "priority_steps": [0],
            "max_retries": 0,  # kombu would try for six seconds; who rings has a poll behind it, a worker its own loop
            "socket_timeout": 5,  # a worker's main thread may hang so long on a Redis that is frozen, deaf to signals
            "socket_connect_timeout": 1,
            "socket_keepalive": True,
            "health_check_interval": 10,  # a consumer on a half-open connection is rid of it after 1 + 2 * 10 s
        },
    )
    return app


def task_name(lane: Lane) -> str:
    """Tasks are named by lane, so that Flower shows lanes."""
    return f"tokenyard.{lane.value}"


class Bells:
    """Rings lanes. Blocking, so callers run it off their event loop; a bell that can't be rung costs two seconds."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def ring(self, lane: Lane, job_ids: Sequence[uuid.UUID]) -> None:
        """Put one message with these ids into a lane. Raises `kombu.exceptions.OperationalError` without Redis."""
        shown = [ids.show("job", job_id) for job_id in job_ids]
        self._app.send_task(
            task_name(lane),
            kwargs={"v": VERSION, "lane": lane.value, "ids": shown},
            kwargsrepr=", ".join(shown),  # what Flower shows: Celery's own stops after 1,024 characters, in the 29th id
            queue=lane.value,
            ignore_result=True,
            retry=False,
        )

    def ring_webhooks(self) -> None:
        """Tell one webhook worker that deliveries are due. Raises `kombu.exceptions.OperationalError` without Redis."""
        self._app.send_task(WEBHOOKS_TASK, kwargs={"v": VERSION}, queue=WEBHOOKS, ignore_result=True, retry=False)

    def depth(self, queue: str) -> int:
        """Messages waiting in a lane, or in WEBHOOKS. Raises `kombu.exceptions.OperationalError` without Redis."""
        with self._app.connection_for_read() as connection, connection._reraise_as_library_errors():  # noqa: SLF001
            # kombu has no public verb for a queue's length that does not also declare the queue.
            depth: int = connection.default_channel.client.llen(queue)
            return depth


def read_bell(bell: dict[str, Any]) -> list[uuid.UUID]:
    """The job ids of a bell; [] for an unknown version or ids that are none: forged bells harm nobody."""
    if bell.get("v") != VERSION or not isinstance(bell.get("ids"), list):
        return []
    found = []
    for text in bell["ids"]:
        try:
            found.append(ids.read("job", str(text)))
        except ids.InvalidId:
            continue
    return found
