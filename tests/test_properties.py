"""Property tests draw the same each time, and what was found is tried first."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.database import ExampleDatabase, ReadOnlyDatabase
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from cli.yard import CHECKOUT
from tests.properties import EXAMPLES, FOLDER_VARIABLE, Kept, give_seed, is_property_test


def item(function: Callable[..., Any], name: str = "a test") -> Any:
    return SimpleNamespace(obj=function, nodeid=name)


def drawn(base: str, name: str = "a test") -> list[int]:
    found: list[int] = []

    @given(st.integers())
    def draws(number: int) -> None:
        found.append(number)

    give_seed(item(draws, name), base)
    draws()
    return found


def test_a_test_draws_the_same_by_the_same_seed_and_by_its_name():
    assert drawn("0") == drawn("0")
    assert len({tuple(drawn("0")), tuple(drawn("1")), tuple(drawn("0", "another test"))}) == 3


class Counting(RuleBasedStateMachine):
    TestCase: Any
    seen: list[int] = []  # noqa: RUF012 -- shared by all histories, to be looked at

    @rule(number=st.integers())
    def count(self, number: int) -> None:
        self.seen.append(number)


def test_a_state_machine_draws_the_same_too():
    histories = []
    for _ in range(2):
        Counting.seen.clear()
        case = Counting.TestCase("runTest")
        give_seed(item(case.runTest), "0")
        case.runTest()
        histories.append(list(Counting.seen))
    assert histories[0] == histories[1] != []


def runs_a_machine_itself() -> None:
    run_state_machine_as_test(Counting)


@pytest.mark.parametrize(
    ("function", "is_one"),
    [(Counting.TestCase("runTest").runTest, True), (runs_a_machine_itself, True), (item, False), (None, False)],
)
def test_what_draws_is_known_for_it(function: Any, is_one: bool):
    assert is_property_test(item(function)) is is_one


def failing(tried: list[int], database: ExampleDatabase) -> Callable[[], None]:
    phases = [phase for phase in Phase if phase is not Phase.explain]

    @settings(database=database, deadline=None, phases=phases)
    @given(st.integers())
    def fails(number: int) -> None:
        tried.append(number)
        assert number < 123_456

    give_seed(item(fails), "0")
    return fails


def test_a_kept_example_is_tried_first_though_the_seed_is_fixed(tmp_path: Path):
    """Hypothesis leaves its examples alone under `derandomize`, and under `--hypothesis-seed`."""
    with pytest.raises(AssertionError):
        failing([], Kept(tmp_path))()
    files = {path for path in tmp_path.rglob("*") if path.is_file()}
    tried: list[int] = []
    with pytest.raises(AssertionError):
        failing(tried, ReadOnlyDatabase(Kept(tmp_path)))()
    assert tried[0] == 123_456
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == files


def test_every_run_looks_into_the_folder_of_examples():
    assert repr(settings().database) == f"ReadOnlyDatabase(Kept({EXAMPLES}))"


def test_a_fuzz_run_finds_property_tests_by_itself_and_says_how_to_run_what_failed(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "0", "tests/wrong_property.py"],
        cwd=CHECKOUT,
        env={**os.environ, FOLDER_VARIABLE: str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 rounds, 1 runs of property tests, 1 tests failed" in done.stdout
    assert "number=1000" in done.stdout
    assert "pytest 'tests/wrong_property.py::test_that_is_wrong'" in done.stdout
    assert "test_that_draws_nothing" not in done.stdout
    assert any(tmp_path.iterdir())
