"""A test run that is ended from outside leaves no process and no folder behind, whatever it had started."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from cli.yard import CHECKOUT
from tests.cli.waiting import until
from tests.guardian import bearers
from tests.yard_that_waits import REPORT


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=lambda number: number.name)
def test_a_run_that_is_ended_leaves_nothing_behind(tmp_path: Path, number: signal.Signals):
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/yard_that_waits.py"],
        cwd=CHECKOUT,
        env={**os.environ, REPORT: str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: (tmp_path / "ready").exists() or run.poll() is not None)
    report = json.loads((tmp_path / "ready").read_text())
    left = {process.pid for process in bearers(report["mark"])}
    assert report["supervisor"] in left
    assert any("postgres" in psutil.Process(pid).name() for pid in left)
    run.send_signal(number)
    run.wait(60)
    until(lambda: not bearers(report["mark"]))
    until(lambda: not Path(report["folder"]).exists())
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in left)
    assert (tmp_path / "tidied").exists() is (number is not signal.SIGKILL)
    assert run.returncode == (-signal.SIGKILL if number is signal.SIGKILL else pytest.ExitCode.INTERRUPTED)
