"""The event reader: the standard's rules, any cutting of the bytes, and a cap."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.dialects.sse import Event, EventReader, Oversized

STREAM = (
    b"\xef\xbb\xbf: keep-alive\r\n\r\n"
    b"data: one\n\n"
    b"event: error\rdata:two\rdata: \xe2\x82\xac\xf0\x9f\x98\x80\r\r"
    b"id: 7\r\nretry: 10\r\ndata\r\n\r\n"
    b"event: empty\n\n"
    b"data: \xe2\x80\xa8 stays \xc2\x85 whole\n\n"
    b"data:  two spaces\n\n"
)
EVENTS = [
    Event("message", b"one"),
    Event("error", "two\n\u20ac\U0001f600".encode()),
    Event("message", b""),
    Event("message", "\u2028 stays \u0085 whole".encode()),
    Event("message", b" two spaces"),
]


def read(*pieces: bytes) -> list[Event | Oversized]:
    reader = EventReader()
    return [event for piece in pieces for event in reader.feed(piece)]


def test_every_rule_of_the_standard_holds_in_one_stream():
    assert read(STREAM) == EVENTS


@pytest.mark.parametrize("offset", range(len(STREAM) + 1))
def test_a_cut_at_any_byte_changes_nothing(offset):
    assert read(STREAM[:offset], STREAM[offset:]) == EVENTS


def test_one_byte_at_a_time_changes_nothing():
    assert read(*(STREAM[i : i + 1] for i in range(len(STREAM)))) == EVENTS


LINES = st.sampled_from(
    [b"data: x", b"data:", b"event: e", b": c", b"", b"", b"odd", b"data: \xe2\x82\xac", b"\xef\xbb\xbf"]
)
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
STREAMS = st.lists(st.tuples(LINES, ENDS), max_size=30).map(lambda pairs: b"".join(line + end for line, end in pairs))


@given(stream=STREAMS, data=st.data())
def test_any_stream_cut_anywhere_gives_the_same_events(stream, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    bounds = [0, *cuts, len(stream)]
    pieces = [stream[start:end] for start, end in itertools.pairwise(bounds)]
    assert read(*pieces) == read(stream)


def test_an_event_beyond_the_cap_stops_the_reader():
    reader = EventReader(max_event_bytes=100)
    assert reader.feed(b"data: small\n\n") == [Event("message", b"small")]
    assert reader.feed(b"data: " + b"x" * 60) == []
    assert reader.feed(b"x" * 60) == [Oversized(100)]
    assert reader.feed(b"\n\ndata: late\n\n") == []
    assert reader.flush() is None


def test_many_small_lines_of_one_event_count_together():
    assert Oversized(50) in EventReader(50).feed(b"data: 123456\n" * 10)


def test_endless_comments_are_never_too_large():
    reader = EventReader(max_event_bytes=50)
    assert [event for _ in range(100) for event in reader.feed(b": keep-alive\n")] == []
    assert reader.feed(b"data: x\n\n") == [Event("message", b"x")]


def test_flush_gives_the_event_that_lacks_its_blank_line():
    for rest in (b"data: [DONE]", b"data: [DONE]\n", b"data: [DONE]\r"):
        reader = EventReader()
        assert reader.feed(b"data: 1\n\n" + rest) == [Event("message", b"1")]
        assert reader.flush() == Event("message", b"[DONE]")
        assert reader.flush() is None
