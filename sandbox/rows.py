"""The labelled queries on disk: which file trains, which one judges, and how they are read."""

import csv
from pathlib import Path

TRAINING_FILE = "test.csv"
"""3,080 rows, 40 for each of 77 intents: the smaller file, so that models are quick to train and really err."""
EVALUATION_FILE = "train.csv"
"""10,003 rows that no model has seen."""


def read_rows(path: Path) -> tuple[list[str], list[str]]:
    """Texts and labels of a csv with the columns `text,category`. Raises FileNotFoundError, KeyError."""
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    return [row["text"] for row in rows], [row["category"] for row in rows]
