"""Our own source as the house tests read it: every module but the migrations' versions, which are never edited."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("api", "benchmarks", "cli", "jobs", "migrations", "routing", "sandbox", "tests", "workers")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules(*packages: str) -> list[Path]:
    """Their files, from the root of the checkout."""
    files = (file for package in packages for file in (ROOT / package).rglob("*.py"))
    return sorted(file.relative_to(ROOT) for file in files if "versions" not in file.parts)


def tree(module: Path) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


def functions(module: Path) -> Iterator[Function]:
    for node in ast.walk(tree(module)):
        if isinstance(node, Function):
            yield node


def parameters(function: Function) -> int:
    """As a caller counts them: without self or cls."""
    said = function.args
    names = [arg.arg for arg in (*said.posonlyargs, *said.args, *said.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"])) + (said.vararg is not None) + (said.kwarg is not None)
