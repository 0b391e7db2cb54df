"""The promises of the rule for what a provider refuses: who is let in, who asks first, and for how long it is left."""

import pytest

from jobs.failures import Failure, FailureKind, Scope
from routing import closing
from routing.breaker import PASS, Pass
from routing.closing import Closing, Reach, Refused
from routing.limits import Refusal

LIMITED, BAD, POOR = FailureKind.RATE_LIMITED, FailureKind.BAD_KEY, FailureKind.NO_CREDIT
LEASE_S = 150.0
DAY_S = 86_400.0


def closed(asked_s: float | None = 60.0, kind: FailureKind = LIMITED) -> Closing:
    """A place that was refused at 0."""
    return closing.close(None, 0.0, Refused(kind, "aa", asked_s))


def probed(known: Closing, now_s: float, probe: str = "p1") -> Closing:
    """With a probe out."""
    found, verdict = closing.admit(known, now_s, LEASE_S, probe)
    assert verdict == Pass(probe)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("failure", "by_model", "by_key"),
    [
        (None, Reach.NOTHING, Reach.NOTHING),
        (Failure(LIMITED, "no", scope=Scope.REQUEST), Reach.NOTHING, Reach.NOTHING),
        (Failure(LIMITED, "no"), Reach.MODEL, Reach.KEY),
        (Failure(LIMITED, "no", scope=Scope.ACCOUNT), Reach.KEY, Reach.KEY),
        (Failure(BAD, "no", scope=Scope.MODEL), Reach.MODEL, Reach.MODEL),
        (Failure(BAD, "no", scope=Scope.ACCOUNT), Reach.KEY, Reach.KEY),
        (Failure(POOR, "no", scope=Scope.REQUEST), Reach.NOTHING, Reach.NOTHING),
        (Failure(POOR, "no", scope=Scope.ACCOUNT), Reach.KEY, Reach.KEY),
        (Failure(FailureKind.TRANSIENT, "no", retry_after_s=9, scope=Scope.ACCOUNT), Reach.NOTHING, Reach.NOTHING),
        (Failure(FailureKind.BAD_REQUEST, "no"), Reach.NOTHING, Reach.NOTHING),
        (Failure(FailureKind.CANCELLED, "no", scope=Scope.ACCOUNT), Reach.NOTHING, Reach.NOTHING),
    ],
    ids=lambda value: value.kind if isinstance(value, Failure) else None,
)
def test_no_more_is_closed_than_was_refused(failure, by_model, by_key):
    assert closing.reach(failure, counts_by_key=False) is by_model
    assert closing.reach(failure, counts_by_key=True) is by_key


def test_nobody_is_let_in_before_the_time_that_the_provider_named():
    assert closing.admit(closed(), 59.0, LEASE_S, "p1")[1] == Refusal("rate_limit", 1.0)
    assert closing.held_back(closed(), 59.0) == Refusal("rate_limit", 1.0)
    assert closing.held_back(closed(), 60.0) is None


def test_then_one_call_at_a_time_is_let_in():
    known = probed(closed(), 60.0)
    assert closing.admit(known, 61.0, LEASE_S, "p2") == (known, Refusal("rate_limit", closing.PROBE_POLL_S))
    assert closing.admit(known, 208.0, LEASE_S, "p2")[1] == Refusal("rate_limit", 2.0)
    assert probed(known, 210.0, "p2").probe == "p2", "the first one never came back"


def test_a_probes_success_opens_it_and_that_of_a_call_on_its_way_does_not():
    known = probed(closed(), 60.0)
    assert closing.succeed(known, Pass("p1")) is None
    assert closing.succeed(known, PASS) == known
    assert closing.succeed(known, Pass("p0")) == known


def test_a_refused_probe_closes_it_again():
    known = closing.close(probed(closed(), 60.0), 61.0, Refused(LIMITED, "aa", 60.0), Pass("p1"))
    assert known == Closing(LIMITED, "aa", 2, since_s=0.0, until_s=121.0, try_at_s=121.0)


def test_a_probe_without_evidence_hands_on_its_place():
    known = closing.excuse(probed(closed(), 60.0), Pass("p1"))
    assert known is not None
    assert probed(known, 60.0, "p2").probe == "p2"
    assert closing.excuse(known, Pass("p9")) == known


def test_of_calls_on_their_way_a_later_time_stands_and_none_of_them_is_a_strike():
    later = closing.close(closed(), 5.0, Refused(LIMITED, "aa", 60.0))
    assert (later.until_s, later.try_at_s, later.strikes) == (65.0, 65.0, 1)
    assert closing.close(later, 6.0, Refused(LIMITED, "aa", 1.0)) == later
    assert closing.close(later, 6.0, Refused(LIMITED, "aa", None)) == later
    bad = closed(kind=BAD)
    assert closing.close(bad, 6.0, Refused(BAD, "aa")) == bad


def test_a_probe_that_is_out_stays_out_when_a_call_from_before_comes_back():
    known = closing.close(probed(closed(), 60.0), 61.0, Refused(LIMITED, "aa", 60.0))
    assert (known.probe, known.try_at_s) == ("p1", 121.0)
    assert closing.succeed(known, Pass("p1")) is None


@pytest.mark.parametrize("asked_s", [None, 0.0, -1.0, float("nan")])
def test_a_refusal_that_names_no_time_is_tried_after_longer_and_longer(asked_s):
    known, now_s, waits = closed(asked_s), 0.0, []
    for number in range(8):
        waits.append(known.try_at_s - now_s)
        now_s = known.try_at_s
        probe = f"p{number}"
        known = closing.close(probed(known, now_s, probe), now_s, Refused(LIMITED, "aa", asked_s), Pass(probe))
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_key_that_may_not_use_a_model_is_left_alone_like_a_bad_key():
    known, now_s, waits = closed(kind=BAD), 0.0, []
    assert closing.held_back(known, 0.0) == Refusal("key_disabled", 60.0)
    for number in range(5):
        waits.append(known.try_at_s - now_s)
        now_s = known.try_at_s
        probe = f"p{number}"
        known = closing.close(probed(known, now_s, probe), now_s, Refused(BAD, "aa"), Pass(probe))
    assert waits == [60, 120, 240, 480, 900]


def test_a_time_days_ahead_is_shown_and_tried_every_quarter_of_an_hour():
    known = closed(2 * DAY_S)
    assert (known.until_s, known.try_at_s) == (2 * DAY_S, 900.0)
    known = closing.close(probed(known, 900.0), 901.0, Refused(LIMITED, "aa", None), Pass("p1"))
    assert (known.until_s, known.try_at_s) == (2 * DAY_S, 1_801.0), "what was named before stands"
    known = closing.close(probed(known, 1_801.0), 1_802.0, Refused(LIMITED, "aa", 30.0), Pass("p1"))
    assert (known.until_s, known.try_at_s) == (1_832.0, 1_832.0), "what a probe is told is newer"
    assert closing.succeed(probed(known, 1_832.0), Pass("p1")) is None


def test_no_time_is_believed_beyond_a_week():
    assert closed(400 * DAY_S).until_s == 7 * DAY_S


def test_another_secret_begins_anew():
    known = closing.close(closed(600.0), 10.0, Refused(LIMITED, "bb", 5.0))
    assert (known.print, known.strikes, known.until_s) == ("bb", 1, 15.0)


def test_what_was_over_long_ago_is_forgotten():
    known = closed()
    assert closing.admit(known, 659.0, LEASE_S, "p1")[1] == Pass("p1")
    assert closing.admit(known, 660.0, LEASE_S, "p1") == (None, PASS)
    assert closing.close(known, 700.0, Refused(LIMITED, "aa", None)).strikes == 1
