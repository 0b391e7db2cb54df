"""A freed slot wakes the hub."""

import threading
from typing import cast

import pytest
from celery.concurrency.base import BasePool
from kombu.asynchronous import Hub as KombuHub
from kombu.asynchronous import get_event_loop, set_event_loop

from workers.pool import WakingThreadPool


class Hub:
    """Stands where Celery's hub stands, and says when it was woken."""

    def __init__(self) -> None:
        self.woken = threading.Event()

    def call_soon(self, callback, *args):
        self.woken.set()


@pytest.fixture
def hub():
    before, hub = get_event_loop(), Hub()
    set_event_loop(cast("KombuHub", hub))
    yield hub
    set_event_loop(before)


def test_a_freed_slot_wakes_the_hub_and_a_busy_one_does_not(hub: Hub):
    pool: BasePool = WakingThreadPool(limit=1)
    pool.start()
    finish = threading.Event()
    try:
        pool.apply_async(finish.wait, (10,), callback=lambda _: None, accept_callback=lambda *_: None)
        assert not hub.woken.is_set()
        finish.set()
        assert hub.woken.wait(10)
    finally:
        finish.set()
        pool.stop()
