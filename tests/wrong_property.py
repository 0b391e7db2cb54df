"""A property that does not hold, and a test that draws nothing: for `tests/test_properties.py`."""

from hypothesis import given
from hypothesis import strategies as st


@given(st.integers())
def test_that_is_wrong(number: int):
    assert number < 1_000


def test_that_draws_nothing():
    raise AssertionError
