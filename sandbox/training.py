"""Trains the sandbox's models with scikit-learn; features and strength are chosen by held-out log-loss."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from sandbox.models import BlockFacts, Classifier, ModelFacts
from sandbox.recipes import RECIPES, BlockPlan, Recipe
from sandbox.rows import TRAINING_FILE, read_rows

HELD_OUT_SHARE = 0.25
SEED = 20
TOLERANCE = 1e-3
"""Of the gradient. It stops early, which regularises too: at 1e-4 the best held-out log-loss is 0.859 instead of 0.821
for the small model, 0.615 instead of 0.630 for the large one, for two and a half times the time."""
Plans = Sequence[BlockPlan]
Texts = Sequence[str]


class Pipeline:
    """The scikit-learn half: the vectorisers side by side, then the regression. The reference for `Classifier`."""

    def __init__(self, plans: Plans) -> None:
        self.plans = plans
        self.vectorizers = [
            TfidfVectorizer(
                analyzer=plan.terms,
                min_df=plan.min_documents,
                max_features=plan.max_terms,
                sublinear_tf=True,
                dtype=np.float32,
            )
            for plan in plans
        ]
        # Never warm_start: with this tolerance it stays at the weights of the strength before, and all look alike.
        self.regression = LogisticRegression(max_iter=300, tol=TOLERANCE)

    def learn_terms(self, texts: Texts) -> Any:
        """Fit the vocabularies; gives the sparse rows (texts, terms)."""
        return sparse.hstack([vectorizer.fit_transform(texts) for vectorizer in self.vectorizers]).tocsr()

    def learn_weights(self, rows: Any, labels: Texts, strength: float) -> None:
        """Fit the regression."""
        self.regression.set_params(C=strength).fit(rows, labels)

    def predict_proba(self, texts: Texts) -> Any:
        """Array (texts, labels), labels in the order of `regression.classes_`."""
        return self.regression.predict_proba(self.rows(texts))

    def rows(self, texts: Texts) -> Any:
        """The sparse rows of texts by the fitted vocabularies."""
        return sparse.hstack([vectorizer.transform(texts) for vectorizer in self.vectorizers]).tocsr()


def train(name: str, data: Path) -> Classifier:
    """Choose and fit the model of this name on the training rows. The same rows give the same model."""
    begin = time.monotonic()
    texts, labels = read_rows(data / TRAINING_FILE)
    recipe = RECIPES[name]
    # One thread: the matrices are thin, and a second core would only spin beside the first.
    with threadpool_limits(limits=1):
        trials = [
            (loss, plans, strength)
            for plans in recipe.feature_sets
            for strength, loss in held_out_log_losses(plans, recipe, np.array(texts, dtype=object), np.array(labels))
        ]
        loss, plans, strength = min(trials, key=lambda trial: trial[0])
        fitted = Pipeline(plans)
        fitted.learn_weights(fitted.learn_terms(texts), labels, strength)
    return to_classifier(name, fitted, loss, time.monotonic() - begin)


def held_out_log_losses(plans: Plans, recipe: Recipe, texts: Any, labels: Any) -> list[tuple[float, float]]:
    """Each strength of the recipe with its log-loss (nats), averaged over the splits; vocabularies are refitted."""
    cuts = StratifiedShuffleSplit(n_splits=recipe.splits, test_size=HELD_OUT_SHARE, random_state=SEED)
    losses: dict[float, list[float]] = {strength: [] for strength in recipe.strengths}
    for fit, judge in cuts.split(texts, labels):
        pipeline = Pipeline(plans)
        seen, unseen = pipeline.learn_terms(texts[fit]), pipeline.rows(texts[judge])
        for strength, found in losses.items():
            pipeline.learn_weights(seen, labels[fit], strength)
            chances = pipeline.regression.predict_proba(unseen)
            places = np.searchsorted(pipeline.regression.classes_, labels[judge])
            found.append(float(-np.log(chances[np.arange(len(places)), places]).mean()))
    return [(strength, float(np.mean(found))) for strength, found in losses.items()]


def to_classifier(name: str, fitted: Pipeline, loss: float, train_s: float) -> Classifier:
    """The fitted numbers in the form that serves."""
    blocks = [
        BlockFacts(plan.terms, [str(term) for term in vectorizer.get_feature_names_out()])
        for plan, vectorizer in zip(fitted.plans, fitted.vectorizers, strict=True)
    ]
    facts = ModelFacts(
        name=name,
        labels=[str(label) for label in fitted.regression.classes_],
        blocks=blocks,
        strength=fitted.regression.C,
        held_out_log_loss=round(loss, 4),
        train_s=round(train_s, 2),
    )
    weights = np.ascontiguousarray(fitted.regression.coef_.T, dtype=np.float32)
    idf = np.concatenate([vectorizer.idf_ for vectorizer in fitted.vectorizers]).astype(np.float32)
    return Classifier(facts, weights, fitted.regression.intercept_.astype(np.float32), idf)
