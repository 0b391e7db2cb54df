"""`tokenyard doctor` on yards that are up, half up and down, and `tokenyard health` beside it."""

import os
import signal

import msgspec
import pytest
from typer.testing import CliRunner, Result

from cli.checkup import record
from cli.checkup.finding import CHECKS
from cli.main import app
from tests.cli.waiting import until
from tests.cli.whole import Whole

ADDRESSES = ("TOKENYARD_DATABASE_URL", "TOKENYARD_REDIS_URL", "TOKENYARD_CONFIG", "TOKENYARD_URL")


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """No address but those that a test sets, and no settings in the folder."""
    for name in ADDRESSES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def typed(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def examined(*words: str) -> tuple[int, dict[str, str]]:
    """Exit code, and each check's level; every check is there once."""
    answer = typed("doctor", "--json", *words)
    found = [msgspec.json.decode(line) for line in answer.stdout.splitlines()]
    assert tuple(each["name"] for each in found) == CHECKS
    return answer.exit_code, {each["name"]: each["level"] for each in found}


def bad(levels: dict[str, str], *expected: str) -> set[str]:
    return {name for name, level in levels.items() if level in (expected or ("warn", "fail"))}


def test_a_yard_that_is_up_is_well(whole: Whole):
    code, levels = examined("--var", str(whole.yard.var))
    assert code == 0
    assert bad(levels) <= {"disk", "processes"}  # a small machine, a restart of the test below
    assert bad(levels, "skipped") == {"ports"}
    said = typed("doctor", "--var", str(whole.yard.var)).output
    assert "at work on" in said
    assert f"{whole.state.api_url} is ready" in said


def test_a_yard_that_is_down_says_what_to_type(tmp_path):
    code, levels = examined("--var", str(tmp_path / "var"))
    assert code == 1
    assert bad(levels, "fail") == {"processes", "postgres", "redis", "providers"}
    assert "-> tokenyard up" in typed("doctor", "--var", str(tmp_path / "var")).output


def test_in_production_it_looks_at_the_servers_that_are_named(whole: Whole, monkeypatch, tmp_path):
    for name in ADDRESSES[:3]:
        monkeypatch.setenv(name, whole.state.environment[name])
    monkeypatch.setenv("TOKENYARD_URL", whole.state.api_url)
    code, levels = examined("--var", str(tmp_path / "none"))
    assert code == 0
    assert bad(levels, "skipped") == {"processes", "flower", "ports"}


def test_a_yard_that_is_half_up_names_what_is_missing(database_url, monkeypatch, tmp_path):
    monkeypatch.setenv("TOKENYARD_DATABASE_URL", database_url)
    monkeypatch.setenv("TOKENYARD_REDIS_URL", "redis://127.0.0.1:1/0")
    code, levels = examined("--var", str(tmp_path / "none"))
    assert code == 1
    # The tests' Postgres runs without fsync, which it must not pass over.
    assert bad(levels, "fail") == {"providers", "durability", "redis", "workers", "dispatchers"}
    assert levels["migrations"] == "ok"


def test_a_database_of_another_version_is_not_looked_into(empty_database_url, monkeypatch, tmp_path):
    monkeypatch.setenv("TOKENYARD_DATABASE_URL", empty_database_url)
    _, levels = examined("--var", str(tmp_path / "none"))
    assert levels["migrations"] == "fail"
    assert bad(levels, "skipped") >= {"workers", "queues", "partitions"}


@pytest.mark.parametrize(
    "url", ["postgresql://127.0.0.1:1/none", "postgresql://user:s3cret@127.0.0.1:1/none", "no address at all"]
)
def test_a_postgres_that_does_not_answer_is_said_without_its_password(url, monkeypatch, tmp_path):
    monkeypatch.setenv("TOKENYARD_DATABASE_URL", url)
    answer = typed("doctor", "--var", str(tmp_path / "none"))
    assert answer.exit_code == 1
    assert "postgres          does not answer" in answer.output
    assert "s3cret" not in answer.output
    assert "Traceback" not in answer.output


def test_settings_that_cannot_be_read_are_the_finding(tmp_path):
    (tmp_path / "tokenyard.toml").write_text("[api]\nprot = 1\n")
    code, levels = examined("--var", str(tmp_path / "none"))
    assert code == 1
    assert bad(levels) <= {"settings", "disk"}
    assert levels["settings"] == "fail"


@pytest.mark.parametrize("what", ["api", "worker", "dispatcher", "webhooks", "flower"])
def test_each_process_of_a_yard_is_healthy(whole: Whole, what: str, monkeypatch):
    config = whole.yard.var.parent / "health.toml"
    config.write_text("[api]\nport = 1\n[flower]\nport = 1\n")  # taken when the yard came up: it took others
    monkeypatch.setenv("TOKENYARD_CONFIG", str(config))
    answer = typed("health", what, "--var", str(whole.yard.var))
    assert answer.exit_code == 0, answer.output


def test_a_worker_of_another_name_is_not_taken_for_it(whole: Whole):
    assert typed("health", "worker", "--name", "bulk", "--var", str(whole.yard.var)).exit_code == 0
    assert typed("health", "worker", "--name", "other", "--var", str(whole.yard.var)).exit_code == 1


def test_nobody_at_work_is_not_healthy(database_url, monkeypatch):
    monkeypatch.setenv("TOKENYARD_DATABASE_URL", database_url)
    for what in ("worker", "dispatcher", "webhooks"):
        assert typed("health", what).exit_code == 1


def test_without_postgres_nobody_can_tell_and_nothing_is_restarted(monkeypatch):
    monkeypatch.setenv("TOKENYARD_DATABASE_URL", "postgresql://127.0.0.1:1/none")
    answer = typed("health", "worker")
    assert answer.exit_code == 0
    assert "unknown" in answer.output


def test_a_frozen_dispatcher_is_neither_healthy_nor_passed_over(whole: Whole, monkeypatch):
    monkeypatch.setattr(record, "SILENT_S", 2.0)
    running = whole.state.processes["dispatcher"]
    assert running is not None
    os.kill(running.pid, signal.SIGSTOP)
    try:
        until(lambda: typed("health", "dispatcher", "--var", str(whole.yard.var)).exit_code == 1)
        assert examined("--var", str(whole.yard.var))[1]["dispatchers"] == "fail"
    finally:
        os.kill(running.pid, signal.SIGCONT)
    until(lambda: typed("health", "dispatcher", "--var", str(whole.yard.var)).exit_code == 0)
