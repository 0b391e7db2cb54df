"""The sums that teach: what they hold, how they fade, and what is no count."""

import pytest

from routing.learn.sums import (
    BINS,
    ERROR_MEMORY,
    ERRORS,
    LENGTH,
    MATRIX,
    MEMORY,
    PRODUCTS,
    ROWS,
    SEEN,
    SIZE,
    SQUARES,
    WEIGHT,
    Observation,
    add,
    bin_of,
    is_plausible,
    merged,
    nothing,
    total,
)

COUNTS = (1.0, 0.0, 20.0, *(0.0,) * (SIZE - 4), 80.0)


def sums_of(tokens: int, expected: float = 100.0) -> list[float]:
    found = nothing()
    add(found, Observation(COUNTS, tokens, expected, 0.1))
    return found


def test_a_true_estimate_counts_whole():
    found = sums_of(100)
    assert (found[SEEN], found[WEIGHT], found[SQUARES]) == (1, 1, 1)
    assert found[PRODUCTS + 2] == pytest.approx(0.2)
    assert found[ROWS[2] + SIZE - 1] == pytest.approx(0.2 * 0.8)
    assert found[ERRORS + BINS // 2] == 1
    assert sum(found[ERRORS:]) == 1


def test_the_rows_of_the_matrix_fill_it_to_the_histogram():
    places = [ROWS[i] + j for i in range(SIZE) for j in range(i, SIZE)]
    assert places == list(range(MATRIX, ERRORS))
    assert len(nothing()) == LENGTH


def test_what_is_far_off_pulls_less():
    assert sums_of(1)[WEIGHT] < 0.2
    assert sums_of(10_000)[WEIGHT] < 0.2
    assert sums_of(130)[WEIGHT] == 1


@pytest.mark.parametrize(("error", "place"), [(-99, 0), (0, BINS // 2), (0.3, BINS // 2 + 1), (99, BINS - 1)])
def test_errors_beyond_the_histogram_fall_into_its_last_bins(error, place):
    assert bin_of(error) == place


def test_the_old_fades_by_what_is_new_and_is_counted_all_the_same():
    old = [4.0] * LENGTH
    new = [100.0, *([1.0] * (LENGTH - 1))]
    found = merged(old, new)
    assert found[SEEN] == 104
    assert found[WEIGHT] == pytest.approx(4 * (1 - 100 / MEMORY) + 1)
    assert found[ERRORS] == pytest.approx(4 * (1 - 100 / ERROR_MEMORY) + 1)


def test_all_kinds_together_are_their_sum():
    assert total({"a": [1.0, 2.0], "b": [3.0, 4.0]}) == [4.0, 6.0]
    assert total({}) == nothing()


@pytest.mark.parametrize(("tokens", "bound", "is_so"), [(0, 100, False), (1, 100, True), (50_401, 100, False)])
def test_nonsense_is_no_count(tokens, bound, is_so):
    assert is_plausible(tokens, bound) is is_so
