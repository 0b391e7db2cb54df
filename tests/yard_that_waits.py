"""A test run for `tests/test_guardian.py`: it starts a detached supervisor with a real Postgres, says so, and waits."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.yard import CHECKOUT, Yard
from tests.guardian import MARK

REPORT = "TOKENYARD_TEST_REPORT"
"""The folder in which this run says how far it is."""
SUPERVISE = """
import sys
from pathlib import Path
from cli.embedded import Postgres
from cli.processes import Process
from cli.supervisor import Plan, Supervisor
from cli.yard import Yard
folder = Path(sys.argv[1])
plan = Plan(servers=[Postgres(folder / "postgres", fsync=False)], processes=[Process("child", ("sleep", "600"))])
Supervisor(Yard(folder / "var"), plan).run()
"""
DETACH = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", {SUPERVISE!r}, sys.argv[1]], start_new_session=True,
                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
"""


@pytest.fixture
def tidied() -> Iterator[None]:
    yield
    Path(os.environ[REPORT], "tidied").touch()


def test_that_waits(yard_folder: Path, tidied: None):
    """Nobody stops the supervisor: the process that started it is gone, as that of `tokenyard up` is."""
    subprocess.run([sys.executable, "-c", DETACH, str(yard_folder)], cwd=CHECKOUT, check=True)
    yard = Yard(yard_folder / "var")
    while (state := yard.running()) is None or state.phase != "ready":
        time.sleep(0.05)
    report = {"mark": os.environ[MARK], "folder": str(yard_folder), "supervisor": state.supervisor.pid}
    half = Path(os.environ[REPORT], "half")
    half.write_text(json.dumps(report))
    half.rename(half.with_name("ready"))
    while True:
        time.sleep(0.05)
