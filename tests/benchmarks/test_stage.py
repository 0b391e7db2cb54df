"""The stage leaves nothing behind, whatever ends it."""

import contextlib
import subprocess
import sys

import psutil
import pytest

from benchmarks.stage import BenchError, Stage

STUBBORN = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, lambda *_: print("no", flush=True))
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print(child.pid, flush=True)
while True:
    signal.pause()
"""


def interrupted(stage: Stage) -> tuple[subprocess.Popen[str], psutil.Process]:
    """Starts a stubborn process with a child and is interrupted; what it started, for the look afterwards."""
    log = stage.folder / "worker.log"
    with contextlib.suppress(KeyboardInterrupt), stage:
        worker = stage.start("worker", (sys.executable, "-c", STUBBORN), {})
        stage.wait(lambda: log.read_text(encoding="ascii").endswith("\n"), "it told its child", "worker")
        child = psutil.Process(int(log.read_text(encoding="ascii")))
        raise KeyboardInterrupt
    return worker, child


def test_an_interrupt_stops_even_a_stubborn_process_with_its_children(tmp_path):
    worker, child = interrupted(Stage(tmp_path / "stage", stop_s=0.2))
    assert worker.poll() is not None
    gone, alive = psutil.wait_procs([child], timeout=10)
    assert (gone, alive) == ([child], [])


def test_waiting_for_a_process_that_died_ends_with_its_last_words(tmp_path):
    with Stage(tmp_path / "stage") as stage:
        stage.start("worker", (sys.executable, "-c", "raise SystemExit('no such broker')"), {})
        with pytest.raises(BenchError, match="no such broker"):
            stage.wait(lambda: False, "pigs fly", "worker")


def test_a_driver_that_can_t_prepare_is_an_error(tmp_path):
    with Stage(tmp_path / "stage") as stage, pytest.raises(BenchError, match="ended"):
        stage.driver("benchmarks.submit", "not-a-number", environment={})


def test_the_upstream_is_a_group_of_its_own(tmp_path):
    with Stage(tmp_path / "stage") as stage:
        stage.start_upstream(10)
        assert stage.pids["upstream"]
        assert stage.upstream_url.endswith("/v1")
