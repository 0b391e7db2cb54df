"""The log-probabilities of a label's pieces sum to the label's."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.pieces import LabelTree, estimate_tokens, label_tokens, prose_pieces

LABELS = ("card", "card_arrival", "card_linking", "card_linking_fee", "age_limit", "Refund?", "_odd_", "a__b")


@pytest.mark.parametrize("label", LABELS)
def test_tokens_of_a_label_join_to_the_label(label):
    assert "".join(label_tokens(label)) == label


@given(st.text())
def test_prose_pieces_join_to_the_text(text):
    assert "".join(piece.text for piece in prose_pieces(text)) == text


@given(st.lists(st.floats(1e-6, 1), min_size=len(LABELS), max_size=len(LABELS)))
def test_logprobs_of_the_tokens_add_up_to_the_labels_probability(masses):
    shares = np.array(masses) / sum(masses)
    tree = LabelTree(LABELS)
    for index, label in enumerate(LABELS):
        pieces = tree.pieces(index, shares, top=0)
        assert "".join(piece.text for piece in pieces) == label
        logprobs = [piece.logprob for piece in pieces if piece.logprob is not None]
        assert len(logprobs) == len(pieces)
        assert sum(logprobs) == pytest.approx(math.log(shares[index]), abs=1e-6)
        assert max(logprobs) <= 0
        assert not any(piece.alternatives for piece in pieces)


def test_alternatives_are_a_distribution_over_what_could_stand_there():
    shares = np.array([0.1, 0.3, 0.2, 0.1, 0.2, 0.05, 0.03, 0.02])
    first, second = LabelTree(LABELS).pieces(1, shares, top=20)
    assert sum(math.exp(log) for _, log in first.alternatives) == pytest.approx(1)
    text, logprob = second.alternatives[0]
    assert text == "_arrival"
    assert logprob == pytest.approx(math.log(0.3 / 0.6))


def test_no_logprobs_are_computed_when_nobody_asks():
    assert [piece.logprob for piece in LabelTree(LABELS).pieces(1, np.full(8, 0.125))] == [None, None]


def test_tokens_are_estimated_at_four_characters():
    assert estimate_tokens(["abcde", ""]) == 2 + 4 + 0 + 4
