"""The Grafana board is what docs/board.py builds, fits Grafana's grid, and asks for metrics that exist."""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from jobs.meters import FACTS

DOCS = Path(__file__).parents[2] / "docs"
WRITTEN = (DOCS / "grafana" / "tokenyard.json").read_text(encoding="utf-8")
BOARD: dict[str, Any] = json.loads(WRITTEN)
PANELS: list[dict[str, Any]] = BOARD["panels"]
GRAPHS = [panel for panel in PANELS if panel["type"] != "row"]
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
SERIES = {name + suffix: fact for name, fact in FACTS.items() for suffix in SUFFIXES[fact.kind]}
OF_PROMETHEUS = {"instance", "job", "le"}


def test_it_is_what_its_source_builds():
    assert runpy.run_path(str(DOCS / "board.py"))["board"]() == WRITTEN, "run: python docs/board.py"


def test_it_has_what_grafana_asks_of_a_board():
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= BOARD.keys()
    ids = [panel["id"] for panel in PANELS]
    assert len(set(ids)) == len(ids)
    kinds = {variable["name"]: variable["type"] for variable in BOARD["templating"]["list"]}
    assert kinds["source"] == "datasource"
    for panel in GRAPHS:
        assert panel["datasource"]["uid"] == "${source}"
        assert panel["targets"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${source}"}


def test_no_panel_lies_on_another_or_over_the_edge():
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        at = panel["gridPos"]
        assert 0 <= at["x"] <= 24 - at["w"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("panel", GRAPHS, ids=lambda panel: str(panel["title"]))
def test_every_query_asks_for_series_and_labels_that_exist(panel: dict[str, Any]):
    for target in panel["targets"]:
        expr = target["expr"]
        names = re.findall(r"tokenyard_\w+", expr)
        assert names
        assert set(names) <= SERIES.keys()
        labels = {label for name in names for label in SERIES[name].labels} | OF_PROMETHEUS
        asked = set(re.findall(r"(\w+)\s*(?:=~|!=|=)\s*\"", expr)) | set(
            re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
        )
        asked |= {label.strip() for some in re.findall(r"by \(([^)]*)\)", expr) for label in some.split(",")}
        assert asked <= labels
        assert expr.count("(") == expr.count(")")
        for name in names:
            if "fleet" in SERIES[name].told_by:  # every API tells them: their sum is too much
                assert re.search(
                    rf"max (by|without) \([^)]*\) \(((rate|increase)\()?{name}|max\({name}|^{name}", expr
                ), name
        for name in names:  # a counter's value says nothing, its rise does
            if SERIES[name].kind != "gauge":
                assert re.search(rf"(rate|increase)\({name}[\[{{]", expr), name


def test_it_shows_what_the_issue_asks_for():
    shown = {
        name for panel in GRAPHS for target in panel["targets"] for name in re.findall(r"tokenyard_\w+", target["expr"])
    }
    wanted = "jobs oldest_job_seconds cost_usd_total attempts_total breaker_state limit_used_ratio loop_lag_seconds"
    wanted += " flush_rows_sum http_requests_total call_duration_seconds_bucket"
    assert {f"tokenyard_{name}" for name in wanted.split()} <= shown
