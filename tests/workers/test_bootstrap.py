"""Which lanes a worker process serves, and what quarantine makes of its settings."""

import pytest

from jobs.lanes import Lane
from jobs.settings import Settings, Worker
from workers.bootstrap import LANES_VARIABLE, in_quarantine, lanes_of_this_process, presence_of


def test_a_worker_serves_the_lanes_it_is_given_and_all_but_quarantine_by_default(monkeypatch):
    monkeypatch.delenv(LANES_VARIABLE, raising=False)
    assert lanes_of_this_process() == (Lane.INTERACTIVE, Lane.STANDARD, Lane.BULK)
    monkeypatch.setenv(LANES_VARIABLE, "bulk, standard")
    assert lanes_of_this_process() == (Lane.BULK, Lane.STANDARD)


def test_quarantine_shares_its_process_with_no_lane(monkeypatch):
    monkeypatch.setenv(LANES_VARIABLE, "quarantine")
    assert lanes_of_this_process() == (Lane.QUARANTINE,)
    monkeypatch.setenv(LANES_VARIABLE, "bulk,quarantine")
    with pytest.raises(ValueError, match="a process of its own"):
        lanes_of_this_process()


def test_in_quarantine_a_process_makes_one_call_at_a_time_and_says_so():
    settings = in_quarantine(Settings(worker=Worker(slots=32, calls_in_flight=1024)))
    assert (settings.worker.slots, settings.worker.calls_in_flight) == (1, 1)
    presence = presence_of(settings, [Lane.QUARANTINE])
    assert (presence.lanes, presence.slots, presence.calls_in_flight) == (("quarantine",), 1, 1)
