"""Submit: a file becomes one batch, its format is said, and watching tells how it ended."""

import datetime as dt
import json
import threading
from typing import Any

import pytest
import typer

from cli.client import Client
from cli.submit import _follow, read_deadline, read_system
from tests.cli.waiting import until

OURS = '{"request": {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}, "custom_id": "a"}\n'
OPENAI = (
    '{"custom_id": "b", "method": "POST", "url": "/v1/chat/completions", '
    '"body": {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}}\n'
)
NOW = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


def batch_in(said: str) -> str:
    (batch,) = {word for word in said.split() if word.startswith("batch_")}
    return batch


@pytest.mark.parametrize(
    ("content", "format_"), [(OURS, 'one {"request"'), (OPENAI, "an OpenAI batch file"), ("hi\n", "plain text")]
)
def test_the_format_is_recognised_and_said(lab, tmp_path, content, format_):
    path = tmp_path / "jobs"
    path.write_text(content * 2)
    said = lab.said("submit", str(path))
    assert format_ in said
    assert "2 lines read, 2 jobs accepted" in said
    assert f"tokenyard watch {batch_in(said)}" in said


def test_options_reach_the_jobs(lab):
    words = ["--task", "t", "--lane", "standard", "--model", "maker/small", "--deadline", "2h"]
    batch = batch_in(lab.said("submit", "-", *words, stdin="hi"))
    job = json.loads(lab.said("jobs", "show", lab.jobs(batch)[0], "--json"))
    assert (job["task"], job["lane"], job["model"], job["policy"]) == ("t", "standard", "maker/small", "maker/small")
    left = dt.datetime.fromisoformat(job["deadline_at"]) - dt.datetime.fromisoformat(job["created_at"])
    assert dt.timedelta(hours=1.9) < left <= dt.timedelta(hours=2)


def test_a_wrong_line_refuses_all_and_is_named(lab):
    done = lab.run("submit", "-", stdin=OURS + '{"request": 1}\n')
    assert done.exit_code == 1
    assert "line 2:" in done.stderr
    assert lab.said("jobs", "list") == "No jobs.\n"


def test_a_wrong_line_can_be_left_out(lab):
    done = lab.run("submit", "-", "--on-error", "skip", stdin=OURS + '{"request": 1}\n')
    assert done.exit_code == 0
    assert "2 lines read, 1 job accepted" in done.stdout
    assert "left out, line 2:" in done.stderr


def test_one_key_submits_once(lab):
    first, second = (batch_in(lab.said("submit", "-", "--idempotency-key", "k", stdin="hi\n")) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--lane", "quarantine"], "none of"),
        (["--on-error", "ignore"], "refuse"),
        (["--deadline", "soon"], "neither a span"),
        (["--deadline", "2030-01-01T00:00:00"], "time zone"),
        (["--system", "@/nowhere/x"], "No such file"),
        (["--model", "m"], "leave --model"),
    ],
)
def test_a_mistake_is_exit_2_and_submits_nothing(nobody, words, sentence):
    done = nobody.run("submit", "-", *words, stdin=OURS)
    assert done.exit_code == 2
    assert sentence in " ".join(done.output.replace("│", " ").split())


def test_a_table_is_not_taken_for_prompts(lab, tmp_path):
    path = tmp_path / "questions.csv"
    path.write_text("text,category\nhi,greeting\n")
    assert lab.run("submit", str(path)).exit_code == 2
    assert "2 jobs accepted" in lab.said("submit", str(path), "--text")


def test_a_file_that_is_not_there_and_a_folder_are_usage_errors(nobody, tmp_path):
    assert nobody.run("submit", str(tmp_path / "absent")).exit_code == 2
    assert nobody.run("submit", str(tmp_path)).exit_code == 2


def test_an_empty_file_is_a_sentence(nobody):
    done = nobody.run("submit", "-", stdin="\n")
    assert done.exit_code == 1
    assert "standard input: there is nothing in it" in done.stderr


def test_watching_a_batch_that_went_well_ends_0(lab):
    batch, jobs = lab.submitted(2)
    lab.succeed(jobs[0])
    lab.escalate(jobs[1])
    said = lab.said("watch", batch)
    assert "2 succeeded" in said
    assert "Cost: $0.0102" in said
    assert "maker/small" in said
    assert f"results {batch}" in said


def test_watching_a_batch_with_a_failure_ends_1_and_says_why(lab):
    batch, jobs = lab.submitted(3)
    lab.succeed(jobs[0])
    lab.fail(jobs[1])
    lab.lose(jobs[2])
    done = lab.run("watch", batch)
    assert done.exit_code == 1
    assert "1 succeeded, 1 failed, 1 expired" in done.stdout
    assert "for some calls it is unknown, at most $0.00512 in all" in done.stdout
    assert f"tokenyard why {jobs[1]}" in done.stdout


def test_submit_and_watch_stays_to_the_end(lab):
    def cancel_it() -> None:
        with Client(lab.url, lab.key) as client:
            until(lambda: bool(client.get("/v1/jobs")["data"]))
            client.post(f"/v1/batches/{client.get('/v1/jobs')['data'][0]['batch_id']}/cancel")

    canceller = threading.Thread(target=cancel_it)
    canceller.start()
    done = lab.run("submit", "-", "--watch", stdin="one\ntwo\n")
    canceller.join()
    assert done.exit_code == 1
    assert "2 jobs" in done.stdout
    assert "2 cancelled" in done.stdout


def test_a_ctrl_c_leaves_the_batch_and_says_how_to_come_back(capsys):
    class Interrupted(Client):
        def __init__(self) -> None:
            pass

        def get(self, path: str, **params: Any) -> dict[str, Any]:
            raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as ended:
        _follow(Interrupted(), "batch_x", None)
    assert ended.value.exit_code == 130
    said = capsys.readouterr().out
    assert "runs on" in said
    assert "tokenyard watch batch_x" in said


def test_a_deadline_is_a_span_or_a_time():
    assert read_deadline(None, NOW) is None
    assert read_deadline("90m", NOW) == "2026-11-01T01:30:00+00:00"
    assert read_deadline("2026-12-01T00:00:00Z", NOW) == "2026-12-01T00:00:00+00:00"


def test_a_system_message_may_stand_in_a_file(tmp_path):
    (tmp_path / "s").write_text("Be brief.\n")
    assert read_system(f"@{tmp_path / 's'}") == "Be brief."
    assert read_system("Be brief.") == "Be brief."
    assert read_system(None) is None
