"""How urgency follows from lane, age and deadline."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.lanes import SUBMITTABLE, TERMS, TYPICAL_DURATION, Lane, urgent_at

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize("lane", SUBMITTABLE)
def test_a_job_with_the_lanes_own_deadline_becomes_urgent_after_the_lanes_patience(lane: Lane):
    terms = TERMS[lane]
    deadline = NOW + dt.timedelta(seconds=terms.deadline_s)
    assert urgent_at(lane, NOW, deadline) == NOW + dt.timedelta(seconds=terms.patience_s)


@given(lane=st.sampled_from(Lane), left_s=st.integers(-1000, 10**6))
def test_a_near_deadline_is_urgent_before_any_patience_ends(lane: Lane, left_s: int):
    deadline = NOW + dt.timedelta(seconds=left_s)
    urgent = urgent_at(lane, NOW, deadline)
    assert urgent <= deadline - TYPICAL_DURATION
    assert urgent <= NOW + dt.timedelta(seconds=TERMS[lane].patience_s)


def test_nobody_submits_to_quarantine_and_a_job_there_is_alone_in_its_bell():
    assert Lane.QUARANTINE not in SUBMITTABLE
    assert TERMS.keys() == set(Lane)
    assert TERMS[Lane.QUARANTINE].bell_size == 1
