"""The loop's thread runs what it is given and tells how long it has not moved."""

import asyncio
import threading

import pytest

from workers.loop import LoopThread


@pytest.fixture
def loop():
    made = LoopThread()
    yield made
    made.stop()


def test_another_thread_gets_a_coroutines_result(loop: LoopThread):
    async def where() -> str:
        return threading.current_thread().name

    assert loop.run(where()) == "tokenyard-loop"


def test_another_thread_gets_a_coroutines_error(loop: LoopThread):
    async def breaks() -> None:
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        loop.run(breaks())


def test_nobody_waits_longer_than_it_said(loop: LoopThread):
    with pytest.raises(TimeoutError):
        loop.run(asyncio.Event().wait(), timeout_s=0.01)


def test_a_loop_that_moves_has_no_lag(loop: LoopThread):
    assert loop.lag_s() == 0.0


def test_a_blocked_loop_lags_more_and_more_until_it_moves_again(loop: LoopThread):
    release, blocked = threading.Event(), threading.Event()

    async def block() -> None:
        blocked.set()
        release.wait(10)

    loop.start(block())
    assert blocked.wait(10)
    first, second = loop.lag_s(), loop.lag_s()
    assert 0.0 < first <= second
    release.set()

    async def moves() -> None:
        return None

    loop.run(moves(), timeout_s=10)
    assert loop.lag_s() == 0.0
