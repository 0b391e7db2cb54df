"""Ties a child process to its parent: on Linux the kernel signals the child when the parent dies, even by kill -9."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
"""<linux/prctl.h>: the calling process gets a signal when its parent thread ends."""
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def leash(on_death: signal.Signals) -> Callable[[], None]:
    """Return a `preexec_fn` that leashes the child to this process. Does nothing outside Linux.

    Start children from the main thread only: the kernel watches the thread that forked, not the process.
    """
    parent = os.getpid()

    def bind() -> None:
        if _LIBC is None:
            return
        _LIBC.prctl(PR_SET_PDEATHSIG, int(on_death), 0, 0, 0)
        if os.getppid() != parent:  # died between fork and prctl: nobody is left to signal us
            os._exit(1)

    return bind
