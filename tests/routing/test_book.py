"""Catalogue files say where they are wrong, and merging them is order-free."""

import datetime as dt
import json
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.book import Asked, BookError, Said, merged_prices, open_book, write_book
from routing.shelf import check_book
from routing.sources.update import entries_of

DAYS = st.dates(dt.date(2026, 1, 1), dt.date(2026, 1, 9))


@st.composite
def asked(draw: st.DrawFn) -> Asked:
    first, last = sorted([draw(DAYS), draw(DAYS)])
    figures = {"input": draw(st.sampled_from(["1", "1.0", "2"])), "output": "3"}
    return Asked(figures, first, Said(last, draw(st.sampled_from("ab"))))


@given(st.lists(asked(), max_size=5), st.lists(asked(), max_size=5))
def test_histories_meet_the_same_from_either_side_and_are_in_order(one, other):
    met = merged_prices(one, other)
    assert met == merged_prices(other, one)
    days = [price.valid_from for price in met]
    assert days == sorted(set(days), reverse=True)
    assert all(float(a.figures["input"]) != float(b.figures["input"]) for a, b in pairwise(met))


@given(st.lists(asked(), max_size=6))
def test_the_latest_saying_is_the_newest_price(prices):
    met = merged_prices(prices, ())
    if prices:
        last = max(prices, key=lambda price: (price.said, msgspec.json.encode(price.figures)))
        assert float(met[0].figures["input"]) == float(last.figures["input"])


def test_a_file_is_written_as_it_was_read():
    said = [{"as_of": "2026-01-01", "source": "s"}]
    place = {
        "facts": {"upstream": ["u", 0]},
        "prices": [{"input": "1", "output": "2", "valid_from": "2026-01-01", "source": 0}],
    }
    raw = json.dumps(
        {"format": 1, "sources": said, "models": {"m/a": {"model": {}, "deployments": {"p": place}}}}
    ).encode()
    once = write_book(entries_of((open_book(raw, "x"),)))
    assert write_book(entries_of((open_book(once, "x"),))) == once


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "f.json: not a catalogue file"),
        (b'{"format": 2, "sources": [], "models": {}}', "its format is 2"),
        (b'{"format": 1, "models": {}}', "sources"),
        (b'{"format": 1, "sources": [], "models": {"m/a": {}}}', "entry 'm/a'"),
        (b'{"format": 1, "sources": [], "models": {"m/a": {"model": {"has_tools": [true, 4]}}}}', "entry 'm/a'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(raw, says):
    with pytest.raises(BookError, match=says):
        check_book(open_book(raw, "f.json"))
