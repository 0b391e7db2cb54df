"""A request that one provider refuses for no known reason is shown to one candidate of another kind, and no more."""

import msgspec
import pytest

from jobs.failures import Failure, FailureKind
from jobs.job import PastAttempt
from jobs.policy import Intent, Policy
from jobs.settings import Provider
from jobs.states import Outcome
from routing.catalog import Deployment, Model
from routing.limits import Refusal
from routing.plan import Plan
from routing.standing import stand
from routing.verdict import (
    Accept,
    Answered,
    Began,
    Broke,
    Escalate,
    FailOver,
    GiveUp,
    Held,
    Retry,
    Start,
    Verdict,
    judge,
)
from tests.routing.verdicts import HALF, broke, changed, failure, given_up, kind_of, step
from tests.routing.yards import CHEAP, past, plan_of, rejected, yard

BAD = FailureKind.BAD_REQUEST
SPOKEN = {
    "plain": Provider(dialect="openai", base_url="https://plain.test"),
    "twin": Provider(dialect="openai", base_url="https://twin.test"),
    "groq": Provider(dialect="openai", base_url="https://groq.test"),
    "claude": Provider(dialect="anthropic", base_url="https://claude.test"),
}
PLAIN, TWIN, ACCENT, WIRE, MAKER = "m/x@plain", "m/x@twin", "m/x@groq", "m/x@claude", "other/y@plain"
ALL = (PLAIN, TWIN, ACCENT, WIRE, MAKER)


def planned(*names: str, **fields: object) -> Plan:
    """A policy of one tier; `plain` and `twin` speak alike, `groq` has an accent, `claude` another wire."""
    policy = Policy(name="p", tiers=(names,), choose="ordered", attempts_per_deployment=2, max_attempts=8)
    models = [Model("m/x"), Model("other/y")]
    places = [name.split("@") for name in ALL]
    deployments = [Deployment(model, provider, "up", CHEAP) for model, provider in places]
    on = msgspec.structs.replace(yard(models, deployments), providers=SPOKEN)
    return plan_of(changed(policy, **fields), on=on)


def ruled(plan: Plan, event: str | Answered | Held, *attempts: PastAttempt, kind: FailureKind = BAD) -> Verdict:
    """What follows on a failure at a deployment, or another event."""
    happened = broke(step(event, plan), kind) if isinstance(event, str) else event
    return judge(plan, attempts, happened, HALF)


@pytest.mark.parametrize("other", [ACCENT, WIRE, MAKER])
def test_one_refusal_asks_a_candidate_of_another_accent_wire_or_maker(other: str):
    plan = planned(PLAIN, TWIN, other)
    assert ruled(plan, PLAIN) == FailOver(step(other, plan))
    assert judge(plan, (past(PLAIN, failure=BAD),), Began(), HALF) == Start(step(other, plan)), "after a crash, too"


def test_the_next_tier_is_asked_where_this_one_has_no_other():
    plan = planned(PLAIN, tiers=((PLAIN, TWIN), (WIRE,)))
    assert ruled(plan, PLAIN) == Escalate(step(WIRE, plan))


def test_without_a_candidate_of_another_kind_the_refusal_stands():
    plan = planned(PLAIN, TWIN)
    assert ruled(plan, PLAIN) == GiveUp(failure(BAD))


def test_the_second_refusal_ends_the_job_and_names_the_first():
    plan = planned(PLAIN, ACCENT, WIRE, MAKER)
    verdict = ruled(plan, ACCENT, past(PLAIN, failure=BAD))
    assert given_up(verdict) == Failure(BAD, f"it broke {PLAIN} had refused it, too.")
    assert stand(plan, (past(PLAIN, failure=BAD), past(ACCENT, failure=BAD))).open == ()


def test_who_refused_is_not_asked_again_and_neither_is_its_twin():
    plan = planned(PLAIN, TWIN, WIRE)
    assert [one.id for one in stand(plan, (past(PLAIN, failure=BAD),)).open] == [WIRE]


def test_an_answer_of_the_second_is_taken():
    plan = planned(PLAIN, WIRE)
    assert ruled(plan, Answered(step(WIRE, plan), None, "stop"), past(PLAIN, failure=BAD)) == Accept()


@pytest.mark.parametrize(
    "kind",
    [
        FailureKind.TRANSIENT,
        FailureKind.RATE_LIMITED,
        FailureKind.UNREACHABLE,
        FailureKind.BAD_KEY,
        FailureKind.UNSUPPORTED,
        FailureKind.CONTEXT_TOO_LONG,
    ],
)
def test_a_second_that_cannot_say_leaves_the_refusal_without_a_wait(kind: FailureKind):
    plan = planned(PLAIN, WIRE)
    verdict = ruled(plan, WIRE, past(PLAIN, failure=BAD), kind=kind)
    assert kind_of(verdict) is BAD
    assert PLAIN in given_up(verdict).message


def test_a_second_that_cannot_say_is_followed_by_a_third_of_another_kind():
    plan = planned(PLAIN, WIRE, MAKER)
    assert ruled(plan, WIRE, past(PLAIN, failure=BAD), kind=FailureKind.TRANSIENT) == FailOver(step(MAKER, plan))


def test_a_second_that_the_gate_holds_back_is_not_waited_for():
    plan = planned(PLAIN, WIRE)
    held = Held({WIRE: Refusal("breaker", 30.0)})
    assert kind_of(ruled(plan, held, past(PLAIN, failure=BAD))) is BAD


@pytest.mark.parametrize("kind", [FailureKind.EMPTY_ANSWER, FailureKind.INVALID_ANSWER])
def test_a_second_that_took_the_request_ends_the_doubt(kind: FailureKind):
    plan = planned(PLAIN, WIRE)
    assert ruled(plan, WIRE, past(PLAIN, failure=BAD), kind=kind) == Retry(step(WIRE, plan), 0.0)


def test_an_earlier_answer_goes_before_a_refusal():
    plan = planned(PLAIN, tiers=((PLAIN,), (MAKER,)), min_confidence=0.7)
    answer = rejected(PLAIN)
    verdict = ruled(plan, MAKER, answer)
    assert isinstance(verdict, Accept)
    assert verdict.attempt == answer.id


def test_money_for_one_call_only_leaves_the_refusal():
    plan = planned(PLAIN, WIRE)
    bound_usd = step(PLAIN, plan).bound_usd
    assert bound_usd is not None
    plan = msgspec.structs.replace(plan, intent=Intent(max_cost_usd=bound_usd))
    spent = Broke(step(PLAIN, plan), failure(BAD), cost_usd=bound_usd)
    assert judge(plan, (), spent, HALF) == GiveUp(failure(BAD))


def test_a_filtered_prompt_is_shown_to_nobody_else():
    plan = planned(*ALL)
    assert ruled(plan, PLAIN, kind=FailureKind.CONTENT_FILTER) == GiveUp(failure(FailureKind.CONTENT_FILTER))


def test_what_ends_the_job_ends_it_in_doubt_too():
    plan = planned(PLAIN, WIRE)
    verdict = ruled(plan, WIRE, past(PLAIN, failure=BAD), kind=FailureKind.WORKER_DEATHS)
    assert kind_of(verdict) is FailureKind.WORKER_DEATHS


def test_a_provider_that_nothing_is_known_of_is_like_another_such():
    plan = msgspec.structs.replace(planned(PLAIN, WIRE), providers={})
    assert ruled(plan, PLAIN) == GiveUp(failure(BAD))


@pytest.mark.parametrize("kind", [FailureKind.MODEL_DENIED, FailureKind.OVER_LIMIT])
def test_a_limit_or_a_model_denied_bars_one_deployment_for_good(kind: FailureKind):
    plan = planned(PLAIN, TWIN)
    assert ruled(plan, PLAIN, kind=kind) == FailOver(step(TWIN, plan))
    assert kind_of(ruled(plan, TWIN, past(PLAIN, failure=kind), kind=kind)) is kind
    assert kind_of(ruled(planned(PLAIN), PLAIN, kind=kind)) is kind, "and no call is made again"


def test_a_malformed_reply_is_no_reason_to_end_a_job():
    plan = planned(PLAIN, TWIN)
    assert ruled(plan, PLAIN, kind=FailureKind.MALFORMED) == FailOver(step(TWIN, plan))
    assert past(PLAIN, Outcome.FAILED, FailureKind.MALFORMED).counts
