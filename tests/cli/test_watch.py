"""The bar: it ends with the batch, outlives a restart of the API, and never shows an unknown cost as 0."""

from typing import Any

import pytest
from rich.console import Console

from cli.client import Client, NoAnswer
from cli.watch import _so_far, done_in, watch

ENDED: dict[str, Any] = {
    "counts": {"queued": 0, "running": 0, "succeeded": 2, "failed": 1},
    "total": 3,
    "cost_usd": "0.5",
}


class Script(Client):
    """Answers each question with the next entry of a script; errors are raised."""

    def __init__(self, *entries: Any) -> None:
        self.entries = list(entries)

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        entry = self.entries.pop(0)
        if isinstance(entry, BaseException):
            raise entry
        found: dict[str, Any] = entry
        return found


def test_it_looks_until_every_job_has_ended():
    running = ENDED | {"counts": {"running": 2, "succeeded": 1}}
    seen: list[tuple[int, int]] = []
    last = watch(Script(running, ENDED), "batch_x", Console(quiet=True), lambda *look: seen.append(look))
    assert last == ENDED
    assert seen == [(1, 3), (3, 3)]


def test_an_api_that_is_away_for_a_moment_is_asked_again():
    script = Script(NoAnswer("away"), ENDED)
    assert watch(script, "batch_x", Console(quiet=True)) == ENDED
    assert script.entries == []


def test_an_interrupt_is_the_callers():
    with pytest.raises(KeyboardInterrupt):
        watch(Script(KeyboardInterrupt()), "batch_x", Console(quiet=True))


def test_an_unknown_cost_is_no_nought():
    assert _so_far({"cost_usd": None}) == "cost unknown"
    assert _so_far({"cost_usd": "0.000000000000"}) == "$0.0000"
    assert _so_far(ENDED) == "$0.5000"


def test_all_four_endings_count():
    assert done_in({"counts": {"queued": 9, "succeeded": 1, "failed": 2, "cancelled": 3, "expired": 4}}) == 10
