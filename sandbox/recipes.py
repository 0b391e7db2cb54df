"""How each sandbox model is made: its features, the strengths to choose from, and the hash that names its file."""

import hashlib
from importlib.metadata import version
from pathlib import Path

import msgspec

from sandbox.features import Terms
from sandbox.rows import TRAINING_FILE


class BlockPlan(msgspec.Struct, frozen=True):
    """One vocabulary to fit."""

    terms: Terms
    min_documents: int = 1
    """A term seen in fewer queries is left out."""
    max_terms: int | None = None
    """Keep the most frequent only; None keeps all."""


class Recipe(msgspec.Struct, frozen=True):
    """Multinomial logistic regression; features and strength are those with the least held-out log-loss."""

    feature_sets: tuple[tuple[BlockPlan, ...], ...]
    strengths: tuple[float, ...]
    """Candidates for scikit-learn's C, the inverse of the L2 penalty."""
    splits: int
    """Random splits, three quarters to fit and one to judge, over which the log-loss is averaged."""


RECIPES: dict[str, Recipe] = {
    # A vocabulary of 400 words is what makes the small one small: it fits a cache, and is at sea beyond it.
    "sandbox/intent-small": Recipe(
        feature_sets=((BlockPlan(Terms("words", 1, 1), max_terms=400),),),
        strengths=(20.0, 40.0, 80.0, 160.0),
        splits=3,
    ),
    "sandbox/intent-large": Recipe(
        feature_sets=(
            (BlockPlan(Terms("words", 1, 2)), BlockPlan(Terms("letters", 2, 4), min_documents=2)),
            (BlockPlan(Terms("words", 1, 2)), BlockPlan(Terms("letters", 3, 5), min_documents=2)),
        ),
        strengths=(40.0, 80.0, 160.0),
        splits=1,
    ),
    # Another maker's: it sees letters only. Its strength is fixed, since a search would cost each fresh yard seconds.
    "depot/intent-large": Recipe(
        feature_sets=((BlockPlan(Terms("letters", 2, 4), min_documents=2),),),
        strengths=(80.0,),
        splits=1,
    ),
}


def fingerprint(model: str, data: Path) -> str:
    """A hash of everything the trained model depends on: rows, recipe, code, scikit-learn. 16 hex digits.

    Raises FileNotFoundError when the data folder has no training file.
    """
    digest = hashlib.sha256()
    digest.update(msgspec.json.encode((model, RECIPES[model], version("scikit-learn"))))
    here = Path(__file__).parent
    for path in (data / TRAINING_FILE, here / "features.py", here / "models.py", here / "training.py"):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
