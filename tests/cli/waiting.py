"""Waits on a condition with a bound, for tests that watch other processes."""

import time
from collections.abc import Callable


def until(condition: Callable[[], bool], limit_s: float = 30.0) -> None:
    """Return when `condition()` is true; fail the test if it never is."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
