"""Accuracy, calibration and cascade figures are computed as they are defined."""

from typing import Any

import numpy as np
import pytest

from sandbox.evaluation import calibration_error, report


def test_calibration_error_is_the_gap_of_confidence_and_accuracy():
    right = np.array([True, True, True, False])
    assert calibration_error(np.full(4, 0.75), right) == pytest.approx(0)
    assert calibration_error(np.full(4, 0.95), right) == pytest.approx(0.2)


def test_full_confidence_falls_into_the_last_bin():
    assert calibration_error(np.array([1.0]), np.array([True])) == 0


def test_the_report_puts_the_cascade_between_small_and_all_large(small, large, data):
    facts: Any = report(small, large, data)
    assert facts["small"]["accuracy"] <= facts["cascade"]["accuracy"]
    assert 0 < facts["cascade"]["escalated_share"] < 1
