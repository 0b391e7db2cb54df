"""How long a call waits for a budget, and when a job need not be taken in at all."""

import uuid
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from routing.allowance import AT_ONCE_S, IN_FLIGHT_S, LOOK_AGAIN_S, Ceiling, has_room, wait_for

ONE, TWO = uuid.UUID(int=1), uuid.UUID(int=2)
BOUND = Decimal("0.02")
USD = st.integers(0, 500).map(lambda cents: Decimal(cents) / 100)
CEILINGS = st.lists(
    st.builds(Ceiling, st.just(ONE), USD, USD, USD, st.none() | st.floats(1.0, 86_400.0)), min_size=1, max_size=3
)


def ceiling(settled: str, reserved: str = "0", ends_in_s: float | None = None, name: uuid.UUID = ONE) -> Ceiling:
    return Ceiling(name, Decimal(1), Decimal(settled), Decimal(reserved), ends_in_s)


def test_open_calls_in_the_way_close_in_seconds():
    wait = wait_for([ceiling("0.5", "0.5")], BOUND)
    assert (wait.refusal.reason, wait.refusal.delay_s, wait.exhausted) == ("budget", IN_FLIGHT_S, ())


def test_what_is_spent_is_there_again_when_the_period_ends():
    wait = wait_for([ceiling("0.99", ends_in_s=7_200.0)], BOUND)
    assert (wait.refusal.delay_s, wait.exhausted) == (7_200.0, (ONE,))


def test_what_is_spent_for_good_is_looked_at_again_now_and_then():
    assert wait_for([ceiling("0.99")], BOUND).refusal.delay_s == LOOK_AGAIN_S


def test_the_last_of_the_budgets_in_the_way_counts():
    both = [ceiling("0.5", "0.5"), ceiling("0.99", ends_in_s=50.0, name=TWO), ceiling("0")]
    wait = wait_for(both, BOUND)
    assert (wait.refusal.delay_s, wait.exhausted) == (50.0, (TWO,))


def test_a_call_of_unknown_price_waits_for_somebody_to_name_one():
    wait = wait_for([ceiling("0")], None)
    assert (wait.refusal.delay_s, wait.exhausted) == (LOOK_AGAIN_S, ())


def test_room_that_came_in_the_meantime_is_asked_for_at_once():
    assert wait_for([ceiling("0.1")], BOUND).refusal.delay_s == AT_ONCE_S


def test_a_job_is_taken_in_while_any_of_its_calls_may_fit_before_its_deadline():
    full = ceiling("0.99", ends_in_s=60.0)
    assert not has_room([full], [BOUND], 30.0)
    assert has_room([full], [BOUND], 90.0)
    assert not has_room([full], [Decimal(2)], 90.0)
    assert has_room([full], [None, BOUND, Decimal("0.01")], 30.0)
    assert has_room([ceiling("0.5", "0.5")], [BOUND], 30.0)
    assert not has_room([ceiling("0.5"), ceiling("1")], [BOUND], 30.0)
    assert not has_room([ceiling("0")], [None], 30.0)


@given(CEILINGS, USD)
def test_room_is_what_no_budget_lacks_for_good(ceilings: list[Ceiling], bound: Decimal):
    wait = wait_for(ceilings, bound)
    if wait.refusal.delay_s <= IN_FLIGHT_S:
        assert has_room(ceilings, [bound], 0.0) == (not wait.exhausted)
