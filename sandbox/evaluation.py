"""How good the models are on rows they never saw: accuracy, calibration, cascade, speed."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sandbox.models import Classifier
from sandbox.rows import EVALUATION_FILE, read_rows

THRESHOLD = 0.7
"""Below this top probability the cascade asks the large model."""
BINS = 15


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS) -> float:
    """Expected calibration error, 0..1: mean gap of confidence and accuracy over equal-width bins, by size.

    Guo et al., "On Calibration of Modern Neural Networks", 2017, equation 3.
    """
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(confidence[place == b].sum() - right[place == b].sum()) for b in range(bins)]
    return float(sum(gaps) / len(confidence))


def report(small: Classifier, large: Classifier, data: Path) -> dict[str, object]:
    """One JSON-ready summary over the evaluation rows; takes a few seconds. Raises FileNotFoundError."""
    texts, labels = read_rows(data / EVALUATION_FILE)
    small_right, small_p, small_facts = _ask(small, texts, labels)
    large_right, _, large_facts = _ask(large, texts, labels)
    sure = small_p >= THRESHOLD
    return {
        "rows": len(texts),
        "small": small_facts,
        "large": large_facts,
        "cascade": {
            "threshold": THRESHOLD,
            "escalated_share": round(float((~sure).mean()), 4),
            "accuracy": round(float(np.where(sure, small_right, large_right).mean()), 4),
        },
    }


def _ask(
    model: Classifier, texts: Sequence[str], labels: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.float64], dict[str, float]]:
    begin = time.process_time()
    chances = np.array([model.probabilities(text) for text in texts])
    spent_s = time.process_time() - begin
    confidence = chances.max(axis=1)
    right = np.array(model.labels)[chances.argmax(axis=1)] == np.array(labels)
    facts = {
        "accuracy": round(float(right.mean()), 4),
        "calibration_error": round(calibration_error(confidence, right), 4),
        "cpu_ms_per_query": round(spent_s / len(texts) * 1000, 4),
        "terms": len(model.idf),
        "strength": model.facts.strength,
        "held_out_log_loss": model.facts.held_out_log_loss,
        "train_s": model.facts.train_s,
    }
    return right, confidence, facts
