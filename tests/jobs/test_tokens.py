"""Places and entries: what a reader has read, what is new to him, and what is missing in between."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.tokens import Entry, Place, pack, unpack

ATTEMPT = uuid.UUID(int=7)


def entry(turn: int, first: int, count: int, *, is_end: bool = False) -> Entry:
    chunks = tuple(b"%d.%d" % (turn, first + place) for place in range(count))
    return Entry(turn, first, ATTEMPT, "maker/small@lab", chunks, is_end)


def test_a_place_is_the_id_of_an_event_and_back():
    assert str(Place(2, 17)) == "2.17"
    assert Place.read("2.17") == Place(2, 17)


@pytest.mark.parametrize("text", ["", "2", "2.", ".2", "-1.2", "1.2.3", " 1.2", "a.b", "1.99999999999999", "٣.1"])
def test_what_is_no_place_is_none(text: str):
    assert Place.read(text) is None


@given(st.integers(1, 3), st.integers(1, 5), st.integers(0, 5), st.booleans(), st.integers(0, 3), st.integers(0, 12))
def test_a_reader_gets_of_an_entry_just_what_lies_behind_its_place(
    turn: int, first: int, count: int, is_end: bool, read_turn: int, seq: int
):
    whole, place = entry(turn, first, count, is_end=is_end), Place(read_turn, seq)
    new = whole.after(place)
    told = [] if new is None else [(turn, new.first + offset) for offset in range(len(new.chunks))]
    assert told == [(turn, number) for number in range(first, first + count) if (turn, number) > place]
    if new is not None:
        assert new.last == whole.last > place
        assert new.chunks == tuple(b"%d.%d" % one for one in told)


def test_a_gap_is_seen():
    assert entry(1, 4, 2).follows(Place(1, 3))
    assert not entry(1, 5, 2).follows(Place(1, 3))
    assert entry(2, 1, 2).follows(Place(1, 3))
    assert not entry(2, 2, 2).follows(Place(1, 3))


def test_what_travels_comes_back_and_nonsense_is_none():
    told = entry(3, 1, 2, is_end=True)
    assert unpack(pack(told)) == told
    for raw in (b"", b"\xff", pack(told)[:-1], b"\x90"):
        assert unpack(raw) is None
