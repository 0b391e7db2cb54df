"""How property tests draw: the same each time in `make test`, with new seeds in `make fuzz`, kept examples first.

Hypothesis has two ways to fix the draw, `derandomize` and `--hypothesis-seed`, and with either it leaves its database
of examples alone (hypothesis 6.170: `settings` refuses a database beside `derandomize`, and `run_engine` takes no key
for it under a forced seed). So each test is given a seed of its own by the attribute that `@hypothesis.seed` sets. The
examples that `make fuzz` found lie in tests/examples; every run tries them first and fails until they are mended.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase, ReadOnlyDatabase

FOLDER_VARIABLE = "TOKENYARD_TEST_EXAMPLES"
EXAMPLES = Path(os.environ.get(FOLDER_VARIABLE) or Path(__file__).parent / "examples")
BESIDE = (b".secondary", b".pareto")
"""Of the keys under which hypothesis keeps what it met on its way to an example: of no use to others."""
ATTRIBUTE = "_hypothesis_internal_use_seed"


class Kept(ExampleDatabase):
    """A folder of failing examples, and nothing beside them."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder
        self._folder = DirectoryBasedExampleDatabase(folder)

    def __repr__(self) -> str:
        return f"Kept({self.path})"

    def fetch(self, key: bytes) -> Iterable[bytes]:
        """Each example of a test."""
        return self._folder.fetch(key)

    def save(self, key: bytes, value: bytes) -> None:
        """Keep an example."""
        if not key.endswith(BESIDE):
            self._folder.save(key, value)

    def delete(self, key: bytes, value: bytes) -> None:
        """Drop one that fails no more, or for which a simpler one was found."""
        self._folder.delete(key, value)


def load_profiles() -> None:
    """`same` is what every run uses; `fuzz` keeps what it finds.

    No example has a time limit and none is too slow: on a busy machine that would be a failure by chance.
    """
    unhurried = hypothesis.settings(
        deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], derandomize=False, print_blob=True
    )
    kept = Kept(EXAMPLES)
    hypothesis.settings.register_profile("same", unhurried, database=ReadOnlyDatabase(kept))
    hypothesis.settings.register_profile("fuzz", unhurried, database=kept)
    hypothesis.settings.load_profile("same")


def is_property_test(item: pytest.Item) -> bool:
    """Whether a test draws its cases: by `@given`, as a state machine's own, or by running a machine itself."""
    function: Any = getattr(item, "obj", None)
    code = getattr(function, "__code__", None)
    return hypothesis.is_hypothesis_test(function) or "run_state_machine_as_test" in getattr(code, "co_names", ())


def give_seed(item: pytest.Item, base: str) -> None:
    """Fix what a test draws, by the base of the run and its own name. For a moment before it runs: cases share it."""
    function: Any = getattr(item, "obj", None)
    if hypothesis.is_hypothesis_test(function):
        owner = getattr(function, "_hypothesis_state_machine_class", None) or getattr(function, "__func__", function)
        seed = int.from_bytes(hashlib.blake2b(f"{base} {item.nodeid}".encode(), digest_size=8).digest())
        setattr(owner, ATTRIBUTE, seed)
