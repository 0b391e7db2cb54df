"""Who can carry a job: each reason for leaving a deployment out, and where an unknown counts as missing."""

import msgspec
import pytest

from jobs.policy import Intent, Policy, Requirements
from routing.catalog import Deployment, Model
from routing.plan import Yard
from tests.routing.yards import (
    ABILITIES,
    CHEAP,
    DEPLOYMENTS,
    IMAGE,
    LARGE,
    PLACES,
    SMALL,
    SMALL_EAST,
    SMALL_WEST,
    ids,
    plan_of,
    reasons,
    request,
    yard,
)

WINDOWS = (
    Model("m/narrow", context_tokens=100),
    Model("m/wide", context_tokens=100_000, max_output_tokens=50),
    Model("m/unknown"),
)
SERVED = tuple(Deployment(model.id, "p", "up", CHEAP) for model in WINDOWS)
ALL_THREE = Policy(name="three", tiers=(("m/narrow", "m/wide", "m/unknown"),), choose="ordered")


def test_a_prompt_that_does_not_fit_the_window_leaves_the_model_out():
    planned = plan_of(ALL_THREE, on=yard(WINDOWS, SERVED), asked=request("x" * 400))
    assert reasons(planned) == {"m/narrow@p": "context_window"}
    assert plan_of(ALL_THREE, on=yard(WINDOWS, SERVED), asked=request("x" * 300)).steps[0].id == "m/narrow@p"


def test_the_output_asked_for_must_fit_too():
    planned = plan_of(ALL_THREE, on=yard(WINDOWS, SERVED), asked=request("hi", max_tokens=95))
    assert reasons(planned) == {"m/narrow@p": "context_window", "m/wide@p": "output_limit"}
    assert ids(planned) == ["m/unknown@p"]


ABLE_POLICY = Policy(name="able", tiers=(("m/plain", "m/rich", "m/unknown"),), choose="ordered")


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (request("hi", tools=[{"type": "function"}]), "no_tools"),
        (request("hi", functions=[{"name": "f"}]), "no_tools"),
        (request(IMAGE), "no_vision"),
    ],
)
def test_an_ability_known_to_be_missing_leaves_a_model_out_and_an_unknown_one_does_not(asked, reason):
    planned = plan_of(ABLE_POLICY, on=ABILITIES, asked=asked)
    assert reasons(planned) == {"m/plain@p": reason}
    assert ids(planned) == ["m/rich@p", "m/unknown@p"]


def test_without_the_need_a_missing_ability_is_no_matter():
    assert len(plan_of(ABLE_POLICY, on=ABILITIES, asked=request("hi", tools=[], response_format=None)).steps) == 3


def sure(**fields: object) -> Policy:
    written = Policy(name="sure", tiers=(("m/plain", "m/rich"), ("m/unknown",)), choose="ordered", min_confidence=0.7)
    return msgspec.structs.replace(written, **fields)


def test_a_model_without_logprobs_is_left_out_where_its_answer_would_be_thrown_away():
    assert reasons(plan_of(sure(), on=ABILITIES)) == {"m/plain@p": "no_logprobs"}


def test_it_may_stay_where_an_unknown_confidence_is_accepted_or_none_is_asked_for():
    assert reasons(plan_of(sure(on_unknown_confidence="accept"), on=ABILITIES)) == {}
    assert reasons(plan_of(sure(min_confidence=None), on=ABILITIES)) == {}


def test_it_may_stay_in_the_last_tier_whose_answer_is_handed_out_as_best_effort():
    last = sure(tiers=(("m/rich",), ("m/plain",)))
    assert ids(plan_of(last, on=ABILITIES)) == ["m/rich@p", "m/plain@p"]
    strict = sure(tiers=(("m/rich",), ("m/plain",)), on_exhausted="fail")
    assert reasons(plan_of(strict, on=ABILITIES)) == {"m/plain@p": "no_logprobs"}


def test_the_last_tier_is_the_last_that_can_carry_the_job():
    planned = plan_of(sure(tiers=(("m/plain",), ("m/gone",))), on=ABILITIES)
    assert ids(planned) == ["m/plain@p"]


def test_a_required_region_or_retention_that_is_unknown_does_not_count_as_met():
    on = yard(deployments=PLACES)
    eu = plan_of(SMALL, Intent(require=Requirements(region="eu")), on)
    assert reasons(eu) == {"qwen/small@us": "region", "qwen/small@nowhere": "region"}
    silent = plan_of(SMALL, Intent(require=Requirements(zero_retention=True)), on)
    assert reasons(silent) == {"qwen/small@us": "zero_retention", "qwen/small@nowhere": "zero_retention"}
    assert len(plan_of(SMALL, Intent(require=Requirements(zero_retention=False)), on).steps) == 3


def test_an_accuracy_that_nobody_measured_does_not_count_as_met():
    planned = plan_of(intent=Intent(min_accuracy=0.9))
    assert set(reasons(planned).values()) == {"accuracy_unknown"}
    assert planned.receipt.binding == "min_accuracy"


def test_a_provider_that_is_off_and_a_name_that_is_not_served_are_left_out():
    policy = Policy(tiers=(("qwen/small", "qwen/gone"), ("openai/large",)))
    planned = plan_of(policy, on=yard(off="east"))
    assert reasons(planned) == {SMALL_EAST: "provider_off", "qwen/gone": "unknown_model"}
    assert ids(planned) == [SMALL_WEST, LARGE]


SANDBOX = Deployment("qwen/small", "sandbox", "s", CHEAP, is_sandbox=True)
MIXED = yard(deployments=(SANDBOX, *DEPLOYMENTS))


def test_auto_takes_no_sandbox_while_a_real_provider_is_on():
    policy = Policy(name="auto", tiers=(("qwen/small",), ("openai/large",)))
    assert reasons(plan_of(policy, on=MIXED)) == {SANDBOX.id: "sandbox_mixed"}
    alone = Yard(MIXED.catalog, frozenset({"sandbox"}))
    assert ids(plan_of(policy, on=alone)) == [SANDBOX.id]
    assert set(reasons(plan_of(policy, on=alone)).values()) == {"provider_off"}


def test_a_policy_that_names_the_sandbox_gets_it():
    assert len(plan_of(SMALL, on=MIXED).steps) == 3
