"""Runs the processes of a yard: starts them in order, restarts the dead, stops all in order, leaves nothing behind."""

import contextlib
import itertools
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType

import psutil

from cli.children import Child, Watch, run_to_end
from cli.processes import DRAIN_LIMIT_S, Process
from cli.servers import Server, still_alive
from cli.yard import Phase, Running, State, Yard, YardError

LOOK_S = 0.2
"""How often the supervisor looks after its processes."""
READY_LIMIT_S = 180.0
DEATHS_AT_START = 3
"""A process that dies so often before the yard was ever ready will not live: say so and stop."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True)
class Plan:
    """What a yard is made of, in the order of starting: servers, steps that end by themselves, processes."""

    servers: Sequence[Server] = ()
    steps: Sequence[Process] = ()
    processes: Sequence[Process] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    """The yard's addresses, given to every process and kept in yard.json."""
    api_url: str = ""
    flower_url: str = ""
    is_serving: Callable[[], bool] = lambda: True
    """Asked until it is true; the yard is ready then."""
    finish: Callable[[], None] = lambda: None
    """What is left to do when it serves, before anyone is told."""


class Supervisor:
    """`Supervisor(yard, plan).run()` returns after SIGTERM, SIGINT or SIGHUP, when everything has stopped."""

    def __init__(self, yard: Yard, plan: Plan) -> None:
        self._yard = yard
        self._plan = plan
        self._phase: Phase = "starting"
        self._children = [Child(process, yard, plan.environment) for process in plan.processes]
        self._servers = [Watch(server) for server in plan.servers]
        self._watches = [*self._servers, *map(Watch, self._children)]
        self._started: list[Watch] = []
        self._ready_by = time.monotonic() + READY_LIMIT_S

    def run(self) -> None:
        """Run the yard until it is told to stop. Raises YardError, ServerError or OSError when it can't start."""
        self._yard.make()
        with self._yard.lock(), _interrupted_by(STOP_SIGNALS):
            try:
                stop_leftovers(self._yard, self._plan.servers)
                self._start()
                while True:
                    time.sleep(LOOK_S)
                    self._look()
            except KeyboardInterrupt:
                print("told to stop", flush=True)
            finally:
                _ignore(STOP_SIGNALS)
                self._stop()

    def _start(self) -> None:
        self._yard.release()
        self._record()
        for watch in self._servers:
            self._start_one(watch)
        for step in self._plan.steps:
            print(f"running {step.name}", flush=True)
            run_to_end(step, self._yard, self._plan.environment)
        for watch in self._watches[len(self._servers) :]:
            self._start_one(watch)
        self._ready_by = time.monotonic() + READY_LIMIT_S

    def _start_one(self, watch: Watch) -> None:
        print(f"starting {watch.subject.name}", flush=True)
        watch.start()
        self._started.append(watch)
        self._record()

    def _look(self) -> None:
        now = time.monotonic()
        changed = [watch.look(now, is_held=self._yard.holds(watch.subject.name)) for watch in self._watches]
        if self._phase == "starting":
            self._see_whether_ready(now)
        elif any(changed):
            self._record()

    def _see_whether_ready(self, now: float) -> None:
        for child, watch in zip(self._children, self._watches[len(self._servers) :], strict=True):
            if watch.deaths >= DEATHS_AT_START:
                raise YardError(f"{child.name} keeps ending; the end of its log:\n{child.last_words()}")
        settled = all(watch.has_settled(now) for watch in self._watches)
        if settled and all(child.is_serving for child in self._children) and self._plan.is_serving():
            self._plan.finish()
            self._phase = "ready"
            print("ready", flush=True)
        elif now > self._ready_by:
            raise YardError(f"not ready after {READY_LIMIT_S:.0f} s; the logs lie in {self._yard.log}")
        self._record()

    def _record(self) -> None:
        """Write yard.json, processes in the order in which they are stopped."""
        supervisor = Running.of(psutil.Process().pid)
        if supervisor is None:
            raise YardError("this process does not exist")
        order = sorted(self._children, key=lambda child: child.process.stop_stage)
        names = [child.name for child in order] + [server.name for server in reversed(self._plan.servers)]
        records = {watch.subject.name: watch.record() for watch in self._started}
        self._yard.write(
            State(
                supervisor,
                self._phase,
                {name: records[name] for name in names if name in records},
                self._plan.api_url,
                dict(self._plan.environment),
                self._plan.flower_url,
            )
        )

    def _stop(self) -> None:
        self._phase = "stopping"
        self._record()
        by_stage = sorted(self._children, key=lambda child: child.process.stop_stage)
        for _, stage in itertools.groupby(by_stage, key=lambda child: child.process.stop_stage):
            children = [child for child in stage if child.is_running]
            asked_at = time.monotonic()
            for child in children:
                child.ask_to_stop()
            for child in children:
                child.wait_or_kill(asked_at + child.process.stop_limit_s)
                print(f"stopped {child.name}", flush=True)
        for server in reversed(self._plan.servers):
            if server.is_running:
                server.stop()
                print(f"stopped {server.name}", flush=True)
        self._yard.forget()


def stop_leftovers(yard: Yard, servers: Sequence[Server] = ()) -> list[str]:
    """Stop what a supervisor that was killed left running: its processes first, the servers last. Returns names."""
    state = yard.state()
    names = {server.name for server in servers}
    left = {
        name: process
        for name, running in (state.processes if state is not None else {}).items()
        if name not in names and running is not None and (process := running.process()) is not None
    }
    for process in left.values():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    stubborn = still_alive(list(left.values()), DRAIN_LIMIT_S)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    still_alive(stubborn, DRAIN_LIMIT_S)
    stopped = [*left, *(server.name for server in reversed(servers) if server.stop_leftover())]
    yard.forget()
    return stopped


@contextlib.contextmanager
def _interrupted_by(signals: Sequence[signal.Signals]) -> Iterator[None]:
    """Turn signals into KeyboardInterrupt, so that one path stops the yard, in the middle of a start too."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        _ignore(signals)  # the stop itself is not to be interrupted
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore(signals: Sequence[signal.Signals]) -> None:
    for number in signals:
        signal.signal(number, signal.SIG_IGN)
