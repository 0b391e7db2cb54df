"""The promises of the rule for keys that their provider refuses."""

import pytest

from jobs.failures import FailureKind
from routing import trouble
from routing.trouble import Trouble, fingerprint

BAD, POOR = FailureKind.BAD_KEY, FailureKind.NO_CREDIT


def test_each_strike_in_a_row_doubles_the_time_up_to_a_quarter_of_an_hour():
    known: Trouble | None = None
    now_s, times = 1_000.0, []
    for _ in range(6):
        known = trouble.strike(known, now_s, BAD, "aa")
        times.append(known.until_s - now_s)
        now_s = known.until_s
    assert times == [60, 120, 240, 480, 900, 900]
    assert known is not None
    assert known.since_s == 1_000.0


@pytest.mark.parametrize("late_s", [0.0, 59.9])
def test_calls_on_their_way_when_it_was_disabled_say_nothing_new(late_s):
    known = trouble.strike(None, 1_000.0, BAD, "aa")
    assert trouble.strike(known, 1_000.0 + late_s, POOR, "aa") == known


def test_another_secret_in_the_same_place_begins_anew():
    known = trouble.strike(trouble.strike(None, 0.0, BAD, "aa"), 60.0, BAD, "aa")
    assert trouble.strike(known, 61.0, POOR, "bb") == Trouble(POOR, "bb", 1, 61.0, 121.0)


def test_a_success_clears_its_own_secret_only():
    known = trouble.strike(None, 0.0, BAD, "aa")
    assert trouble.clear(known, "aa") is None
    assert trouble.clear(known, "bb") == known
    assert trouble.clear(None, "aa") is None


def test_a_fingerprint_tells_secrets_apart_and_shows_none():
    assert fingerprint("sk-first") != fingerprint("sk-second")
    assert len(fingerprint("sk-first")) == 8
    assert fingerprint(None) == fingerprint("") == ""
