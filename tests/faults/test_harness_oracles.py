"""An oracle that finds nothing proves nothing: each must see the fault that it is there for."""

import uuid
from decimal import Decimal

import pytest

from tests.faults.harness_oracles import Call, Row, accepted_twice, lost, misbilled, most_at_once, unbooked

JOB, CALL, OTHER = (uuid.UUID(int=n) for n in (1, 2, 3))
BILL, BOUND = Decimal("0.000021"), Decimal("0.001")
GOOD = Row(CALL, JOB, "accepted", BILL, BOUND)


def test_a_job_that_is_gone_or_has_not_ended_is_lost():
    assert lost({JOB}, {JOB: ("succeeded", CALL)}) == []
    assert lost({JOB}, {}) == ["I1: 1 jobs lost"]
    assert lost({JOB}, {JOB: ("running", None)}) == ["I1: 1 jobs lost"]


@pytest.mark.parametrize(
    ("ledger", "state", "answer"),
    [
        ([GOOD, Row(OTHER, JOB, "accepted", BILL, BOUND)], "succeeded", CALL),
        ([GOOD], "succeeded", OTHER),
        ([GOOD], "failed", None),
        ([], "succeeded", CALL),
    ],
)
def test_an_accepted_attempt_that_is_not_its_jobs_answer_is_seen(ledger: list[Row], state: str, answer: uuid.UUID):
    assert accepted_twice([GOOD], {JOB: ("succeeded", CALL)}) == []
    assert accepted_twice(ledger, {JOB: (state, answer)}) != []


def test_a_call_without_a_row_of_its_own_is_seen():
    assert unbooked([Call(CALL)], {CALL: JOB}) == []
    assert unbooked([Call(OTHER)], {CALL: JOB}) == ["I4: 1 calls without a row"]
    assert unbooked([Call(CALL), Call(CALL)], {CALL: JOB}) == ["I4: 1 calls under the row of another"]


@pytest.mark.parametrize(
    ("outcome", "cost", "bill"),
    [
        (None, None, BILL),  # never closed
        ("accepted", BILL, None),  # no such call
        ("accepted", BILL + Decimal("0.000000000001"), BILL),
        ("accepted", Decimal(0), BILL),
        ("not_sent", Decimal(0), BILL),  # it was sent
        ("unknown", None, BOUND + 1),
    ],
)
def test_a_bill_that_the_ledger_does_not_have_is_seen(outcome: str | None, cost: Decimal | None, bill: Decimal | None):
    calls = [] if bill is None else [Call(CALL, bill)]
    assert misbilled(calls, [Row(CALL, JOB, outcome, cost, BOUND)]) != []


def test_a_bill_that_is_booked_or_flagged_within_its_bound_is_fine():
    assert misbilled([Call(CALL, BILL)], [GOOD, Row(OTHER, JOB, "not_sent", Decimal(0), BOUND)]) == []
    assert misbilled([Call(CALL, BILL)], [Row(CALL, JOB, "unknown", None, BOUND)]) == []
    assert misbilled([], [Row(CALL, JOB, "unknown", None, BOUND)]) == []


def test_calls_that_run_side_by_side_are_counted():
    calls = [Call(JOB, began_s=began, ended_s=began + 2) for began in (0.0, 1.0, 2.0, 2.5, 9.0)]
    assert most_at_once(calls, 0, 10) == 3
    assert most_at_once(calls, 5, 10) == 1
    assert most_at_once([], 0, 10) == 0
