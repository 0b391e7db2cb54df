"""The promises of the first gate's arithmetic."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.settings import KeyLimits, ProviderKey
from routing import limits
from routing.limits import Admitted, Allowance, Refusal, Reservation, Window

START_S = 1_800_000_000.0
GAPS = st.lists(st.sampled_from([0.0, 0.001, 0.01, 0.1, 0.5, 1.0, 3.0, 20.0]), min_size=1, max_size=300)


def allowance(share: float = 1.0, **values: int) -> Allowance:
    return Allowance.of(KeyLimits(**values), share)


def call(tokens: int = 1, name: str = "a", *, urgent: bool = False) -> Reservation:
    return Reservation(name, tokens, slot_ttl_s=150.0, is_urgent=urgent)


def ask(window: Window, at_s: float, rules: Allowance, reservation: Reservation) -> tuple[Window, float | None]:
    """The delay of a refusal, None when let in."""
    window, verdict = limits.admit(window, at_s, rules, reservation)
    return window, verdict.delay_s if isinstance(verdict, Refusal) else None


def rush(rules: Allowance, window: Window | None = None, at_s: float = START_S, tokens: int = 1) -> int:
    """How many of 10 000 calls of one moment are let in."""
    window, count = window or Window(), 0
    for number in range(10_000):
        window, delay_s = ask(window, at_s, rules, call(tokens, name=str(number)))
        if delay_s is not None:
            break
        count += 1
    return count


def times_let_in(rules: Allowance, gaps: list[float], tokens: int = 1) -> list[float]:
    window, now_s, let_in = Window(), START_S, []
    for gap in gaps:
        now_s += gap
        window, delay_s = ask(window, now_s, rules, call(tokens))
        if delay_s is None:
            let_in.append(now_s)
    return let_in


def busiest_minute(times: list[float]) -> int:
    return max(sum(1 for at_s in times if start_s <= at_s < start_s + 59.999) for start_s in times)


@given(limit=st.integers(1, 120), gaps=GAPS)
def test_no_minute_whenever_it_begins_holds_more_requests_than_the_limit(limit, gaps):
    assert busiest_minute(times_let_in(allowance(requests_per_minute=limit), gaps)) <= limit


@pytest.mark.parametrize("limit", [1, 2, 7, 60, 500])
def test_a_saturated_key_carries_at_least_95_percent_and_never_more_than_its_limit(limit):
    rules, window, now_s, let_in = allowance(requests_per_minute=limit), Window(), START_S, []
    while now_s < START_S + 300:
        window, delay_s = ask(window, now_s, rules, call(urgent=True))
        if delay_s is None:
            let_in.append(now_s)
        now_s += delay_s or 0.0
    assert busiest_minute(let_in) <= limit
    assert len(let_in) / 5 >= 0.95 * limit


@pytest.mark.parametrize(("limit", "burst"), [(1, 1), (19, 1), (40, 2), (500, 25)])
def test_a_burst_is_5_percent_of_the_minute_and_never_under_one_request(limit, burst):
    assert rush(allowance(requests_per_minute=limit)) == burst


@given(limit=st.integers(1, 1000), workers=st.integers(2, 50), gaps=GAPS)
def test_a_share_is_passed_by_less_than_one_request(limit, workers, gaps):
    rules = allowance(1 / workers, requests_per_minute=limit)
    times = times_let_in(rules, gaps)
    assert busiest_minute(times) <= math.ceil(limit / workers)


def test_a_share_keeps_one_call_in_flight():
    assert allowance(0.01, concurrency=4).concurrency == 1


@given(used=st.integers(0, 30), limit=st.integers(1, 600), tokens=st.integers(0, 5000))
def test_whoever_comes_back_when_told_is_let_in(used, limit, tokens):
    rules, window = allowance(requests_per_minute=limit, tokens_per_minute=limit * 100), Window()
    for _ in range(used):
        window, _ = ask(window, START_S, rules, call(tokens, urgent=True))
    window, delay_s = ask(window, START_S, rules, call(tokens, urgent=True))
    if delay_s is not None:
        window, delay_s = ask(window, START_S + delay_s, rules, call(tokens, urgent=True))
    assert delay_s is None


def test_those_refused_are_asked_back_one_after_the_other():
    rules, window = allowance(requests_per_minute=60), Window()
    delays = []
    for _ in range(40):
        window, delay_s = ask(window, START_S, rules, call())
        delays.append(delay_s)
    waits = [delay_s for delay_s in delays if delay_s is not None]
    steps = [later - sooner for sooner, later in itertools.pairwise(waits)]
    assert len(waits) == 37
    assert steps == pytest.approx([60 / 58] * 36, abs=1e-6)


def test_no_appointment_is_more_than_a_minute_after_the_first_room():
    rules, window = allowance(requests_per_minute=6), Window()
    for _ in range(200):
        window, delay_s = ask(window, START_S, rules, call())
        assert delay_s is None or delay_s <= 10 + limits.SPREAD_S


def test_an_urgent_call_does_not_queue_behind_those_refused_before_it():
    rules, window = allowance(requests_per_minute=60), Window()
    for _ in range(50):
        window, _ = ask(window, START_S, rules, call())
    _, delay_s = ask(window, START_S, rules, call(urgent=True))
    assert delay_s == pytest.approx(60 / 58, abs=1e-6)


@given(gaps=GAPS, tokens=st.integers(1, 2000))
def test_tokens_pass_their_limit_by_less_than_one_call(gaps, tokens):
    times = times_let_in(allowance(tokens_per_minute=6000), gaps, tokens)
    assert busiest_minute(times) * tokens < 6000 + tokens


def test_a_call_bigger_than_the_whole_minute_goes_through_and_is_paid_off_before_the_next():
    rules = allowance(tokens_per_minute=1000)
    window, delay_s = ask(Window(), START_S, rules, call(5000))
    assert delay_s is None
    _, delay_s = ask(window, START_S + 60, rules, call(1))
    assert delay_s is not None
    assert delay_s > 200


def test_settling_gives_unused_tokens_back():
    rules, big = allowance(tokens_per_minute=1000), call(500)
    window, _ = ask(Window(), START_S, rules, big)
    assert rush(rules, window) == 0
    window = limits.settle(window, START_S, rules, big, limits.correction(big, 10, age_s=1))
    assert rush(rules, window) == 40


def test_tokens_used_over_the_estimate_are_owed():
    rules, small = allowance(tokens_per_minute=1000), call(1)
    window, _ = ask(Window(), START_S, rules, small)
    window = limits.settle(window, START_S + 59, rules, small, limits.correction(small, 500, age_s=59))
    assert rush(rules, window, START_S + 59) == 0


def test_an_estimate_stands_when_the_usage_is_unknown():
    assert limits.correction(call(500), None, age_s=1) == 0


def test_what_was_reserved_over_a_minute_ago_is_not_given_back_twice():
    assert limits.correction(call(500), 10, age_s=60) == 0
    assert limits.correction(call(500), 700, age_s=60) == 200


def test_no_more_calls_are_in_flight_than_the_concurrency_allows():
    rules, window = allowance(concurrency=3), Window()
    for name in "abc":
        window, verdict = limits.admit(window, START_S, rules, call(name=name))
        assert isinstance(verdict, Admitted)
    window, verdict = limits.admit(window, START_S, rules, call(name="d"))
    assert isinstance(verdict, Refusal)
    assert verdict.reason == "concurrency"
    assert verdict.delay_s > 0
    window = limits.settle(window, START_S, rules, call(name="b"), 0.0)
    assert rush(rules, window) == 1


def test_a_slot_that_nobody_gave_back_is_free_when_its_time_is_up():
    rules = allowance(concurrency=1)
    window, _ = ask(Window(), START_S, rules, call())
    assert rush(rules, window, START_S + 149) == 0
    assert rush(rules, window, START_S + 150) == 1


def test_a_call_counts_in_every_window_or_in_none():
    wide, narrow = allowance(requests_per_minute=600), allowance(concurrency=1)
    windows, verdict = limits.admit_all([Window(), Window()], START_S, [wide, narrow], call(name="a"))
    assert (verdict, [window.requests for window in windows], list(windows[1].slots)) == (Admitted(), [1.0, 0.0], ["a"])
    after, verdict = limits.admit_all(windows, START_S, [wide, narrow], call(name="b"))
    assert isinstance(verdict, Refusal)
    assert verdict.reason == "concurrency"
    assert (after[0].requests, list(after[1].slots)) == (1.0, ["a"])
    assert rush(wide, after[0]) == 29, "the refused call left nothing behind"


def test_of_several_windows_the_longest_wait_is_told():
    slow, slower = allowance(requests_per_minute=6), allowance(requests_per_minute=2)
    windows, _ = limits.admit_all([Window(), Window()], START_S, [slow, slower], call())
    after, verdict = limits.admit_all(windows, START_S, [slow, slower], call(urgent=True))
    assert verdict == Refusal("rate_limit", 30.0)
    assert limits.admit(after[0], START_S, slow, call(urgent=True))[1] == Refusal("rate_limit", 10.0)


@pytest.mark.parametrize(
    ("model", "concurrency"),
    [
        ("gpt-4o", 1),
        ("gpt-4o-mini", 2),
        ("gpt-4o-2024-08-06", 3),
        ("gpt-5.4", 4),
        ("o3", 5),
        ("GPT-4o", None),
        ("claude-sonnet-5", None),
        ("odd[1]", 6),
    ],
)
def test_the_pattern_that_says_most_of_a_models_name_counts(model, concurrency):
    patterns = {"gpt-*": 4, "gpt-4o*": 3, "gpt-4o-min?": 2, "gpt-4o": 1, "o[1-9]": 5, "odd[1]": 6}
    key = ProviderKey(model_limits={pattern: KeyLimits(concurrency=most) for pattern, most in patterns.items()})
    assert limits.limits_of(key, model).concurrency == concurrency


def test_a_lost_count_is_taken_up_with_what_was_used_but_with_no_more_than_the_burst():
    rules = allowance(requests_per_minute=200, tokens_per_minute=10_000)
    assert limits.seed_levels(rules, (3, 120)) == (3, 120)
    assert limits.seed_levels(rules, (180, 9_000)) == (10, 500)
    assert limits.seed_levels(rules, (2, 4_000)) == (2, 2_000)
    assert limits.seed_levels(rules, (0, 0)) == (0, 0)
    assert limits.seed_levels(rules, (2, None)) == (2, 500)


def test_a_lost_count_that_nobody_can_tell_counts_as_a_burst_just_spent():
    rules = allowance(requests_per_minute=200, tokens_per_minute=10_000)
    window = limits.seed(Window(), START_S, limits.seed_levels(rules, None))
    assert rush(rules, window) == 0


def test_a_window_that_counts_is_not_seeded_again():
    window, _ = ask(Window(), START_S, allowance(requests_per_minute=60), call())
    assert limits.seed(window, START_S, (3.0, 3.0)) == window


def test_a_clock_set_back_frees_nothing():
    rules = allowance(requests_per_minute=60)
    window = Window()
    for _ in range(3):
        window, _ = ask(window, START_S, rules, call())
    assert rush(rules, window, START_S - 3600) == 0


def test_what_has_no_limit_is_not_counted():
    rules = allowance(concurrency=5)
    window, _ = ask(Window(), START_S, rules, call(1000))
    assert (window.requests, window.tokens) == (0.0, 0.0)


@pytest.mark.parametrize("values", [{"requests_per_minute": 0}, {"tokens_per_minute": -1}, {"concurrency": 0}])
def test_a_limit_that_lets_nothing_through_is_an_error(values):
    with pytest.raises(ValueError, match="leave it out for no limit"):
        allowance(**values)
