"""Command lines and environments of the processes."""

from pathlib import Path

from cli import processes


def test_a_workers_lanes_reach_both_celery_and_the_worker():
    worker = processes.worker("bulk", ["standard", "bulk"], slots=16)
    assert worker.argv[worker.argv.index("-Q") + 1] == "standard,bulk"
    assert worker.environment["TOKENYARD_LANES"] == "standard,bulk"
    assert worker.argv[worker.argv.index("-c") + 1] == "16"
    assert worker.name == "worker-bulk"


def test_a_quarantine_worker_carries_one_message_at_a_time_whatever_is_asked():
    worker = processes.worker("quarantine", ["quarantine"], slots=16)
    assert worker.argv[worker.argv.index("-c") + 1] == "1"


def test_a_process_finds_ours_then_the_yards_then_its_own_environment(monkeypatch):
    monkeypatch.setenv("TOKENYARD_REDIS_URL", "redis://elsewhere/0")
    monkeypatch.setenv("TOKENYARD_LANES", "bulk")
    worker = processes.worker("interactive", ["interactive"], slots=1)
    found = processes.environment(worker, {"TOKENYARD_REDIS_URL": "unix:///here"})
    assert found["TOKENYARD_REDIS_URL"] == "unix:///here"
    assert found["TOKENYARD_LANES"] == "interactive"
    assert "PATH" in found


def test_a_sandbox_says_when_it_serves():
    provider = processes.SandboxProvider("sandbox-east", processes.SMALL, 8411, 150)
    process = processes.sandbox(provider, Path("/yard/sandbox"))
    assert process.ready_file == Path("/yard/sandbox/sandbox-east.ready")
    assert process.argv[process.argv.index("--ready-file") + 1] == str(process.ready_file)
    assert process.argv[process.argv.index("--port") + 1] == "8411"
