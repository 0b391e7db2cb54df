"""The process's one asyncio loop, in a thread of its own: Celery's threads hand it coroutines and wait."""

import asyncio
import logging
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

import uvloop

log = logging.getLogger(__name__)
T = TypeVar("T")


class LoopThread:
    """An uvloop in a thread. `run` from any other thread; `lag_s` tells how long the loop has not moved."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._asked_at_s: float | None = None
        self._thread = threading.Thread(target=self._run, name="tokenyard-loop", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """Run a coroutine on the loop and wait for it in this thread. Raises TimeoutError after `timeout_s`."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def start(self, work: Coroutine[Any, Any, T]) -> None:
        """Start a coroutine that nobody waits for: it lives as long as the loop, and does not die unheard."""
        asyncio.run_coroutine_threadsafe(work, self._loop).add_done_callback(_tell_how_it_ended)

    def lag_s(self) -> float:
        """Seconds that the loop has owed an answer to this question; 0.0 when it moves. For the beat's thread alone."""
        if self._asked_at_s is None:
            self._asked_at_s = time.monotonic()
            self._loop.call_soon_threadsafe(self._answer)
            time.sleep(0.05)  # a loop that moves answers within microseconds
        asked_at_s = self._asked_at_s
        return 0.0 if asked_at_s is None else time.monotonic() - asked_at_s

    def _answer(self) -> None:
        self._asked_at_s = None

    def stop(self) -> None:
        """Cancel what still runs, stop the loop and wait for its thread."""
        with suppress(TimeoutError):
            self.run(_cancel_others(), timeout_s=5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)


def _tell_how_it_ended(work: Future[Any]) -> None:
    if not work.cancelled() and (error := work.exception()) is not None:
        log.error("a background task of the worker ended", exc_info=error)


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
