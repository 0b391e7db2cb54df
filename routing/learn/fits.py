"""Estimates that were learnt: weights for each deployment and kind of text, with a band that 9 of 10 counts fall into.

A ridge regression in two storeys. A deployment's weights are pulled towards the shipped guess as by GUESS_WORTH
observations, those of a kind of text towards the deployment's as by COMMON_WORTH. Everything follows from the sums of
`routing.learn.sums`, so two workers with the same sums say the same.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from operator import mul

import msgspec

from routing.learn.sums import BIN, BINS, ERRORS, MATRIX, PRODUCTS, ROWS, SEEN, SIZE, SQUARES, WEIGHT, total
from routing.token_weights import SPREADS, WEIGHTS
from routing.tokens import InputEstimate, dot

GUESS_WORTH, COMMON_WORTH = 3.0, 1.0
GUESS_SPREAD = 0.25
"""Root mean square error of the shipped guess, in logarithms."""
SPREAD_WORTH = 5.0
"""Observations that the spread above is worth beside a kind's own."""
ERROR_WORTH = 20.0
"""Observations that the normal distribution is worth beside the errors seen."""
CALIBRATED = 500
"""Observations of a deployment after which its band bounds what a call can cost."""
UNCALIBRATED_FACTOR = 1.35
LEAST_SPREAD = 0.005
DRIFT = 1.2
"""The band is so much wider than the errors seen: prompts to come differ more from these than these from each other."""
FAR = 3.5
"""A bound stands this much further off than the band's upper edge."""
LOWEST_SHARE = 0.2
"""Of the unlearnt bound: a learnt one never falls below it, whatever a provider reports."""


class Fit(msgspec.Struct, frozen=True):
    """What was learnt of one deployment."""

    seen: int
    common: tuple[float, ...]
    """Weights for kinds of which nothing was seen."""
    common_spread: float
    weights: Mapping[str, tuple[float, ...]]
    """By kind."""
    spreads: Mapping[str, float]
    low: float
    """Lower edge of the band, in spreads: 1 of 20 errors lies below."""
    high: float

    def expected(self, guess: InputEstimate) -> tuple[float, float]:
        """Tokens for a measured prompt, and the spread of that."""
        measure = guess.measure
        if measure is None:
            return guess.tokens, GUESS_SPREAD
        weights = self.weights.get(measure.kind, self.common)
        found = dot(weights, measure.counts)
        # Where a line fits badly, a prompt of unheard-of make can come out near or below nothing.
        floor = guess.tokens * LOWEST_SHARE
        return max(found, floor, 1.0), self.spreads.get(measure.kind, self.common_spread)

    def estimate(self, guess: InputEstimate) -> InputEstimate:
        """The unlearnt estimate of a prompt, mended."""
        measure = guess.measure
        if measure is None:
            return guess
        tokens, spread = self.expected(guess)
        flat = measure.flat_tokens
        if self.seen >= CALIBRATED:
            far = tokens * math.exp(FAR * self.high * spread)
            bound = flat + math.ceil(max(far, LOWEST_SHARE * (guess.bound_tokens - flat)))
        else:
            bound = max(guess.bound_tokens, flat + math.ceil(tokens * UNCALIBRATED_FACTOR))
        return InputEstimate(
            tokens=min(bound, flat + round(tokens)),
            bound_tokens=bound,
            has_images=guess.has_images,
            high_tokens=min(bound, flat + round(tokens * math.exp(self.high * spread))),
            low_tokens=flat + round(tokens * math.exp(self.low * spread)),
            measure=measure,
        )


def fit(sums: Mapping[str, Sequence[float]]) -> Fit:
    """What a deployment's sums by kind say. About a millisecond for each kind."""
    together = total(sums)
    common = solve(together, WEIGHTS, GUESS_WORTH)
    common_spread = _spread(together, common, GUESS_SPREAD)
    weights = {kind: solve(mine, common, COMMON_WORTH) for kind, mine in sums.items()}
    low, high = edges(together[ERRORS:])
    return Fit(
        seen=round(together[SEEN]),
        common=common,
        common_spread=common_spread,
        weights=weights,
        spreads={kind: _spread(mine, weights[kind], common_spread) for kind, mine in sums.items()},
        low=low,
        high=high,
    )


def solve(sums: Sequence[float], pull: Sequence[float], worth: float) -> tuple[float, ...]:
    """Weights of the least squares, pulled towards `pull` as by `worth` usual observations. By Cholesky's method."""
    ridge = [worth * spread for spread in SPREADS]
    matrix = [[sums[ROWS[min(i, j)] + max(i, j)] for j in range(i + 1)] for i in range(SIZE)]
    right = [sums[PRODUCTS + i] + ridge[i] * pull[i] for i in range(SIZE)]
    lower: list[list[float]] = []
    for i, row in enumerate(matrix):
        mine: list[float] = []
        for j in range(i):
            other = lower[j]
            mine.append((row[j] - sum(map(mul, mine, other))) / other[j])
        # Rounding can eat what the ridge adds; a pivot near nothing says that this count says nothing of its own.
        mine.append(math.sqrt(max(row[i] + ridge[i] - sum(map(mul, mine, mine)), ridge[i] * 1e-6)))
        lower.append(mine)
    half: list[float] = []
    for i, mine in enumerate(lower):
        half.append((right[i] - sum(map(mul, mine, half))) / mine[i])
    found = [0.0] * SIZE
    for i in reversed(range(SIZE)):
        rest = sum(lower[k][i] * found[k] for k in range(i + 1, SIZE))
        found[i] = (half[i] - rest) / lower[i][i]
    return tuple(found)


def _spread(sums: Sequence[float], weights: Sequence[float], usual: float) -> float:
    """Root mean square of the relative errors that these weights leave, with the usual one as SPREAD_WORTH of them."""
    crossed = sum(map(mul, weights, sums[PRODUCTS:MATRIX]))
    squared = 0.0
    for i, weight in enumerate(weights):
        row = sums[ROWS[i] + i : ROWS[i] + SIZE]
        squared += weight * (2 * sum(map(mul, row, weights[i:])) - row[0] * weight)
    left = max(0.0, sums[SQUARES] - 2 * crossed + squared)
    return max(LEAST_SPREAD, math.sqrt((left + SPREAD_WORTH * usual**2) / (sums[WEIGHT] + SPREAD_WORTH)))


def _normal(error: float) -> float:
    return 0.5 * (1 + math.erf(error / math.sqrt(2)))


NORMAL = tuple(_normal((place - BINS / 2 + 1) * BIN) - _normal((place - BINS / 2) * BIN) for place in range(BINS))


def edges(errors: Sequence[float]) -> tuple[float, float]:
    """Where 1 of 20 errors lies below, and 1 of 20 above, in spreads."""
    heights = [seen + ERROR_WORTH * share for seen, share in zip(errors, NORMAL, strict=True)]
    levels = list(accumulate(heights, initial=0.0))
    return min(0.0, DRIFT * _quantile(levels, 0.05)), max(0.0, DRIFT * _quantile(levels, 0.95))


def _quantile(levels: Sequence[float], share: float) -> float:
    wanted = share * levels[-1]
    place = next(place for place in range(BINS) if levels[place + 1] >= wanted)
    height = levels[place + 1] - levels[place]
    return (place - BINS / 2 + (wanted - levels[place]) / height) * BIN


NOTHING_LEARNT = fit({})
"""Of a deployment of which no usage was ever reported: the shipped guess."""
