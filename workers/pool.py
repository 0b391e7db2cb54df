"""Celery's threads pool, with one mend: a slot that frees wakes the hub at once."""

from concurrent.futures import Future
from typing import Any

from celery.concurrency.thread import ApplyResult, TaskPool
from kombu.asynchronous import get_event_loop


class WakingThreadPool(TaskPool):
    """Without this, `worker_disable_prefetch` sees a freed slot only at the hub's next turn, up to a second later.

    Used by `--pool custom` with `CELERY_CUSTOM_WORKER_POOL=workers.pool:WakingThreadPool`.
    """

    def on_apply(self, *args: Any, **kwargs: Any) -> ApplyResult:
        """Run a task in a thread; when it is done, the hub takes a turn (`int` is the cheapest thing to call)."""
        result = super().on_apply(*args, **kwargs)
        future: Future[Any] = result.f
        future.add_done_callback(_wake)
        return result


def _wake(_: Future[Any]) -> None:
    hub = get_event_loop()
    if hub is not None:
        hub.call_soon(int)
