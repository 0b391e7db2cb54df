"""The commands as a user types them, on a yard that is down."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.status import jobs_by_lane
from cli.yard import CHECKOUT, Yard

run = CliRunner()


def test_help_names_every_command():
    answer = run.invoke(app, ["--help"]).output
    for command in ("up", "down", "status", "api", "worker", "dispatcher", "flower", "migrate", "sandbox"):
        assert f" {command} " in answer


def test_the_status_of_a_yard_that_is_down_is_3(tmp_path):
    answer = run.invoke(app, ["status", "--var", str(tmp_path)])
    assert answer.exit_code == 3
    assert "is down" in answer.output.replace("\n", "")


def test_down_twice_is_fine(tmp_path):
    for _ in range(2):
        answer = run.invoke(app, ["down", "--var", str(tmp_path / "var")])
        assert answer.exit_code == 0
        assert "Nothing of this yard runs" in answer.output


def test_erase_removes_the_yard_and_nothing_of_the_users(tmp_path):
    yard = Yard(tmp_path / "var")
    yard.make()
    yard.keep_key("ty_1_x")
    yard.ensure_flower_password()
    (yard.var / "redis").mkdir()
    answer = run.invoke(app, ["down", "--erase", "--var", str(yard.var)])
    assert answer.exit_code == 0
    assert not yard.var.exists()
    yard.make()
    (yard.var / "notes.txt").write_text("mine")
    run.invoke(app, ["down", "--erase", "--var", str(yard.var)])
    assert [path.name for path in yard.var.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("command", ["api", "worker", "dispatcher", "migrate"])
def test_a_starter_without_a_database_says_what_to_set(tmp_path, monkeypatch, command):
    monkeypatch.delenv("TOKENYARD_DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    answer = run.invoke(app, [command])
    assert answer.exit_code == 1
    assert "TOKENYARD_DATABASE_URL" in answer.output


def test_a_wrong_setting_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "tokenyard.toml").write_text("[api]\nprot = 1\n")
    monkeypatch.chdir(tmp_path)
    answer = run.invoke(app, ["up"])
    assert answer.exit_code == 1
    assert "did you mean 'port'" in answer.output
    assert "Traceback" not in answer.output


def test_jobs_are_read_from_the_metrics_page():
    page = (
        b'# TYPE tokenyard_jobs gauge\ntokenyard_jobs{lane="bulk",state="queued"} 12\ntokenyard_jobs{lane="bulk"} 1\n'
    )
    assert jobs_by_lane(page) == {("bulk", "queued"): 12}
    assert jobs_by_lane(b"") == {}


def test_no_command_waits_for_what_only_servers_need():
    """A second's worth of imports at each start would be felt by whoever types `tokenyard jobs list`."""
    look = "import sys, cli.main; print(*{'sqlalchemy', 'celery', 'alembic', 'fastapi', 'flower'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", look], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert said.stdout.split() == []
