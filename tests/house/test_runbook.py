"""The runbook has a chapter for every check of the doctor, and none of a check that is no more."""

import re
from pathlib import Path

from cli.checkup import bells, gates, machine, record, server, settings
from cli.checkup.finding import CHECKS

RUNBOOK = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
HEADINGS = re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE)


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
