"""The promises of the circuit breaker."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.failures import FailureKind
from routing import breaker
from routing.breaker import PASS, Breaker, Pass
from routing.limits import Refusal

NOW_S = 1_000.0
COUNTED = [
    FailureKind.TRANSIENT,
    FailureKind.OVERLOADED,
    FailureKind.TIMEOUT,
    FailureKind.UNREACHABLE,
    FailureKind.TRUNCATED,
    FailureKind.MALFORMED,
]
NO_EVIDENCE = [kind for kind in FailureKind if kind not in COUNTED]
BAD = FailureKind.TRANSIENT
PROBE = Pass("one")
LEASE_S = 150


def told(known: Breaker, ends: list[FailureKind | None], at_s: float = NOW_S) -> Breaker:
    for end in ends:
        known = breaker.record(known, at_s, end, 0.0)
    return known


def opened() -> Breaker:
    return told(Breaker(), [BAD] * 5)


def decisive(known: Breaker) -> Breaker:
    """Without what an open one only shows: how many calls were counted when it opened."""
    return msgspec.structs.replace(known, slots=()) if known.is_tripped else known


@pytest.mark.parametrize("kind", COUNTED)
def test_five_failures_in_a_row_open_it(kind):
    assert not told(Breaker(), [kind] * 4).is_tripped
    assert told(Breaker(), [kind] * 5).is_tripped


@pytest.mark.parametrize("kind", NO_EVIDENCE)
def test_what_says_nothing_about_the_provider_never_opens_it(kind):
    assert told(Breaker(), [kind] * 100) == Breaker()


def test_a_success_ends_the_row():
    assert not told(Breaker(), [BAD] * 4 + [None] + [BAD] * 4).is_tripped


def test_half_of_twenty_calls_failing_opens_it_and_half_of_nineteen_does_not():
    mixed = [None, BAD] * 9
    assert not told(Breaker(), [*mixed, BAD]).is_tripped
    assert told(Breaker(), [*mixed, None, BAD]).is_tripped


def test_less_than_half_failing_leaves_it_closed():
    assert not told(Breaker(), [None, None, BAD] * 40).is_tripped


def test_failures_older_than_the_window_are_forgotten():
    known = told(Breaker(), [None, BAD] * 9)
    assert not told(known, [None, BAD], NOW_S + breaker.WINDOW_S + breaker.SLOT_S).is_tripped


@given(st.lists(st.tuples(st.floats(0, 60), st.booleans()), max_size=200))
def test_a_window_stays_small_whatever_the_traffic(ends):
    known, now_s = Breaker(), NOW_S
    for gap_s, is_bad in ends:
        now_s += gap_s
        known = breaker.record(known, now_s, BAD if is_bad else None, 0.0)
        assert len(known.slots) <= 12


def test_open_it_refuses_until_its_time_is_up():
    known, verdict = breaker.admit(opened(), NOW_S + 5, LEASE_S, "one")
    assert verdict == Refusal("breaker", 10.0)
    assert known == opened()


def test_half_open_it_lets_one_probe_in():
    known, verdict = breaker.admit(opened(), NOW_S + 15, LEASE_S, "one")
    assert verdict == PROBE
    _, verdict = breaker.admit(known, NOW_S + 15, LEASE_S, "other")
    assert verdict == Refusal("breaker", breaker.PROBE_POLL_S)


def test_a_probe_that_never_came_back_makes_room_for_another():
    known, _ = breaker.admit(opened(), NOW_S + 15, LEASE_S, "one")
    _, verdict = breaker.admit(known, NOW_S + 15 + 150, LEASE_S, "one")
    assert verdict == PROBE


def test_a_good_probe_closes_it():
    known, verdict = breaker.admit(opened(), NOW_S + 15, LEASE_S, "one")
    assert verdict == PROBE
    known = breaker.record(known, NOW_S + 16, None, 0.0, PROBE)
    assert breaker.admit(known, NOW_S + 16, LEASE_S, "one") == (known, PASS)


def test_bad_probes_double_the_time_up_to_five_minutes():
    known, now_s, times = opened(), NOW_S, []
    for _ in range(7):
        times.append(known.open_until_s - now_s)
        now_s = known.open_until_s
        known, _ = breaker.admit(known, now_s, LEASE_S, "one")
        known = breaker.record(known, now_s, BAD, 0.0, PROBE)
    assert times == [15, 30, 60, 120, 240, 300, 300]


def test_a_flapping_provider_is_left_alone_for_longer_although_its_probes_succeed():
    known, _ = breaker.admit(opened(), NOW_S + 15, LEASE_S, "one")
    known = breaker.record(known, NOW_S + 15, None, 0.0, PROBE)
    known = told(known, [BAD] * 5, NOW_S + 20)
    assert known.open_until_s - (NOW_S + 20) == 30


def test_after_a_quiet_spell_the_doubling_begins_again():
    known, _ = breaker.admit(opened(), NOW_S + 15, LEASE_S, "one")
    known = breaker.record(known, NOW_S + 15, None, 0.0, PROBE)
    known = told(known, [BAD] * 5, NOW_S + 400)
    assert known.open_until_s - (NOW_S + 400) == 15


def test_a_probe_without_evidence_gives_its_place_to_the_next():
    known, _ = breaker.admit(opened(), NOW_S + 15, LEASE_S, "one")
    known = breaker.record(known, NOW_S + 16, FailureKind.RATE_LIMITED, 0.0, PROBE)
    _, verdict = breaker.admit(known, NOW_S + 16, LEASE_S, "one")
    assert verdict == PROBE


@pytest.mark.parametrize("end", [None, BAD])
def test_calls_that_were_on_their_way_change_nothing_once_it_is_open(end):
    assert breaker.record(opened(), NOW_S + 1, end, 0.0) == opened()


@given(chance=st.floats(0, 1, exclude_max=True), trips=st.integers(1, 40))
def test_jitter_shortens_a_time_by_less_than_a_fifth_and_never_lengthens_it(chance, trips):
    known = breaker.trip(Breaker(trips=trips - 1, open_until_s=NOW_S), NOW_S, chance)
    curve_s = breaker.open_time_s(trips)
    assert curve_s * 0.8 - 1e-6 <= known.open_until_s - NOW_S <= curve_s


@given(
    reports=st.lists(st.tuples(st.floats(0, 20), st.integers(0, 12), st.integers(0, 6)), max_size=30),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_a_report_of_several_calls_says_the_same_as_its_calls_one_by_one(reports, chance):
    together = one_by_one = Breaker()
    now_s = NOW_S
    for gap_s, successes, failures in reports:
        now_s += gap_s
        together = breaker.count(together, now_s, successes, failures, chance)
        for end in [None] * successes + [BAD] * failures:
            one_by_one = breaker.record(one_by_one, now_s, end, chance)
        assert decisive(together) == decisive(one_by_one)


def test_three_probes_without_evidence_end_the_interval_and_count_no_trip():
    known, now_s = opened(), NOW_S + 15
    for name in ("one", "two", "three"):
        known, verdict = breaker.admit(known, now_s, LEASE_S, name)
        assert verdict == Pass(name)
        known = breaker.record(known, now_s, FailureKind.RATE_LIMITED, 0.0, Pass(name))
    known, verdict = breaker.admit(known, now_s, LEASE_S, "four")
    assert verdict == Refusal("breaker", 15.0)
    assert known.trips == 1
    _, verdict = breaker.admit(known, now_s + 15, LEASE_S, "four")
    assert verdict == Pass("four")


def test_a_probe_that_was_never_sent_uses_up_none_of_the_three():
    known, now_s = opened(), NOW_S + 15
    for _ in range(10):
        known, verdict = breaker.admit(known, now_s, LEASE_S, "one")
        assert verdict == PROBE
        known = breaker.excuse(known, PROBE, was_made=False)


@pytest.mark.parametrize("end", [None, BAD, FailureKind.RATE_LIMITED])
def test_a_probe_whose_place_another_took_says_nothing(end):
    known, _ = breaker.admit(opened(), NOW_S + 15, LEASE_S, "late")
    known, verdict = breaker.admit(known, NOW_S + 15 + LEASE_S, LEASE_S, "one")
    assert verdict == PROBE
    assert breaker.record(known, NOW_S + 170, end, 0.0, Pass("late")) == known


def test_a_late_probe_is_heard_while_no_other_is_out():
    known, _ = breaker.admit(opened(), NOW_S + 15, LEASE_S, "one")
    assert not breaker.record(known, NOW_S + 500, None, 0.0, PROBE).is_tripped


def test_it_tells_since_when_it_is_open_and_what_opened_it():
    known = opened()
    assert (known.since_s, breaker.recent(known, NOW_S + 1_000)) == (NOW_S, (5, 5))
    known, _ = breaker.admit(known, NOW_S + 15, LEASE_S, "one")
    known = breaker.record(known, NOW_S + 16, BAD, 0.0, PROBE)
    assert known.since_s == NOW_S
    known, _ = breaker.admit(known, NOW_S + 46, LEASE_S, "one")
    known = told(breaker.record(known, NOW_S + 46, None, 0.0, PROBE), [None, BAD], NOW_S + 46)
    assert breaker.recent(known, NOW_S + 47) == (2, 1)
    assert breaker.recent(known, NOW_S + 100) == (0, 0)
