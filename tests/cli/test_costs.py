"""Costs: sums by group, an unknown cost apart, and spans of time."""

import datetime as dt
import json

import pytest
import typer

from cli.costs import read_moment
from tests.cli.lab import Lab

NOW = dt.datetime(2026, 11, 8, 12, tzinfo=dt.UTC)


@pytest.fixture
def batch(lab: Lab) -> str:
    name, jobs = lab.submitted(3)
    lab.succeed(jobs[0])
    lab.escalate(jobs[1])
    lab.lose(jobs[2])
    return name


def test_costs_are_summed_by_group_and_in_all(lab, batch):
    said = lab.said("costs", "--by", "provider", "--by", "day", "--batch", batch)
    lines = {line.split()[0]: line.split() for line in said.splitlines() if line}
    assert lines["provider"][:5] == ["provider", "day", "calls", "jobs", "accepted"]
    assert lines["far"][2:8] == ["1", "1", "1", "41", "9", "$0.0100"]
    assert lines["lab"][2:6] == ["3", "3", "1", "123"]
    assert lines["all"][1:4] == ["4", "3", "2"], "a job that called two providers counts once"


def test_an_unknown_cost_stands_apart(lab, batch):
    said = lab.said("costs", "--by", "model")
    assert "The cost of 1 call is unknown" in said
    assert "$0.0152 in all" in said
    only = lab.submitted(1)
    lab.lose(only[1][0])
    (line,) = [line for line in lab.said("costs", "--batch", only[0]).splitlines() if line.startswith("all")]
    assert "unknown" in line
    assert "$0 " not in line


def test_a_time_narrows(lab, batch):
    assert "far" in lab.said("costs", "--by", "provider", "--since", "1h")
    assert lab.said("costs", "--until", "2020-01-01") == "No calls in this time.\n"
    assert lab.run("costs", "--since", "yesterday").exit_code == 2
    assert lab.run("costs", "--by", "colour").exit_code == 2


def test_nothing_yet_is_said(lab):
    assert lab.said("costs") == "No calls yet.\n"


def test_json_is_the_apis(lab, batch):
    assert json.loads(lab.said("costs", "--by", "task", "--json"))["group_by"] == ["task"]


def test_moments():
    assert read_moment("7d", NOW, "--since") == "2026-11-01T12:00:00+00:00"
    assert read_moment("2026-11-01", NOW, "--since") == "2026-11-01T00:00:00+00:00"
    assert read_moment("2026-11-01T10:00:00Z", NOW, "--since") == "2026-11-01T10:00:00+00:00"
    assert read_moment(None, NOW, "--since") is None
    with pytest.raises(typer.BadParameter):
        read_moment("7 days", NOW, "--since")
