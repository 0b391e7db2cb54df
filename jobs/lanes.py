"""The lanes a job can travel in, and what each promises by default."""

import datetime as dt
from enum import StrEnum
from typing import NamedTuple


class Lane(StrEnum):
    """A Celery queue with its own urgency. Nobody submits to `quarantine`: jobs are moved there."""

    INTERACTIVE = "interactive"
    STANDARD = "standard"
    BULK = "bulk"
    QUARANTINE = "quarantine"


class LaneTerms(NamedTuple):
    """What a lane means for a job that says nothing more."""

    deadline_s: float
    """Wall clock from submit to the end, queue included, when the job names no deadline."""
    patience_s: float
    """After this wait a job counts as urgent as one whose deadline is near: no lane starves."""
    weight: int
    """Share of the release against the other lanes when all have work."""
    bell_size: int
    """Most job ids in one Celery message; a job alone in its message costs 8 CPU ms, ten together 1.5."""


TERMS: dict[Lane, LaneTerms] = {
    Lane.INTERACTIVE: LaneTerms(deadline_s=600, patience_s=0, weight=8, bell_size=32),
    Lane.STANDARD: LaneTerms(deadline_s=86_400, patience_s=60, weight=3, bell_size=32),
    Lane.BULK: LaneTerms(deadline_s=259_200, patience_s=3_600, weight=1, bell_size=32),
    Lane.QUARANTINE: LaneTerms(deadline_s=259_200, patience_s=0, weight=1, bell_size=1),
}
WEBHOOKS = "webhooks"
"""The queue of the webhook workers. Its bells carry a version and no ids: what is due, they read in the record."""
SUBMITTABLE: tuple[Lane, ...] = (Lane.INTERACTIVE, Lane.STANDARD, Lane.BULK)
QUARANTINE_AFTER_DEATHS = 2
"""A job whose workers died so often goes on alone: one crash of a busy worker blames all that it held."""
TYPICAL_DURATION = dt.timedelta(seconds=60)


def urgent_at(lane: Lane, created_at: dt.datetime, deadline_at: dt.datetime) -> dt.datetime:
    """When a job becomes urgent: the earlier of "its deadline is near" and "it has waited its lane's patience".

    Stored with the row, so one index orders deadlines and ageing together.
    """
    return min(deadline_at - TYPICAL_DURATION, created_at + dt.timedelta(seconds=TERMS[lane].patience_s))
