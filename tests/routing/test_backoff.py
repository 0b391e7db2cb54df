"""The curve doubles to its cap; the jitter never leaves it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.backoff import CAP_S, curve, jitter
from tests.routing.yards import UNHURRIED


@pytest.mark.parametrize(
    ("attempt", "longest_s"),
    [(0, 0.5), (1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 16.0), (7, 20.0), (8, 20.0), (10**9, 20.0)],
)
def test_the_curve_doubles_from_half_a_second_to_twenty(attempt, longest_s):
    assert curve(attempt) == longest_s


def test_an_overloaded_provider_is_given_longer_but_never_longer_than_the_cap():
    assert [curve(attempt, 4.0) for attempt in (1, 2, 3, 4)] == [2.0, 4.0, 8.0, 16.0]
    assert curve(5, 4.0) == CAP_S


@UNHURRIED
@given(st.floats(0, CAP_S), st.floats(0, 1))
def test_the_wait_lies_between_nought_and_the_curve(longest_s, chance):
    assert 0 <= jitter(longest_s, chance) <= longest_s


@pytest.mark.parametrize(("chance", "wait_s"), [(0.0, 0.0), (0.5, 4.0), (1.0, 8.0), (-3.0, 0.0), (7.0, 8.0)])
def test_the_draw_is_even_and_a_chance_outside_its_range_is_cut(chance, wait_s):
    assert jitter(8.0, chance) == wait_s


def test_a_chance_that_is_no_number_means_no_wait():
    assert jitter(8.0, math.nan) == 0.0
