"""The bar of token estimates, on real text in 20 languages and code against a real tokenizer; and what may go wrong."""

import random
from typing import Any

import pytest

from benchmarks.texts import Texts
from benchmarks.tokens import (
    JUDGED,
    LEAST_COVERED,
    MOST_COVERED,
    MOST_ERROR,
    OBSERVATIONS,
    asked,
    counted,
    judge,
    learnt,
    tekken,
)
from jobs.chat import ChatRequest
from routing.learn.fits import CALIBRATED, LOWEST_SHARE, NOTHING_LEARNT, UNCALIBRATED_FACTOR, Fit, fit
from routing.learn.sums import Observation, add, merged, nothing
from routing.tokens import InputEstimate, estimate

Prompts = list[tuple[InputEstimate, int]]


@pytest.fixture(scope="module")
def real() -> tuple[Prompts, Prompts]:
    """Prompts to learn from, and others to be judged by; the second never has a piece of the first."""
    tokenizer = tekken()
    assert tokenizer is not None
    texts = Texts()
    seen = counted(texts.draw(OBSERVATIONS, half=0, seed=1), tokenizer)
    return seen, counted(texts.draw(JUDGED, half=1, seed=2), tokenizer)


@pytest.fixture(scope="module")
def found(real: tuple[Prompts, Prompts]) -> Fit:
    return learnt(real[0])


def mended_by(found: Fit, prompts: Prompts) -> list[tuple[InputEstimate, InputEstimate]]:
    return [(guess, found.estimate(guess)) for guess, _ in prompts]


def test_after_500_observations_the_median_error_is_3_percent_and_the_band_holds_9_of_10(real, found):
    judged = judge("all", found, real[1])
    assert judged.after <= MOST_ERROR < judged.before
    assert LEAST_COVERED <= judged.covered <= MOST_COVERED


def test_the_learnt_bound_is_hardly_ever_passed_and_far_below_the_guessed_one(real, found):
    assert judge("all", found, real[1]).above_bound <= 0.01
    both = mended_by(found, real[1])
    assert sum(mended.bound_tokens for _, mended in both) < 0.7 * sum(guess.bound_tokens for guess, _ in both)


def test_before_500_observations_the_bound_is_no_lower_than_the_guessed_one(real):
    for guess, mended in mended_by(learnt(real[0][: CALIBRATED - 20]), real[1]):
        assert mended.bound_tokens >= guess.bound_tokens
        assert mended.bound_tokens >= UNCALIBRATED_FACTOR * mended.tokens - 1


@pytest.mark.parametrize("nonsense", [1, 10_000])
def test_a_share_of_nonsense_among_the_reports_does_little(real, nonsense):
    chance = random.Random(3)
    poisoned = [(guess, nonsense if chance.random() < 0.05 else tokens) for guess, tokens in real[0]]
    judged = judge("all", learnt(poisoned), real[1])
    assert judged.after <= 0.06
    assert judged.covered >= LEAST_COVERED


def test_nothing_but_nonsense_never_gets_the_bound_below_its_floor(real):
    for guess, mended in mended_by(learnt([(guess, 1) for guess, _ in real[0]]), real[1]):
        assert mended.bound_tokens >= LOWEST_SHARE * guess.bound_tokens
        assert 0 < mended.tokens <= mended.bound_tokens


def test_a_new_version_that_counts_otherwise_is_followed(real):
    """One kind of text, as a queue has it: 1,000 observations of it are twice and a half the memory."""
    before, now = (
        [(guess, round(tokens * factor)) for guess, tokens in of if guess.measure.kind == "english"]
        for of, factor in ((real[0], 1.0), (real[1], 1.4))
    )
    dearer = [(guess, round(tokens * 1.4)) for guess, tokens in before]
    changed = learnt(before * (1_000 // len(before)) + dearer * (1_000 // len(before)))
    assert judge("all", changed, now).after < 0.06


def test_what_a_provider_hides_in_front_of_tools_is_learnt():
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]

    def prompt(text: str, **more: Any) -> InputEstimate:
        return estimate(ChatRequest(b"", {**asked(text).body, **more}))

    seen = []
    for sample in Texts().draw(300, half=0, seed=4):
        plain, armed = prompt(sample.text), prompt(sample.text, tools=tools)
        seen += [(plain, plain.tokens), (armed, armed.tokens + 500)]
    wanted = prompt("What is the weather in the town of Bonn and in the towns around it?", tools=tools)
    assert learnt(seen).estimate(wanted).tokens == pytest.approx(wanted.tokens + 500, rel=0.1)


def test_nothing_learnt_is_the_shipped_guess(real):
    assert NOTHING_LEARNT.seen == 0
    for guess, _ in real[1][:50]:
        assert NOTHING_LEARNT.estimate(guess).tokens == pytest.approx(guess.tokens, abs=2)


def test_a_guess_without_a_measure_stays_as_it_is():
    guess = InputEstimate(10, 20, has_images=False)
    assert NOTHING_LEARNT.estimate(guess) == guess
    assert NOTHING_LEARNT.expected(guess)[0] == 10


def test_two_workers_learn_the_same_in_either_order(real):
    halves = [summed(real[0][at:100:2]) for at in (0, 1)]
    one, other = (
        {kind: merged(first.get(kind, nothing()), then.get(kind, nothing())) for kind in {*first, *then}}
        for first, then in (halves, halves[::-1])
    )
    ours, theirs = fit(one), fit(other)
    for guess, _ in real[1][:100]:
        assert ours.estimate(guess).tokens == pytest.approx(theirs.estimate(guess).tokens, rel=0.02, abs=2)


def summed(prompts: Prompts) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for guess, tokens in prompts:
        assert guess.measure is not None
        seen = Observation(guess.measure.counts, tokens, *NOTHING_LEARNT.expected(guess))
        add(found.setdefault(guess.measure.kind, nothing()), seen)
    return found
