"""Flower as `tokenyard up` starts it: what it shows, whom it lets in, and that it changes nothing."""

import shutil
from pathlib import Path
from typing import Any

import flower.urls
import psutil
import pytest
from typer.testing import CliRunner

from cli.flower import arguments, credentials
from cli.main import app
from cli.processes import FLOWER_PASSWORD_VARIABLE
from tests.cli.waiting import until
from tests.cli.whole import Whole

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next((found for name in BROWSERS if (found := shutil.which(name))), None)
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
WORKERS = {"interactive": {"interactive"}, "bulk": {"standard", "bulk"}, "quarantine": {"quarantine"}}
LANES = {"tokenyard.interactive", "tokenyard.standard", "tokenyard.bulk", "tokenyard.quarantine"}
CHANGING = [
    pattern.replace("(.+)", "bulk@here")
    for pattern, handler, *_ in (rule for rule in flower.urls.handlers if isinstance(rule, tuple))
    if pattern.startswith("/api") and handler.post.__qualname__ != "RequestHandler._unimplemented_method"
]


@pytest.fixture(scope="module")
def ended(whole: Whole) -> tuple[str, str]:
    """A job that succeeded and one that failed, both as Flower saw them end."""
    (good,) = whole.submit("good")
    (bad,) = whole.submit("bad", lane="interactive")
    until(lambda: bool(whole.carrying(good) and whole.carrying(bad)))
    return good, bad


def test_workers_with_their_queues_and_tasks_are_shown(whole: Whole):
    found: dict[str, dict[str, Any]] = {}

    def are_told() -> bool:  # a worker that is busy may answer Flower's question too late, and is asked again
        for name, told in whole.flower.get("/api/workers", params={"refresh": "1"}).json().items():
            found.setdefault(name.partition("@")[0], {}).update(told)
        return all({"active_queues", "registered", "stats", "conf"} <= set(found.get(name, ())) for name in WORKERS)

    until(are_told)
    for name, queues in WORKERS.items():
        assert {queue["name"] for queue in found[name]["active_queues"]} == queues
        assert set(found[name]["registered"]) >= LANES
    until(lambda: set(whole.flower.get("/api/workers", params={"status": "1"}).json().values()) == {True})


def test_every_lane_is_a_queue_with_its_length(whole: Whole):
    queues = whole.flower.get("/api/queues/length").json()["active_queues"]
    assert {"interactive", "standard", "bulk"} <= {queue["name"] for queue in queues}


def test_a_bell_is_a_task_named_by_its_lane_with_its_jobs_ids_and_one_line(whole: Whole, ended):
    (task,) = whole.carrying(ended[0])
    assert (task["name"], task["state"], task["result"]) == ("tokenyard.bulk", "SUCCESS", "'1 succeeded'")
    assert task["kwargs"] == ended[0]


def test_a_bell_whose_jobs_all_failed_is_a_failed_task(whole: Whole, ended):
    (task,) = whole.carrying(ended[1])
    assert (task["name"], task["state"], task["result"]) == ("tokenyard.interactive", "FAILURE", None)
    assert task["exception"] == "BellFailed('1 failed')"
    assert [*whole.flower.get("/api/tasks", params={"state": "FAILURE"}).json()] == [task["uuid"]]


def test_nobody_is_let_in_without_the_password(whole: Whole):
    for path in ("/", "/tasks", "/workers", "/api/workers", "/api/tasks", "/api/task/types", "/api/queues/length"):
        for auth in (None, ("tokenyard", "guess"), ("someone", whole.password)):
            assert whole.flower.get(path, auth=auth).status_code == 401, path


def test_nothing_can_be_changed(whole: Whole):
    assert {"/api/worker/shutdown/bulk@here", "/api/task/revoke/bulk@here", "/api/worker/pool/grow/bulk@here"} <= set(
        CHANGING
    )
    for path in CHANGING:
        refused = whole.flower.post(path)
        assert (refused.status_code, refused.text) == (403, "Read only mode is enabled"), path


def test_the_password_stands_in_no_command_line_and_its_file_is_its_owners(whole: Whole):
    assert whole.yard.flower_password_path.stat().st_mode & 0o777 == 0o600
    running = whole.state.processes["flower"]
    assert running is not None
    assert whole.password not in " ".join(psutil.Process(running.pid).cmdline())
    assert whole.password not in (whole.yard.var / "yard.json").read_text()
    assert whole.password not in (whole.yard.log / "flower.log").read_text()


def test_a_taken_port_is_passed_over_and_said(whole: Whole):
    port = int(whole.state.flower_url.rpartition(":")[2])
    assert port > whole.asked_flower_port
    assert f"Port {whole.asked_flower_port} is taken: Flower serves on {port}." in whole.said
    assert whole.state.flower_url in whole.said
    assert str(whole.yard.flower_password_path) in whole.said


@pytest.mark.skipif(BROWSER is None, reason=f"no browser here: none of {', '.join(BROWSERS)} is on the PATH")
def test_the_page_in_a_browser_shows_both_jobs_and_offers_no_button(whole: Whole, ended, tmp_path: Path):
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where a browser is

    good, bad = ended
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=QUIET)
        page = browser.new_page(
            http_credentials={"username": "tokenyard", "password": whole.password},
            viewport={"width": 1500, "height": 700},
        )
        page.goto(f"{whole.state.flower_url}/tasks")
        rows = page.locator("#tasks-table tbody tr")
        page.wait_for_function("document.querySelectorAll('#tasks-table tbody tr').length >= 2", timeout=30_000)
        texts = rows.all_inner_texts()
        page.screenshot(path=tmp_path / "tasks.png")
        page.get_by_role("searchbox").fill(good)
        page.wait_for_function("document.querySelectorAll('#tasks-table tbody tr').length == 1", timeout=30_000)
        found = rows.all_inner_texts()
        page.goto(f"{whole.state.flower_url}/worker/{worker_named(whole, 'bulk')}")
        page.wait_for_load_state()
        page.screenshot(path=tmp_path / "worker.png")
        changing = page.get_by_role("button", name="Shut Down").count() + page.get_by_text("Pool size control").count()
        browser.close()
    assert any("tokenyard.bulk" in text and good in text and "1 succeeded" in text for text in texts)
    assert any("tokenyard.interactive" in text and bad in text and "FAILURE" in text for text in texts)
    assert len(found) == 1
    assert good in found[0]
    assert changing == 0


def worker_named(whole: Whole, name: str) -> str:
    found: dict[str, object] = whole.flower.get("/api/workers").json()
    return next(full for full in found if full.startswith(f"{name}@"))


def test_the_starter_refuses_to_run_without_a_password(tmp_path, monkeypatch):
    monkeypatch.delenv(FLOWER_PASSWORD_VARIABLE, raising=False)
    answer = CliRunner().invoke(app, ["flower", "--var", str(tmp_path)])
    assert answer.exit_code == 1
    assert FLOWER_PASSWORD_VARIABLE in answer.output


@pytest.mark.parametrize("password", ["a,b", "a\nb", "ä"])
def test_a_password_that_flower_would_misread_is_refused(password):
    with pytest.raises(ValueError, match=FLOWER_PASSWORD_VARIABLE):
        credentials(password)


def test_the_settings_that_guard_it_stand_on_the_command_line():
    assert {"--read-only=true", "--persistent=false", "--enable-events=false"} <= set(arguments("127.0.0.1", 5555))
