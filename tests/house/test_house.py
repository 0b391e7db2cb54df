"""The house's ceilings and habits, measured over every file."""

import ast
import re
from pathlib import Path

import pytest

from tests.house import source

ALL = source.modules(*source.PACKAGES)
PRODUCT = source.modules(*(package for package in source.PACKAGES if package != "tests"))
CLOCK_OR_CHANCE = re.compile(r"(^|\.)(now|today|utcnow|time_ns|monotonic|perf_counter|random|urandom|uuid[147])$")


def named(path: Path) -> str:
    return str(path)


def test_there_is_a_house_to_look_at():
    assert len(PRODUCT) > 40


@pytest.mark.parametrize("module", ALL, ids=named)
def test_no_module_is_longer_than_400_lines(module: Path):
    assert len((source.ROOT / module).read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("module", ALL, ids=named)
def test_no_function_is_longer_than_50_lines_or_takes_more_than_6_parameters(module: Path):
    for function in source.functions(module):
        assert function.end_lineno is not None
        where = f"{module}:{function.lineno} {function.name}"
        assert function.end_lineno - function.lineno < 50, f"{where} is too long"
        if module.parts[0] != "tests":  # a test's parameters are its fixtures
            assert source.parameters(function) <= 6, f"{where} takes too many"


@pytest.mark.parametrize("module", PRODUCT, ids=named)
def test_each_module_begins_with_a_sentence_that_says_what_it_is_for(module: Path):
    docstring = ast.get_docstring(source.tree(module))
    assert docstring
    assert re.search(r"\w\W*[.:;?!]($|\s)", docstring), f"{module}: not a sentence"


@pytest.mark.parametrize("module", source.modules("routing"), ids=named)
def test_no_decision_asks_a_clock_or_a_die(module: Path):
    called = [ast.unparse(node.func) for node in ast.walk(source.tree(module)) if isinstance(node, ast.Call)]
    assert [name for name in called if CLOCK_OR_CHANCE.search(name)] == []


@pytest.mark.parametrize("module", PRODUCT, ids=named)
def test_nothing_is_left_to_do(module: Path):
    text = (source.ROOT / module).read_text(encoding="utf-8")
    assert not re.search(r"\b(TODO|FIXME|XXX|NotImplementedError)\b", text)


@pytest.mark.parametrize("name", ["utils", "helpers", "common", "manager", "misc"])
def test_no_module_has_a_name_that_says_nothing(name: str):
    assert [module for module in ALL if name in {module.stem, *module.parts[:-1]}] == []


def test_blanket_catches_are_few_and_stand_at_a_border():
    catches = [
        module
        for module in PRODUCT
        for node in ast.walk(source.tree(module))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"})
        and module.parts[0] in {"jobs", "routing"}
    ]
    assert catches == []
