"""Ids read back as they were shown, and sort by time."""

import datetime as dt
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import ids

MOMENTS = st.datetimes(min_value=dt.datetime(1970, 1, 2), max_value=dt.datetime(9999, 1, 1), timezones=st.just(dt.UTC))  # noqa: DTZ001
PREFIXES = st.sampled_from(sorted(ids.PREFIXES))


@given(prefix=PREFIXES, value=st.uuids())
def test_every_id_comes_back_from_its_outside_form(prefix: str, value: uuid.UUID):
    shown = ids.show(prefix, value)
    assert ids.read(prefix, shown) == value
    assert len(shown) == len(prefix) + 27


@given(values=st.lists(st.uuids(), min_size=2))
def test_the_outside_form_sorts_like_the_inside_one(values: list[uuid.UUID]):
    assert [ids.read("job", shown) for shown in sorted(ids.show("job", value) for value in values)] == sorted(values)


@pytest.mark.parametrize("value", [0, (1 << 128) - 1])
def test_the_ends_of_the_range_are_ids_too(value: int):
    assert ids.read("att", ids.show("att", uuid.UUID(int=value))).int == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "job_",
        "job",
        "att_" + "0" * 26,
        "job_" + "0" * 25,
        "job_" + "0" * 27,
        "job_8" + "0" * 25,
        "job_" + "0" * 25 + "u",
        "job_" + "0" * 25 + "\n",
        "JOB_" + "0" * 26,
        "job_" + "A" * 26,
        "job_" + "\N{ARABIC-INDIC DIGIT ZERO}" * 26,
    ],
)
def test_what_is_no_id_is_refused_with_what_was_expected(text: str):
    with pytest.raises(ids.InvalidId, match="expected an id like job_"):
        ids.read("job", text)


def test_a_refusal_does_not_repeat_a_whole_novel():
    with pytest.raises(ids.InvalidId) as refusal:
        ids.read("job", "x" * 10_000)
    assert len(str(refusal.value)) < 200


@given(text=st.text(max_size=40))
def test_no_text_does_worse_than_being_refused(text: str):
    try:
        value = ids.read("job", text)
    except ids.InvalidId:
        return
    assert ids.show("job", value) == text


@given(moment=MOMENTS, rest=st.integers(0, (1 << 80) - 1))
def test_a_moments_floor_is_below_every_id_of_its_millisecond_and_above_all_before(moment: dt.datetime, rest: int):
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    floor = ids.floor_uuid(moment)
    of_moment = uuid.UUID(int=floor.int | rest)
    assert ids.moment_of(of_moment) == moment
    assert floor <= of_moment
    assert floor > uuid.UUID(int=ids.floor_uuid(moment - dt.timedelta(milliseconds=1)).int | rest)
