"""The supervisor with tiny children in place of the real ones: restarts, order, refusal, leftovers."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cli.servers import still_alive
from cli.supervisor import stop_leftovers
from cli.yard import CHECKOUT, Running, State, Yard
from tests.cli.waiting import until

SUPERVISE = """
import json, sys
from pathlib import Path
from cli.processes import Process
from cli.supervisor import Plan, Supervisor
from cli.yard import Yard
given = json.loads(sys.argv[2])
steps = [Process(name, tuple(argv)) for name, argv in given["steps"]]
children = [Process(name, ("sh", "-c", script), stop_stage=stage, stop_limit_s=limit_s)
            for name, script, stage, limit_s in given["children"]]
Supervisor(Yard(Path(sys.argv[1])), Plan(steps=steps, processes=children)).run()
"""
WAIT = "while :; do sleep 0.05; done"


class Supervised:
    """A supervisor in a process of its own, on a folder."""

    def __init__(self, folder: Path) -> None:
        self.yard = Yard(folder)
        self._started: list[subprocess.Popen[bytes]] = []

    def start(
        self, *children: tuple[str, str, int, float], steps: tuple[tuple[str, list[str]], ...] = ()
    ) -> subprocess.Popen[bytes]:
        given = json.dumps({"steps": steps, "children": children})
        popen = subprocess.Popen(
            [sys.executable, "-c", SUPERVISE, str(self.yard.var), given],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._started.append(popen)
        return popen

    def ready(self, supervisor: subprocess.Popen[bytes]) -> State:
        found: list[State] = []

        def is_ready() -> bool:
            state = self.yard.running()
            if state is not None and state.phase == "ready" and state.supervisor.pid == supervisor.pid:
                found.append(state)
            return bool(found)

        until(is_ready)
        return found[0]

    def process(self, name: str) -> Running | None:
        state = self.yard.running()
        return state.processes.get(name) if state is not None else None

    def close(self) -> None:
        for popen in self._started:
            popen.terminate()
            popen.communicate(timeout=30)


@pytest.fixture
def supervised(tmp_path) -> Iterator[Supervised]:
    runner = Supervised(tmp_path / "var")
    yield runner
    runner.close()


def end(supervisor: subprocess.Popen[bytes], with_signal: signal.Signals = signal.SIGTERM) -> str:
    supervisor.send_signal(with_signal)
    output, _ = supervisor.communicate(timeout=30)
    return output.decode()


def processes_of(state: State) -> list[psutil.Process]:
    return [psutil.Process(running.pid) for running in state.processes.values() if running is not None]


def test_a_killed_child_is_restarted_and_counted(supervised):
    supervised.ready(supervised.start(("api", WAIT, 0, 5)))
    before = supervised.process("api")
    os.kill(before.pid, signal.SIGKILL)
    until(lambda: (after := supervised.process("api")) is not None and after.pid != before.pid)
    assert supervised.process("api").restarts == 1


def test_processes_stop_stage_by_stage(supervised, tmp_path):
    order = tmp_path / "order"
    script = "trap 'sleep {0}; echo {1} >> " + str(order) + "; exit 0' TERM; " + WAIT
    supervisor = supervised.start(
        ("provider", script.format(0, "provider"), 1, 5), ("worker", script.format(0.3, "worker"), 0, 5)
    )
    state = supervised.ready(supervisor)
    assert list(state.processes) == ["worker", "provider"]
    end(supervisor)
    assert order.read_text().split() == ["worker", "provider"]


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_end_leaves_no_process_and_no_record(supervised, with_signal):
    supervisor = supervised.start(("api", WAIT, 0, 5), ("worker", WAIT, 0, 5))
    family = processes_of(supervised.ready(supervisor))
    end(supervisor, with_signal)
    assert supervisor.returncode == 0
    assert still_alive(family, limit_s=0) == []
    assert supervised.yard.state() is None


def test_a_child_that_will_not_stop_is_killed_at_its_limit(supervised):
    supervisor = supervised.start(("deaf", f"trap '' TERM; {WAIT}", 0, 0.2))
    family = processes_of(supervised.ready(supervisor))
    assert "deaf did not stop in time" in end(supervisor)
    assert still_alive(family, limit_s=0) == []


def test_a_second_supervisor_is_refused_and_the_first_does_not_notice(supervised):
    state = supervised.ready(supervised.start(("api", WAIT, 0, 5)))
    second = supervised.start(("api", WAIT, 0, 5))
    output, _ = second.communicate(timeout=30)
    assert b"another supervisor holds" in output
    assert supervised.yard.running() == state


def test_a_child_that_cannot_live_ends_the_start_with_its_last_words(supervised):
    supervisor = supervised.start(("api", WAIT, 0, 5), ("broken", "echo no such setting; exit 1", 0, 5))
    output, _ = supervisor.communicate(timeout=60)
    assert supervisor.returncode == 1
    assert b"broken keeps ending" in output
    assert b"no such setting" in output
    assert supervised.yard.state() is None


def test_a_failed_step_ends_the_start_with_its_last_words(supervised):
    broken = ("migrate", ["sh", "-c", "echo no such table >&2; exit 2"])
    supervisor = supervised.start(("api", WAIT, 0, 5), steps=(broken,))
    output, _ = supervisor.communicate(timeout=30)
    assert b"migrate failed (exit 2)" in output
    assert b"no such table" in output


def test_told_to_stop_in_the_middle_of_the_start_it_leaves_nothing(supervised, tmp_path):
    began = tmp_path / "began"
    slow = ("migrate", ["sh", "-c", f"echo $$ > {began}.new; mv {began}.new {began}; exec sleep 300"])
    supervisor = supervised.start(("api", WAIT, 0, 5), steps=(slow,))
    until(began.exists)
    step = psutil.Process(int(began.read_text()))
    end(supervisor)
    assert supervisor.returncode == 0
    assert still_alive([step], limit_s=10) == []


def test_after_kill_9_of_the_supervisor_the_next_one_takes_over(supervised):
    first = supervised.start(("api", WAIT, 0, 5), ("worker", WAIT, 0, 5))
    family = processes_of(supervised.ready(first))
    first.kill()
    first.communicate(timeout=30)
    second = supervised.start(("api", WAIT, 0, 5), ("worker", WAIT, 0, 5))
    state = supervised.ready(second)
    assert still_alive(family, limit_s=0) == []
    assert len(still_alive(processes_of(state), limit_s=0)) == 2


def record_of_a_dead_supervisor(folder: Path, **processes: Running | None) -> Yard:
    yard = Yard(folder)
    yard.make()
    yard.write(State(Running(pid=2**22 + 1, create_time=0.0), processes=processes))
    return yard


def test_leftovers_are_found_by_the_record_and_stopped(tmp_path):
    with subprocess.Popen(["sleep", "300"]) as left:
        yard = record_of_a_dead_supervisor(tmp_path, api=Running.of(left.pid), worker=None)
        assert yard.running() is None
        assert stop_leftovers(yard) == ["api"]
        assert left.wait(timeout=10) == -signal.SIGTERM
        assert yard.state() is None


def test_a_stranger_with_a_recorded_id_is_left_alone(tmp_path):
    with subprocess.Popen(["sleep", "300"]) as stranger:
        yard = record_of_a_dead_supervisor(tmp_path, api=Running(stranger.pid, create_time=1.0))
        assert stop_leftovers(yard) == []
        assert stranger.poll() is None
        stranger.kill()


def test_nothing_recorded_is_nothing_to_stop(tmp_path):
    assert stop_leftovers(Yard(tmp_path)) == []
