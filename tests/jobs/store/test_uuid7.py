"""Ids of one process grow strictly and carry their time."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

from jobs import ids
from jobs.store.uuid7 import uuid7


def test_an_id_says_its_version_and_its_moment():
    before = dt.datetime.now(dt.UTC)
    made = uuid7()
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert abs(ids.moment_of(made) - before) < dt.timedelta(minutes=1)


def test_ids_of_one_process_grow_and_never_repeat_even_from_many_threads():
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: [uuid7() for _ in range(500)], range(8)))
    assert all(run == sorted(run) for run in runs)
    assert len({made for run in runs for made in run}) == 4000
