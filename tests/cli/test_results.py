"""Results: whole, in input order, fit for a pipe."""

import json
import os
import subprocess
import sys

import pytest

from cli.results import as_text, escaped
from cli.yard import CHECKOUT
from tests.cli.lab import Lab


@pytest.fixture
def batch(lab: Lab) -> str:
    """Four jobs: answered, failed, answered, waiting."""
    name, jobs = lab.submitted(4)
    lab.succeed(jobs[2])
    lab.fail(jobs[1])
    lab.succeed(jobs[0])
    return name


def test_lines_come_in_input_order_and_untouched(lab, batch):
    done = lab.run("results", batch)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["custom_id"] for line in lines] == ["line-1", "line-2", "line-3", "line-4"]
    assert [line["state"] for line in lines] == ["succeeded", "failed", "succeeded", "queued"]
    assert "1 job has not ended yet; its line says so" in done.stderr


def test_text_is_two_columns(lab, batch):
    done = lab.run("results", batch, "--text")
    assert done.stdout == "line-1\thello\nline-2\t\nline-3\thello\nline-4\t\n"
    assert "2 lines without an answer" in done.stderr


def test_failed_are_those_that_ended_without_an_answer(lab, batch):
    (line,) = lab.run("results", batch, "--failed").stdout.splitlines()
    assert json.loads(line)["error"]["code"] == "bad_request"


def test_no_failed_ones_is_said(lab):
    batch, _ = lab.submitted(1)
    done = lab.run("results", batch, "--failed")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "No job" in done.stderr


def test_a_file_appears_when_it_is_whole(lab, batch, tmp_path):
    path = tmp_path / "r.jsonl"
    assert "4 lines" in lab.run("results", batch, "--out", str(path)).stderr
    assert len(path.read_text().splitlines()) == 4
    path.write_text("old")
    assert lab.run("results", "batch_00000000000000000000000000", "--out", str(path)).exit_code == 1
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_that_has_had_enough_is_no_error(lab):
    batch, _ = lab.submitted(3000)  # more than a pipe holds
    command = f"set -o pipefail; {sys.executable} -m cli.main results {batch} | head -1"
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env=os.environ | lab.environment,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["custom_id"] == "line-1"
    assert done.stderr == ""


def test_an_unknown_batch_is_a_sentence_and_nothing_on_stdout(lab):
    done = lab.run("results", "batch_nix")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("tokenyard: ")


def test_an_answer_stays_on_its_line():
    assert escaped("a\tb\r\nc\\d") == "a\\tb\\r\\nc\\\\d"
    line = {"custom_id": None, "id": "job_x", "result": {"choices": [{"message": {"content": None}}]}}
    assert as_text(line) == b"job_x\t"
