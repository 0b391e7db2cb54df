"""The runbook has a chapter for every check of the doctor and for every alert, and alerts ask for figures there are."""

import re
from pathlib import Path
from typing import Any

import yaml

from cli.checkup import bells, gates, machine, record, server, settings
from cli.checkup.finding import CHECKS
from cli.checkup.record import PATIENCE
from jobs.lanes import SUBMITTABLE, TERMS, Lane
from jobs.meters import FACTS

DOCS = Path(__file__).parents[2] / "docs"
RUNBOOK = (DOCS / "runbook.md").read_text(encoding="utf-8")
HEADINGS = re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE)

ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((DOCS / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
OF_PROMETHEUS = {"up": {"job"}}
"""What it says of every target by itself."""


def test_each_check_has_its_chapter_in_the_doctors_order():
    assert tuple(HEADINGS) == CHECKS


def test_each_chapter_says_what_it_means_and_what_to_do():
    for chapter in re.split(r"^## ", RUNBOOK, flags=re.MULTILINE)[1:]:
        assert "**Means**" in chapter, chapter
        assert "**Do**" in chapter, chapter


def test_references_between_chapters_lead_somewhere():
    assert set(re.findall(r"\(#([a-z-]+)\)", RUNBOOK)) <= set(HEADINGS)


def test_every_check_belongs_to_a_module():
    modules = (settings, server, record, bells, machine, gates)
    assert sorted(name for module in modules for name in module.CHECKS) == sorted(CHECKS)


def test_each_alert_leads_to_a_chapter():
    assert [rule["alert"] for rule in ALERTS if rule["annotations"]["runbook"] not in HEADINGS] == []
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS)


def test_each_alert_asks_for_figures_and_labels_that_are_told():
    for rule in ALERTS:
        asked = re.findall(r"\b(up|tokenyard_\w+)(?:\{([^}]*)\})?", re.sub(r'"[^"]*"', '""', rule["expr"]))
        assert asked, rule
        for name, labels in asked:
            told = OF_PROMETHEUS.get(name) or set(FACTS[name].labels)
            assert set(re.findall(r"(\w+)=", labels)) <= told, rule


def test_alerts_and_doctor_lose_patience_at_the_same_moment():
    (rule,) = [rule for rule in ALERTS if rule["alert"] == "TokenyardJobsWaitLong"]
    found = re.findall(r'lane="(\w+)"\}\) > (\d+)', rule["expr"])
    assert {Lane(lane): float(limit) for lane, limit in found} == {
        lane: TERMS[lane].deadline_s / PATIENCE for lane in SUBMITTABLE
    }


def test_every_lane_must_have_a_worker():
    (rule,) = [rule for rule in ALERTS if rule["alert"] == "TokenyardLaneWithoutWorker"]
    assert set(re.findall(r'lane="(\w+)"', rule["expr"])) == {lane.value for lane in Lane}
