"""What one round of `make fuzz` is for pytest: property tests alone, in another order, until the time is up."""

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.properties import is_property_test

MOST_SAID = 4_000
"""Characters of a failure that are shown: its end has the failing case."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Tell a round when it ends and where it reports."""
    parser.addoption("--fuzz-until", type=float, help="Seconds since the epoch.")
    parser.addoption("--fuzz-report", type=Path, help="A file: a line of JSON for each test that ran.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Pick the property tests; whole modules change places, for they share servers."""
    chance = random.Random(config.getoption("--seed"))
    places: dict[str, float] = {}
    picked = [item for item in items if is_property_test(item)]
    for item in picked:
        places.setdefault(item.nodeid.partition("::")[0], chance.random())
    items[:] = sorted(picked, key=lambda item: places[item.nodeid.partition("::")[0]])


class Reporter:
    """Writes what became of each test, and stops the round in time."""

    def __init__(self, session: pytest.Session) -> None:
        self._session = session
        self._until_s: float = session.config.getoption("--fuzz-until")
        self._path: Path = session.config.getoption("--fuzz-report")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test ran, or a part of one failed."""
        if report.when == "call" or report.failed:
            said = report.longreprtext[-MOST_SAID:] if report.failed else ""
            line: dict[str, Any] = {"test": report.nodeid, "said": said}
            with self._path.open("a") as file:
                file.write(json.dumps(line) + "\n")

    def pytest_runtest_logfinish(self) -> None:
        """Stop when the time is up."""
        if time.time() > self._until_s:
            self._session.shouldstop = "the time is up"


def pytest_sessionstart(session: pytest.Session) -> None:
    """Listen, if this is a round."""
    if session.config.getoption("--fuzz-report"):
        session.config.pluginmanager.register(Reporter(session))
