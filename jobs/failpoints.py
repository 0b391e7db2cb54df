"""Failpoints: places where a fault test makes a process die with SIGKILL. Unarmed, a call costs one comparison.

`TOKENYARD_DIE_AT=claimed:3` kills the process at the third passage of `claimed`; `TOKENYARD_DIE_BY=SIGSTOP` freezes
it there instead. With `TOKENYARD_POISON=1` a request
that says `POISON:kill` kills whoever carries it, and one that says `POISON:block:60` holds up its event loop for 60 s.
"""

import os
import re
import signal
import time

VARIABLE = "TOKENYARD_DIE_AT"
SIGNAL_VARIABLE = "TOKENYARD_DIE_BY"
POISON_VARIABLE = "TOKENYARD_POISON"
POISON = re.compile(rb"POISON:(?:kill|block:(?P<seconds>[0-9]+))")
JOB_POINTS = frozenset(
    {
        "submitted_before_bell",
        "popped_before_claim",
        "claimed",
        "attempt_opened",
        "request_sent",
        "mid_stream",
        "answered_before_commit",
        "committed_before_signal",
    }
)
"""Passed by an API or a worker on each job's way."""
DISPATCHER_POINTS = frozenset({"looked", "released"})
WEBHOOK_POINTS = frozenset({"webhook_claimed", "webhook_answered"})
POINTS = JOB_POINTS | DISPATCHER_POINTS | WEBHOOK_POINTS


def _armed(value: str) -> tuple[str, int]:
    point, _, count = value.partition(":")
    if point and point not in POINTS:
        raise ValueError(f"{VARIABLE}: no failpoint {point!r}; there are {', '.join(sorted(POINTS))}")
    return point, int(count or 1)


_is_poisonable = bool(os.environ.get(POISON_VARIABLE))
_point, _left = _armed(os.environ.get(VARIABLE, ""))
_signal = signal.Signals[os.environ.get(SIGNAL_VARIABLE, "SIGKILL")]


def hit(point: str) -> None:
    """Die or freeze here if this point is armed and its count is used up, once."""
    global _left  # noqa: PLW0603 -- a process dies once
    if point == _point:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), _signal)


def is_armed(point: str) -> bool:
    """Whether a fault test wants the process to die here, for points that need preparing."""
    return point == _point


def taste(request: bytes) -> None:
    """Do to this process what a poisonous request says."""
    if not _is_poisonable or (found := POISON.search(request)) is None:
        return
    if found["seconds"] is None:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(int(found["seconds"]))
