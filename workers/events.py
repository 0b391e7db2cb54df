"""Celery's events in company: those of one moment leave as one message instead of each by itself."""

from typing import Any

from celery import bootsteps
from celery.worker.consumer.events import Events

APART_S = 0.1
"""Monitors hear of a task so much later. Without it each turn of the hub publishes what it has: on a worker whose
bells carry one job or two, a quarter of its CPU (`make bench`, the front door at 100 callers, 2026-11)."""


class EventsInCompany(bootsteps.StartStopStep):
    """Added to the consumer's steps; begins anew with each connection, as the step before it does."""

    requires = (Events,)

    def start(self, parent: Any) -> None:
        """Take the place of what sends at the hub's next turn."""
        if parent.hub is not None and parent.event_dispatcher is not None:
            parent.event_dispatcher.on_send_buffered = Company(parent)


class Company:
    """Called for every event, from any thread; sends on the hub's."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._is_due = False

    def __call__(self) -> None:
        """Something waits to be sent."""
        if not self._is_due:
            self._is_due = True
            self._consumer.hub.call_soon(self._arm)

    def _arm(self) -> None:
        self._consumer.timer.call_after(APART_S, self._send)

    def _send(self) -> None:
        self._is_due = False
        if self._consumer.event_dispatcher is not None:
            self._consumer.event_dispatcher.flush()
