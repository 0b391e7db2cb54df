"""Stored models give the probabilities they were trained to give."""

import numpy as np
import pytest

from sandbox.models import Classifier, load, obtain, save
from sandbox.recipes import RECIPES, Recipe
from sandbox.rows import EVALUATION_FILE, TRAINING_FILE, read_rows
from sandbox.training import Pipeline, to_classifier

from .conftest import LARGE, SMALL


@pytest.mark.parametrize("name", [SMALL, LARGE])
def test_probabilities_equal_those_of_scikit_learn(name, data):
    texts, labels = read_rows(data / TRAINING_FILE)
    pipeline = Pipeline(RECIPES[name].feature_sets[0])
    pipeline.learn_weights(pipeline.learn_terms(texts), labels, 30.0)
    ours = to_classifier(name, pipeline, 0.0, 0.0)
    queries = [*read_rows(data / EVALUATION_FILE)[0][:300], "", "?!", "card card CARD", "zzzz qqqq", "naïve £5"]
    mine = np.array([ours.probabilities(query) for query in queries])
    assert np.abs(mine - pipeline.predict_proba(queries)).max() < 1e-5
    assert list(ours.labels) == list(pipeline.regression.classes_)


def test_a_saved_model_answers_the_same(small, tmp_path):
    save(small, tmp_path, "again")
    again = load(tmp_path, "again")
    assert again.facts == small.facts
    assert (again.probabilities("where is my card") == small.probabilities("where is my card")).all()


def test_a_query_without_known_terms_still_gets_probabilities(small):
    shares = small.probabilities("zzzz")
    assert shares.sum() == pytest.approx(1)
    assert shares.max() < 0.7


def test_the_cache_is_used_when_nothing_changed(small, data, cache):
    before = {path: path.stat().st_mtime_ns for path in cache.glob("intent-small-*.npz")}
    assert isinstance(obtain(SMALL, data, cache), Classifier)
    assert {path: path.stat().st_mtime_ns for path in cache.glob("intent-small-*.npz")} == before


def test_other_rows_make_another_model(small, data, cache, tmp_path):
    lines = (data / TRAINING_FILE).read_text().splitlines()
    (tmp_path / TRAINING_FILE).write_text("\n".join(lines[:-1]))
    obtain(SMALL, tmp_path, tmp_path / "cache")
    assert {p.name for p in (tmp_path / "cache").glob("*.json")}.isdisjoint(p.name for p in cache.glob("*.json"))


def test_missing_rows_are_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        obtain(SMALL, tmp_path, tmp_path)


def test_the_recipes_are_values():
    assert all(isinstance(recipe, Recipe) for recipe in RECIPES.values())
