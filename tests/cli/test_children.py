"""Restart pauses, and what a watch does with a subject that dies."""

import itertools

import pytest

from cli.children import STEADY_S, Watch, pause_s, run_to_end
from cli.processes import Process
from cli.servers import ServerError
from cli.yard import Yard, YardError


class Flaky:
    """A subject that runs when told to, and may refuse to start."""

    name = "flaky"
    pid = None

    def __init__(self) -> None:
        self.is_running = False
        self.refuses = False
        self.starts = 0

    def start(self) -> None:
        self.starts += 1
        if self.refuses:
            raise ServerError("no room")
        self.is_running = True


def test_pauses_double_up_to_half_a_minute():
    assert [pause_s(deaths) for deaths in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert pause_s(100_000) == 30


def test_the_dead_is_started_again_only_after_its_pause():
    subject = Flaky()
    watch = Watch(subject)
    assert watch.look(100.0)
    assert not watch.look(100.9)
    assert subject.starts == 0
    assert watch.look(101.0)
    assert (subject.starts, watch.restarts, subject.is_running) == (1, 1, True)


def test_a_start_that_fails_counts_as_a_death():
    subject = Flaky()
    subject.refuses = True
    watch = Watch(subject)
    for now in itertools.count(0, 0.5):
        watch.look(now)
        if watch.deaths == 3:
            break
    assert subject.starts == 2
    assert watch.record() is None


def test_what_is_held_stays_down_until_it_is_released():
    subject = Flaky()
    watch = Watch(subject)
    watch.look(100.0, is_held=True)
    assert not watch.look(200.0, is_held=True)
    assert subject.starts == 0
    assert watch.look(200.1)
    assert subject.is_running


def test_a_steady_minute_forgives():
    subject = Flaky()
    watch = Watch(subject)
    watch.start()
    subject.is_running = False
    start = 1e9
    watch.look(start)
    watch.look(start + 1)
    assert watch.deaths == 1
    watch.look(start + 2 + STEADY_S)
    assert watch.deaths == 0
    assert watch.restarts == 1


def test_a_step_hands_back_what_it_printed_and_logs_only_its_errors(tmp_path):
    yard = Yard(tmp_path)
    yard.make()
    step = Process("bootstrap-key", ("sh", "-c", 'echo "$SECRET"; echo warned >&2'))
    assert run_to_end(step, yard, {"SECRET": "ty_1_x"}) == "ty_1_x"
    assert (yard.log / "bootstrap-key.log").read_text() == "warned\n"


def test_a_failed_step_names_its_exit_and_last_words(tmp_path):
    yard = Yard(tmp_path)
    yard.make()
    with pytest.raises(YardError, match=r"(?s)migrate failed \(exit 3\).*no such table"):
        run_to_end(Process("migrate", ("sh", "-c", "echo no such table >&2; exit 3")), yard, {})
