"""Training chooses by held-out log-loss, and keeps what it chose."""

import numpy as np
import pytest

from sandbox.evaluation import calibration_error
from sandbox.models import Classifier
from sandbox.recipes import RECIPES
from sandbox.rows import EVALUATION_FILE, TRAINING_FILE, read_rows
from sandbox.training import held_out_log_losses, train

from .conftest import BANKING, SMALL


@pytest.fixture(scope="module")
def small_on_all_intents():
    return train(SMALL, BANKING)


def test_the_small_model_is_useful_calibrated_and_often_unsure(small_on_all_intents):
    texts, labels = read_rows(BANKING / EVALUATION_FILE)
    chances = np.array([small_on_all_intents.probabilities(text) for text in texts[::5]])
    top = chances.max(axis=1)
    right = np.array(small_on_all_intents.labels)[chances.argmax(axis=1)] == np.array(labels[::5])
    assert right.mean() > 0.75
    assert 0.15 < (top < 0.7).mean() < 0.6
    assert calibration_error(top, right) < 0.05


def test_the_strength_is_the_one_with_the_least_held_out_loss(small, data):
    texts, labels = read_rows(data / TRAINING_FILE)
    recipe = RECIPES[SMALL]
    losses = held_out_log_losses(recipe.feature_sets[0], recipe, np.array(texts, dtype=object), np.array(labels))
    strength, loss = min(losses, key=lambda pair: pair[1])
    assert (small.facts.strength, small.facts.held_out_log_loss) == (strength, pytest.approx(loss, abs=1e-4))
    assert len({round(found, 4) for _, found in losses}) > 1


def test_training_twice_gives_the_same_numbers(small, data):
    again = train(SMALL, data)
    assert (again.weights == small.weights).all()
    assert (again.intercept == small.intercept).all()


def test_the_large_model_is_better_on_rows_it_never_saw(small, large, data):
    texts, labels = read_rows(data / EVALUATION_FILE)

    def accuracy(model: Classifier) -> float:
        picks = [model.labels[int(model.probabilities(text).argmax())] for text in texts]
        return float(np.mean(np.array(picks) == np.array(labels)))

    assert accuracy(large) > accuracy(small)
