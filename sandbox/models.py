"""A trained classifier: kept as npz and json in the cache folder, loaded without scikit-learn, asked in 0.1 ms."""

import fcntl
import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sandbox.features import Block, Terms
from sandbox.recipes import fingerprint

Floats = NDArray[np.floating[Any]]


class BlockFacts(msgspec.Struct, frozen=True):
    """A fitted vocabulary as stored: `vocabulary[i]` is the i-th term of this block."""

    terms: Terms
    vocabulary: list[str]


class ModelFacts(msgspec.Struct, frozen=True):
    """Everything of a model that is not a number array, and how it came to be."""

    name: str
    labels: list[str]
    blocks: list[BlockFacts]
    strength: float
    """The C that was chosen."""
    held_out_log_loss: float
    """In nats, of that choice."""
    train_s: float
    """Choice and fit together, wall clock."""


class Classifier:
    """`probabilities(text)` gives one probability a label, in the order of `labels`.

    Arrays: `weights` (terms, labels) float32, `intercept` (labels,) float32, `idf` (terms,) float32.
    """

    def __init__(self, facts: ModelFacts, weights: Floats, intercept: Floats, idf: Floats) -> None:
        self.facts = facts
        self.labels: Sequence[str] = facts.labels
        self.weights = weights
        self.intercept = intercept
        self.idf = idf
        self._blocks: list[Block] = []
        start = 0
        for block in facts.blocks:
            places = {term: start + i for i, term in enumerate(block.vocabulary)}
            self._blocks.append(Block(block.terms, places, idf.tolist()))
            start += len(places)

    def probabilities(self, text: str) -> NDArray[np.float64]:
        """Sums to 1. A query without any known term gets the intercepts' distribution, which is nearly flat."""
        indices: list[int] = []
        values: list[float] = []
        for block in self._blocks:
            more_indices, more_values = block.weigh(text)
            indices += more_indices
            values += more_values
        logits = self.intercept
        if indices:
            logits = logits + np.array(values, dtype=np.float32) @ self.weights.take(indices, axis=0)
        powers = np.exp((logits - logits.max()).astype(np.float64))
        shares: NDArray[np.float64] = powers / powers.sum()
        return shares


def obtain(name: str, data: Path, cache: Path) -> Classifier:
    """The model of this name for these rows: from the cache, else trained now and kept there.

    Two processes that ask at once train once: the second waits for the first. Raises FileNotFoundError
    when `data` has no training file, KeyError when there is no such model.
    """
    stem = f"{name.rsplit('/', 1)[-1]}-{fingerprint(name, data)}"
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{stem}.lock"):
        if not (cache / f"{stem}.json").exists():
            # Named at run time: scikit-learn costs a second and 100 MB, and only who trains should pay.
            trained: Classifier = importlib.import_module("sandbox.training").train(name, data)
            save(trained, cache, stem)
    return load(cache, stem)


def save(model: Classifier, cache: Path, stem: str) -> None:
    """Write both files, each in one step; the json last, because its presence means complete."""
    numbers = cache / f"{stem}.part.npz"
    np.savez(numbers, weights=model.weights, intercept=model.intercept, idf=model.idf)
    numbers.replace(cache / f"{stem}.npz")
    words = cache / f"{stem}.part.json"
    words.write_bytes(msgspec.json.encode(model.facts))
    words.replace(cache / f"{stem}.json")


def load(cache: Path, stem: str) -> Classifier:
    """Read what `save` wrote. Raises FileNotFoundError when it is not there."""
    facts = msgspec.json.decode((cache / f"{stem}.json").read_bytes(), type=ModelFacts)
    with np.load(cache / f"{stem}.npz", allow_pickle=False) as arrays:
        return Classifier(facts, arrays["weights"], arrays["intercept"], arrays["idf"])


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
