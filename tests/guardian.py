"""Ends what a test run leaves behind, however the run ends: a process of its own that outlives a kill -9 of pytest.

Everything that tests start inherits a mark in its environment, detached supervisors and their Postgres, too. The
guardian holds the other end of a pipe; when pytest is gone, or says that it is done, it ends all that bears the mark
and removes the folders that were entrusted to it.
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil

MARK = "TOKENYARD_TEST_RUN"
"""A run within a run bears both names, parted by a slash: the outer one's guardian answers for it, too."""
CHECKOUT = Path(__file__).resolve().parent.parent
PATIENCE = {signal.SIGTERM: 10.0, signal.SIGKILL: 10.0}
"""Seconds from a signal to the next one. Postgres and Redis end in good order within a second or two."""
LOOK_S = 0.05
PARENT_LOOK_S = 1.0
CLOSE_S = 30.0
STOPS = (signal.SIGTERM, signal.SIGHUP)


class Guardian:
    """One per test run; `close` at its end."""

    def __init__(self) -> None:
        run = uuid.uuid4().hex
        outer = os.environ.get(MARK)
        self.mark = f"{outer}/{run}" if outer else run
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.guardian", self.mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=CHECKOUT,
            start_new_session=True,  # a Ctrl-C in the terminal is for pytest
        )
        os.environ[MARK] = self.mark

    def keep(self, folder: Path) -> None:
        """Have a folder removed at the end, if the run does not come to it."""
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.write(f"{folder}\n".encode())
            self._process.stdin.flush()

    def close(self) -> str:
        """Let it end what is left, and wait for that. Returns what it was, a line each."""
        try:
            return self._process.communicate(timeout=CLOSE_S)[0].decode(errors="replace")
        except subprocess.TimeoutExpired:
            return "it did not come to an end\n"


def interrupt_on_stops() -> None:
    """Let SIGTERM and SIGHUP end a run as Ctrl-C does, so that the finalizers of its fixtures run."""

    def stop(_number: int, _frame: object) -> None:
        for number in STOPS:
            signal.signal(number, signal.SIG_IGN)  # the finalizers are not to be interrupted
        raise KeyboardInterrupt

    for number in STOPS:
        signal.signal(number, stop)


def bearers(mark: str) -> list[psutil.Process]:
    """The live processes that bear a mark, or descend from one that does."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            borne = process.environ().get(MARK, "")
            if borne == mark or borne.startswith(f"{mark}/"):
                found[process.pid] = process
                found |= {child.pid: child for child in process.children(recursive=True)}
    return [process for pid, process in found.items() if pid != os.getpid() and _is_alive(process)]


def _is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def end(mark: str) -> list[str]:
    """End all that bear a mark: first in good order, then by force. Returns what it was."""
    ended: list[str] = []
    for number, patience_s in PATIENCE.items():
        until = time.monotonic() + patience_s
        signalled: set[int] = set()
        while left := bearers(mark):
            for process in left:
                if process.pid in signalled:
                    continue
                signalled.add(process.pid)
                with contextlib.suppress(psutil.Error):
                    ended.append(f"{process.pid} {' '.join(process.cmdline())[:100]}")
                    process.send_signal(number)
            if time.monotonic() > until:
                break
            time.sleep(LOOK_S)
    return ended


def _folders_until_the_end() -> Iterator[str]:
    """What is entrusted on the pipe, until its other end is closed or pytest is gone.

    Only looking at the pipe would not do: a child that was forked without exec holds it open.
    """
    parent, text = os.getppid(), b""
    while os.getppid() == parent:
        if not select.select([sys.stdin.fileno()], [], [], PARENT_LOOK_S)[0]:
            continue
        if not (piece := os.read(sys.stdin.fileno(), 65_536)):
            return
        *lines, text = (text + piece).split(b"\n")
        yield from (line.decode() for line in lines)


def main(mark: str) -> None:
    """Wait for the end of the run, then leave nothing of it."""
    for number in (*STOPS, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    folders = list(_folders_until_the_end())
    ended = end(mark)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # nobody hears it behind a kill -9
        os.write(sys.stdout.fileno(), "".join(f"{line}\n" for line in ended).encode())


if __name__ == "__main__":
    main(sys.argv[1])
