"""What is kept of reported token counts: sums that add up, so that workers can learn together.

For each deployment and kind of text the normal equations of a regression of tokens on the counts of `routing.tokens`,
and a histogram of how far the estimates were off. Prompts and their order are not kept.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate

import msgspec

from routing.tokens import COUNTS

LAYOUT = 1
"""Of the list of sums and the meaning of its counts; sums of another layout are begun anew."""
SIZE = len(COUNTS)
SEEN, WEIGHT, SQUARES, PRODUCTS = 0, 1, 2, 3
"""Observations ever; their weight after decay; sum of y*y; sums of x*y, one for each count."""
MATRIX = PRODUCTS + SIZE
"""Sums of x*x', the upper half row by row."""
ROWS = tuple(start - i for i, start in enumerate(accumulate(range(SIZE, 1, -1), initial=MATRIX)))
"""Where entry (i, 0) of the matrix would stand: (i, j) with j >= i stands at ROWS[i] + j."""
ERRORS = MATRIX + SIZE * (SIZE + 1) // 2
"""The histogram of errors, in spreads."""
BIN, BINS = 0.25, 64
"""Width of a bin, and how many: from -8 to 8, what is further out in the last ones."""
LENGTH = ERRORS + BINS

MEMORY = 400.0
"""Observations of a deployment and kind after which an old one counts a third: so a new version is followed."""
ERROR_MEMORY = 300.0
"""The same for errors, which were made by older estimates."""
CLIP = 0.5
"""Errors above this (in logarithms: a factor 1.65) pull no harder than one of it (Huber, 1964)."""
MOST_TOKENS_PER_BYTE, OVERHEAD_TOKENS = 4, 50_000
"""A report above this much a byte and a hidden prompt is no count."""


class Observation(msgspec.Struct, frozen=True):
    """A prompt's counts, what was billed for it, and what had been expected."""

    counts: tuple[float, ...]
    tokens: int
    expected: float
    """Tokens, by the estimate of the moment."""
    spread: float
    """Of that estimate: its errors' root mean square, in logarithms."""


def is_plausible(tokens: int, text_bytes: float) -> bool:
    """Whether a provider can mean that count for a prompt of so many bytes."""
    return 0 < tokens <= MOST_TOKENS_PER_BYTE * text_bytes + OVERHEAD_TOKENS


def nothing() -> list[float]:
    """Sums of no observation."""
    return [0.0] * LENGTH


def add(sums: list[float], seen: Observation) -> None:
    """Add one. Counts and tokens are taken as shares of the prompt's size, so that long prompts count no more.

    About 30 microseconds for a prompt in one script.
    """
    expected = max(seen.expected, 1.0)
    size = max(seen.tokens, expected)
    y = seen.tokens / size
    error = math.log(seen.tokens / expected)
    weight = min(1.0, CLIP / abs(error)) if error else 1.0
    sums[SEEN] += 1
    sums[WEIGHT] += weight
    sums[SQUARES] += weight * y * y
    there = [(i, count / size) for i, count in enumerate(seen.counts) if count]
    for place, (i, x) in enumerate(there):
        weighed, row = weight * x, ROWS[i]
        sums[PRODUCTS + i] += weighed * y
        for j, other in there[place:]:
            sums[row + j] += weighed * other
    sums[ERRORS + bin_of(error / seen.spread)] += 1


def bin_of(error: float) -> int:
    """The bin of an error, in spreads."""
    return min(BINS - 1, max(0, math.floor(error / BIN) + BINS // 2))


def merged(old: Sequence[float], new: Sequence[float]) -> list[float]:
    """Old sums with new ones laid over them: what is old fades by as much as is new.

    `jobs.store.lessons` does the same in SQL.
    """
    keep, keep_errors = (max(0.0, 1 - new[SEEN] / memory) for memory in (MEMORY, ERROR_MEMORY))
    kept = [old[SEEN], *(keep * value for value in old[1:ERRORS]), *(keep_errors * value for value in old[ERRORS:])]
    return [one + other for one, other in zip(kept, new, strict=True)]


def total(sums: Mapping[str, Sequence[float]]) -> list[float]:
    """Of all kinds together."""
    return [sum(column) for column in zip(*sums.values(), strict=True)] if sums else nothing()
