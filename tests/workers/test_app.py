"""The Celery app starts a worker's parts, and ends when they cannot start."""

import os
import subprocess
import sys

from cli.yard import CHECKOUT
from jobs.broker import task_name
from jobs.lanes import Lane

LOOK = "from workers.app import app; print(*sorted(name for name in app.tasks if name.startswith('tokenyard.')))"
ADDRESSES = {"TOKENYARD_DATABASE_URL": "postgresql:///none", "TOKENYARD_REDIS_URL": "unix:///none.sock"}


def load(**environment: str) -> "subprocess.CompletedProcess[str]":
    """Import the app as Celery does, in a process of its own: it hangs itself into Celery's signals."""
    return subprocess.run(
        [sys.executable, "-c", LOOK],
        env=os.environ | ADDRESSES | environment,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_app_has_one_task_for_each_lane():
    done = load()
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == sorted(task_name(lane) for lane in Lane)


def test_a_wrong_setting_ends_the_worker_at_its_start_and_is_named(tmp_path):
    config = tmp_path / "tokenyard.toml"
    config.write_text("[worker]\nslot = 3\n")
    done = load(TOKENYARD_CONFIG=str(config))
    assert done.returncode != 0
    assert "did you mean 'slots'?" in done.stderr
