"""Our lean features equal scikit-learn's."""

import math

from hypothesis import given
from hypothesis import strategies as st

from sandbox.features import Block, Terms


def test_words_are_lower_cased_runs_of_the_wanted_lengths():
    assert Terms("words", 1, 2)("My card, please!") == ["my", "card", "please", "my card", "card please"]


def test_letters_never_run_across_words():
    assert Terms("letters", 3, 3)("my pin") == [" my", "my ", " pi", "pin", "in "]


def test_a_word_shorter_than_the_run_gives_no_run():
    assert Terms("letters", 5, 5)("my") == []


@given(st.text(alphabet="ab ", max_size=40))
def test_weights_have_unit_length_or_none(text):
    indices, weights = Block(Terms("words", 1, 1), {"a": 0, "b": 1}, [1.0, 2.5]).weigh(text)
    assert len(indices) == len(set(indices)) == len(weights)
    assert math.isclose(math.fsum(w * w for w in weights), 1.0) if weights else not {"a", "b"} & set(text.split())
