"""The stock follows the pace: doubled when the workers ran dry, halved slowly when they take less."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.stock import HALF_LIFE_S, WORTH_S, stock_for

PACE = st.floats(1, 20_000)


@given(PACE, st.integers(8, 64))
def test_it_settles_at_half_a_second_of_any_pace(pace: float, stock: int):
    for _ in range(60):
        elapsed_s = max(0.1, stock / 2 / pace)  # looked at ten times a second, refilled at the half
        claimed = min(stock, round(pace * elapsed_s))
        stock = max(1, stock_for(stock, claimed, elapsed_s, ran_dry=claimed == stock))
    assert pace * WORTH_S * 0.4 - 2 <= stock <= pace * WORTH_S * 4 + 2


def test_a_stock_that_nobody_takes_from_shrinks():
    assert stock_for(1000, 0, HALF_LIFE_S, ran_dry=False) == 500


@pytest.mark.parametrize(("stock", "grown"), [(0, 0), (64, 128)])
def test_a_lane_that_ran_dry_gets_twice_as_much(stock: int, grown: int):
    assert stock_for(stock, stock, 9.0, ran_dry=True) == grown
