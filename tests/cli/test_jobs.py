"""Jobs: listed newest first, shown, cancelled and retried."""

import json

import pytest


def rows(lab, *words: str) -> list[list[str]]:
    return [line.split() for line in lab.run("jobs", "list", *words).stdout.splitlines()[1:]]


@pytest.fixture
def batch(lab) -> tuple[str, list[str]]:
    """Answered, failed, of unknown cost (expired), waiting."""
    name, jobs = lab.submitted(4)
    lab.escalate(jobs[0])
    lab.fail(jobs[1])
    lab.lose(jobs[2])
    return name, jobs


def test_the_list_is_newest_first_with_cost_and_who_answered(lab, batch):
    _, jobs = batch
    found = rows(lab)
    assert [row[0] for row in found] == jobs[::-1]
    assert [row[1] for row in found] == ["queued", "expired", "failed", "succeeded"]
    assert found[3][-2:] == ["$0.0101", "maker/small@far"]
    assert found[2][-2:] == ["$0", "bad_request"]
    assert "unknown" in found[1]


def test_the_list_is_narrowed(lab, batch):
    name, jobs = batch
    lab.submitted(1)
    assert [row[0] for row in rows(lab, "--state", "failed", "--state", "expired")] == [jobs[2], jobs[1]]
    assert len(rows(lab, "--batch", name)) == 4
    assert lab.said("jobs", "list", "--lane", "interactive") == "No jobs.\n"
    limited = lab.run("jobs", "list", "--limit", "2")
    assert len(limited.stdout.splitlines()) == 3
    assert "--limit shows more" in limited.stderr
    assert lab.run("jobs", "list", "--state", "asleep").exit_code == 2


def test_a_job_is_shown_whole(lab, batch):
    _, jobs = batch
    said = lab.said("jobs", "show", jobs[0])
    for part in ("succeeded", "line-1", "$0.0101", "maker/small@lab", "rejected", "0.41", "hello", f"why {jobs[0]}"):
        assert part in said
    assert "bad_request: it was refused" in lab.said("jobs", "show", jobs[1])
    lost = lab.said("jobs", "show", jobs[2])
    assert "unknown, at most $0.00500" in lost
    assert json.loads(lab.said("jobs", "show", jobs[3], "--json"))["id"] == jobs[3]


def test_an_unknown_job_is_a_sentence(lab):
    done = lab.run("jobs", "show", "job_00000000000000000000000000")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "there is no job" in done.stderr


def test_a_waiting_job_is_cancelled_and_an_ended_one_is_not(lab, batch):
    _, jobs = batch
    assert "cancelled." in lab.said("jobs", "cancel", jobs[3])
    assert "had ended already: succeeded" in lab.said("jobs", "cancel", jobs[0])


def test_a_batch_is_cancelled_whole_or_by_state(lab):
    name, _ = lab.submitted(3)
    assert "Nothing to cancel: no job of this batch is running" in lab.said(
        "jobs", "cancel", "--batch", name, "--state", "running"
    )
    assert "3 jobs cancelled" in lab.said("jobs", "cancel", "--batch", name, "--state", "queued")
    other, _ = lab.submitted(2)
    assert "2 jobs cancelled" in lab.said("jobs", "cancel", "--batch", other)
    unknown = lab.run("jobs", "cancel", "--batch", "batch_00000000000000000000000000", "--state", "queued")
    assert unknown.exit_code == 1


def test_a_job_is_submitted_again(lab, batch):
    _, jobs = batch
    said = lab.said("jobs", "retry", jobs[1])
    (new,) = {word for word in said.split() if word.startswith("job_")} - {jobs[1]}
    assert json.loads(lab.said("jobs", "show", new, "--json"))["retry_of"] == jobs[1]
    done = lab.run("jobs", "retry", jobs[3])
    assert done.exit_code == 1
    assert "the job is queued" in done.stderr


def test_a_batch_is_submitted_again_by_state(lab, batch):
    name, _ = batch
    assert "1 job submitted again as batch_" in lab.said("jobs", "retry", "--batch", name)
    both = lab.said("jobs", "retry", "--batch", name, "--state", "failed", "--state", "expired")
    assert "2 jobs submitted again" in both
    done = lab.run("jobs", "retry", "--batch", name, "--state", "cancelled")
    assert done.exit_code == 1
    assert "cancelled" in done.stderr


@pytest.mark.parametrize("command", ["cancel", "retry"])
@pytest.mark.parametrize("words", [[], ["job_x", "--batch", "batch_x"], ["job_x", "--state", "queued"]])
def test_one_job_or_one_batch_is_meant(nobody, command, words):
    assert nobody.run("jobs", command, *words).exit_code == 2
