"""Child processes under watch: start with a log of their own, restart after a growing pause, stop in good order."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from typing import Protocol

from cli.leash import leash
from cli.processes import Process, environment
from cli.servers import ServerError, read
from cli.yard import CHECKOUT, Running, Yard, YardError

LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0
"""After so long without a death the next restart is prompt again."""
SETTLED_S = 0.5
LOG_LIMIT_BYTES = 20_000_000
"""A longer log is set aside as NAME.log.1 at the next start of its process."""


def pause_s(deaths: int) -> float:
    """Seconds before the restart after that many deaths in a row (1, 2, ...): 1, 2, 4 ... 30."""
    return float(min(LONGEST_PAUSE_S, 2.0 ** min(deaths - 1, 10)))


class Subject(Protocol):
    """What can be watched: a `Child`, or a `cli.servers.Server`."""

    name: str

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""

    @property
    def is_running(self) -> bool:
        """True while it runs."""

    def start(self) -> None:
        """Start it. Raises OSError or ServerError."""


class Child:
    """One process of the yard."""

    def __init__(self, process: Process, yard: Yard, addresses: Mapping[str, str]) -> None:
        self.process = process
        self.name = process.name
        self._log = yard.log / f"{process.name}.log"
        self._addresses = addresses
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process's id while it runs, else None."""
        return self._popen.pid if self._popen is not None and self.is_running else None

    @property
    def is_running(self) -> bool:
        """True while the process lives."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def is_serving(self) -> bool:
        """True once its ready file is there; at once for a process that has none."""
        return self.process.ready_file is None or self.process.ready_file.exists()

    def start(self) -> None:
        """Start it, its output added to var/log/NAME.log."""
        if self.process.ready_file is not None:
            self.process.ready_file.unlink(missing_ok=True)
        if self._log.exists() and self._log.stat().st_size > LOG_LIMIT_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
        with self._log.open("ab") as log:
            self._popen = subprocess.Popen(
                self.process.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=CHECKOUT,
                env=environment(self.process, self._addresses),
                start_new_session=True,  # a Ctrl-C in the terminal reaches the supervisor alone, which stops in order
                preexec_fn=leash(signal.SIGTERM),  # noqa: PLW1509 - only calls prctl and getppid
            )

    def ask_to_stop(self) -> None:
        """Send SIGTERM, if it lives."""
        if self._popen is not None and self.is_running:
            self._popen.terminate()

    def wait_or_kill(self, deadline: float) -> None:
        """Wait until `deadline` (monotonic), then end it with everything in its session."""
        if self._popen is None:
            return
        try:
            self._popen.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            print(f"{self.name} did not stop in time: killed", flush=True)
            os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(read(self._log).splitlines()[-15:])


class Watch:
    """Restarts one subject when it dies, after a pause that grows with each death in a row."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.deaths = 0
        """In a row; forgotten after a steady minute."""
        self.restarts = 0
        self._due_at: float | None = None
        self._started_at = time.monotonic()

    def start(self) -> None:
        """First start. Raises OSError or ServerError."""
        self._started_at = time.monotonic()
        self.subject.start()

    def look(self, now: float, *, is_held: bool = False) -> bool:
        """Look once, at monotonic time `now` in seconds; True if something changed. What is held stays down."""
        if self.subject.is_running:
            if now - self._started_at > STEADY_S:
                self.deaths = 0
            return False
        if self._due_at is None:
            self.deaths += 1
            self._due_at = now + pause_s(self.deaths)
            print(f"{self.subject.name} ended; again in {pause_s(self.deaths):.0f} s", flush=True)
            return True
        if is_held or now < self._due_at:
            return False
        self._restart(now)
        return True

    def has_settled(self, now: float) -> bool:
        """True if it runs and has outlived the mistakes that end a process at once."""
        return self.subject.is_running and now - self._started_at >= SETTLED_S

    def record(self) -> Running | None:
        """The entry for yard.json; None while it is down."""
        return Running.of(self.subject.pid, self.restarts) if self.subject.pid is not None else None

    def _restart(self, now: float) -> None:
        self._due_at, self._started_at = None, now
        self.restarts += 1
        try:
            self.subject.start()
        except (OSError, ServerError) as error:  # counts as one more death at the next look
            print(f"{self.subject.name}: {error}", flush=True)


def run_to_end(process: Process, yard: Yard, addresses: Mapping[str, str]) -> str:
    """Run a step and return what it printed, which is logged only when it failed. Raises YardError."""
    log = yard.log / f"{process.name}.log"
    with log.open("wb") as errors:
        done = subprocess.run(
            process.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=CHECKOUT,
            env=environment(process, addresses),
            check=False,
            start_new_session=True,
            preexec_fn=leash(signal.SIGTERM),
        )
    if done.returncode:
        words = "\n".join(read(log).splitlines()[-15:])
        raise YardError(f"{process.name} failed (exit {done.returncode}); the end of {log}:\n{words}")
    return done.stdout.decode(errors="replace").strip()
