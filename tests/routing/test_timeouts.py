"""The four clocks, and the deadline that cuts them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.timeouts import Clocks, clocks
from tests.routing.yards import UNHURRIED


def test_with_time_enough_each_clock_has_its_own_length():
    assert clocks(120.0, 600.0, is_stream=True) == Clocks(connect_s=5.0, first_byte_s=60.0, idle_s=30.0, total_s=120.0)


def test_a_whole_answers_first_byte_may_take_as_long_as_the_answer():
    assert clocks(120.0, 600.0, is_stream=False) == Clocks(
        connect_s=5.0, first_byte_s=120.0, idle_s=30.0, total_s=120.0
    )


def test_the_deadline_cuts_every_clock():
    assert clocks(120.0, 2.0, is_stream=True) == Clocks(connect_s=2.0, first_byte_s=2.0, idle_s=2.0, total_s=2.0)


@pytest.mark.parametrize("time_left_s", [0.0, -1.0, -math.inf, math.nan])
def test_without_time_left_no_call_is_made(time_left_s):
    assert clocks(120.0, time_left_s, is_stream=True) is None


@UNHURRIED
@given(st.floats(0.001, 1e6), st.floats(0.001, 1e6), st.booleans())
def test_no_clock_outlives_the_total_nor_the_deadline(timeout_s, time_left_s, is_stream):
    found = clocks(timeout_s, time_left_s, is_stream=is_stream)
    assert found is not None
    assert found.total_s == min(timeout_s, time_left_s)
    assert max(found.connect_s, found.first_byte_s, found.idle_s) <= found.total_s
