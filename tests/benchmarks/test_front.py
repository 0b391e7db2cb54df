"""The front door's figures: over direct calls, against peers that were there, and bars that can be missed."""

import msgspec
import pytest

from benchmarks.front import DIRECT, YARD, Cell, Door, lines, percentiles


def cell(side: str, concurrency: int, p50_ms: float, requests_per_s: float = 100.0, **changes: float) -> Cell:
    plain = Cell(
        side=side,
        concurrency=concurrency,
        calls=500,
        requests_per_s=requests_per_s,
        p50_ms=p50_ms,
        p95_ms=p50_ms + 10,
        p99_ms=p50_ms + 20,
        cpu_ms=2.0,
    )
    return msgspec.structs.replace(plain, **changes)


DOOR = Door(
    cells=[
        cell(DIRECT, 1, 51.0),
        cell(YARD, 1, 61.0),
        cell("LiteLLM", 1, 80.0),
        cell(DIRECT, 100, 55.0),
        cell(YARD, 100, 150.0, 600.0),
        cell("LiteLLM", 100, 1800.0, 50.0),
        cell("Portkey", 100, 200.0, 550.0),
    ],
    streams=[cell(YARD, 10, 900.0, token_p50_ms=4.0, token_p99_ms=12.0)],
    missing=["npm install: no"],
)


def replaced(side: str, concurrency: int, **changes: float) -> Door:
    cells = [
        msgspec.structs.replace(one, **changes) if (one.side, one.concurrency) == (side, concurrency) else one
        for one in DOOR.cells
    ]
    return msgspec.structs.replace(DOOR, cells=cells)


def test_all_its_bars_can_be_met():
    bars = DOOR.bars()
    assert len(bars) == 7
    assert all(bar.is_met for bar in bars)


@pytest.mark.parametrize(
    ("door", "missed"),
    [
        (replaced(YARD, 1, p50_ms=65.1), 1),
        (replaced("LiteLLM", 1, p50_ms=70.0), 1),
        (replaced(YARD, 100, cpu_ms=3.1), 1),
        (replaced(YARD, 100, requests_per_s=449.0), 1),
        (replaced(YARD, 100, p99_ms=1830.0), 2),
        (replaced(YARD, 100, p99_ms=350.0), 1),
        (msgspec.structs.replace(DOOR, streams=[cell(YARD, 10, 9.0, token_p99_ms=25.1)]), 1),
    ],
)
def test_each_of_its_bars_can_be_missed(door, missed):
    assert [bar.is_met for bar in door.bars()].count(False) == missed


def test_a_peer_that_was_not_there_is_no_bar_and_is_named():
    alone = msgspec.structs.replace(DOOR, cells=[one for one in DOOR.cells if one.side in (DIRECT, YARD)])
    assert len(alone.bars()) == 3
    assert "npm install: no" in lines(alone)


def test_the_table_shows_what_is_added():
    (row,) = [line for line in lines(DOOR) if line.split()[:2] == ["LiteLLM", "100"]]
    assert "1745.0" in row


def test_percentiles_of_few():
    assert percentiles([3.0]) == (3.0, 3.0, 3.0)
    assert percentiles([1.0, 2.0, 3.0])[0] == 2.0
