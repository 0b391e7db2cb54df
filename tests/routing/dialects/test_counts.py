"""Counts are whole numbers, and of two reports of one stream the fuller one stands."""

import pytest

from routing.dialects.counts import NoCount, counted, found, highest, latest


@pytest.mark.parametrize(("value", "count"), [(None, None), (0, 0), (7, 7), (7.0, 7)])
def test_a_count(value, count):
    assert counted(value) == count


@pytest.mark.parametrize("value", [-1, 1.5, "7", True, [], {}, 10**12, float("inf"), float("nan")])
def test_nonsense_is_no_count(value):
    with pytest.raises(NoCount):
        counted(value)


def test_a_kind_is_found_in_the_place_that_tells_it():
    places = (("details", "cached"), ("cached",))
    assert found({}, places) == 0
    assert found({"details": None, "cached": 3}, places) == 3
    assert found({"details": {"cached": 3}, "cached": 3}, places) == 3
    for wrong in ({"details": {"cached": 2}, "cached": 3}, {"details": 5}, {"cached": -1}):
        with pytest.raises(NoCount):
            found(wrong, places)


def test_the_later_report_stands_unless_it_counted_less():
    first = {"a": 5, "b": 1, "more": {"x": 2}}
    assert latest(None, first) == first
    assert latest(first, None) == first
    assert latest(first, {"a": 5, "b": 3, "more": {"y": 1}}) == {"a": 5, "b": 3, "more": {"x": 2, "y": 1}}
    assert latest(first, {"a": 0, "b": 0, "c": 1}) == {"a": 5, "b": 1, "more": {"x": 2}, "c": 1}


def test_counts_that_never_shrink():
    assert highest({"a": 5, "m": {"x": 2}}, {"a": 0, "b": 3, "m": {"x": 4}, "c": None}) == {
        "a": 5,
        "b": 3,
        "m": {"x": 4},
    }
