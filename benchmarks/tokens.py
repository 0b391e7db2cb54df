"""How near token estimates come: before anything is learnt and after 500 observations, against a real tokenizer.

The tokenizer is Mistral's tekken (131,072 tokens), which the shipped guess has never seen. The estimates learn from
prompts of the even pieces of each text and are judged on those of the odd ones.
"""

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

import msgspec

from benchmarks.bars import Bar
from benchmarks.texts import Sample, Texts
from jobs.chat import ChatRequest
from routing.learn.fits import NOTHING_LEARNT, Fit, fit
from routing.learn.sums import Observation, add, merged, nothing
from routing.tokens import InputEstimate, estimate

Tokenizer = Callable[[str], int]
OBSERVATIONS, JUDGED = 500, 1_000
BATCH = 20
"""Observations between two fits: what a worker sees in some seconds."""
TEMPLATE_TOKENS = 4
"""What a chat template adds to a message."""
MOST_ERROR, LEAST_COVERED, MOST_COVERED = 0.03, 0.85, 0.95
MOST_US = 40.0
"""For 1,000 bytes of English, and a fit's mending."""
KILOBYTE = 1_000
ROUNDS, TIMES = 9, 500


class Judged(msgspec.Struct, frozen=True):
    """How estimates did on one source of text, or on all. Shares of the true count."""

    source: str
    before: float
    """Median error of the shipped guess."""
    after: float
    """Median error after OBSERVATIONS."""
    covered: float
    """Share of counts within the band that is to hold nine of ten."""
    above_bound: float
    us: float
    """CPU of an estimate, in microseconds for 1,000 bytes; 0: not measured."""


def tekken() -> Tokenizer | None:
    """Counts a text's tokens; None where `mistral-common` (requirements/test.in) is not installed."""
    if find_spec("mistral_common") is None:
        return None
    import mistral_common  # noqa: PLC0415 -- a second, and only the bench and one test need it
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer  # noqa: PLC0415

    tokenizer = Tekkenizer.from_file(Path(str(mistral_common.__file__)).parent / "data/tekken_240718.json")
    return lambda text: len(tokenizer.encode(text, bos=False, eos=False))


def asked(text: str) -> ChatRequest:
    """A request with that prompt."""
    return ChatRequest(b"", {"messages": [{"role": "user", "content": text}]})


def learnt(prompts: Iterable[tuple[InputEstimate, int]]) -> Fit:
    """What a deployment's estimates come to when prompts are seen with their true counts, some at a time."""
    sums: dict[str, list[float]] = {}
    new: dict[str, list[float]] = {}
    found = NOTHING_LEARNT
    for number, (guess, tokens) in enumerate(prompts, 1):
        assert guess.measure is not None
        add(
            new.setdefault(guess.measure.kind, nothing()),
            Observation(guess.measure.counts, tokens, *found.expected(guess)),
        )
        if number % BATCH == 0:
            for kind, some in new.items():
                sums[kind] = merged(sums.get(kind, nothing()), some)
            new.clear()
            found = fit(sums)
    return found


def counted(samples: Iterable[Sample], tokenizer: Tokenizer) -> list[tuple[InputEstimate, int]]:
    """Each prompt's shipped guess and its true count."""
    return [(estimate(asked(text)), tokenizer(text) + TEMPLATE_TOKENS) for _, text in samples]


def judge(source: str, found: Fit, prompts: Sequence[tuple[InputEstimate, int]], us: float = 0.0) -> Judged:
    """How a fit does on prompts that it has not learnt from."""
    mended = [(found.estimate(guess), tokens) for guess, tokens in prompts]
    return Judged(
        source=source,
        before=_error(prompts),
        after=_error(mended),
        covered=statistics.mean(each.low_tokens <= tokens <= each.high_tokens for each, tokens in mended),
        above_bound=statistics.mean(tokens > each.bound_tokens for each, tokens in mended),
        us=us,
    )


def _error(prompts: Iterable[tuple[InputEstimate, int]]) -> float:
    return statistics.median(abs(each.tokens - tokens) / tokens for each, tokens in prompts)


def table(tokenizer: Tokenizer) -> list[Judged]:
    """A row a source, and one of all in the first place."""
    texts = Texts()
    found = learnt(counted(texts.draw(OBSERVATIONS, half=0, seed=1), tokenizer))
    samples = texts.draw(JUDGED, half=1, seed=2)
    prompts = counted(samples, tokenizer)
    rows = [judge("all", found, prompts)]
    for source in sorted({sample.source for sample in samples}):
        mine = [(sample.text, prompt) for sample, prompt in zip(samples, prompts, strict=True) if sample[0] == source]
        rows.append(judge(source, found, [prompt for _, prompt in mine], _us("".join(text for text, _ in mine), found)))
    return rows


def _us(text: str, found: Fit) -> float:
    """CPU of estimating 1,000 bytes of a text, measuring and mending, in microseconds; the median of the rounds."""
    request = asked((text * 9).encode()[:KILOBYTE].decode("utf-8", "ignore"))
    gc.collect()
    rounds = []
    for _ in range(ROUNDS):
        began_s = time.process_time()
        for _ in range(TIMES):
            found.estimate(estimate(request))
        rounds.append((time.process_time() - began_s) / TIMES * 1e6)
    return statistics.median(rounds)


def bars(rows: Sequence[Judged]) -> list[Bar]:
    """What is promised of all texts together, and what an estimate may cost; none where nothing was measured."""
    if not rows:
        return []
    every = rows[0]
    us = next(row.us for row in rows if row.source == "english")
    return [
        Bar(
            f"input tokens, median error, {OBSERVATIONS} seen",
            f"{every.after:.1%} ({every.before:.1%} before)",
            f"at most {MOST_ERROR:.0%}",
            every.after <= MOST_ERROR,
        ),
        Bar(
            "input tokens, counts in the p90 band",
            f"{every.covered:.1%}",
            f"{LEAST_COVERED:.0%} to {MOST_COVERED:.0%}",
            LEAST_COVERED <= every.covered <= MOST_COVERED,
        ),
        Bar("an estimate of 1,000 bytes of English", f"{us:.0f} us", f"at most {MOST_US:.0f} us", us <= MOST_US),
    ]


def lines(rows: Sequence[Judged]) -> list[str]:
    """The table as text."""
    head = f"{'text':<12}{'guess':>8}{'learnt':>8}{'in band':>9}{'above bound':>13}{'us/1000 B':>11}"
    return [
        f"token estimates against tekken: median error before and after {OBSERVATIONS} observations",
        head,
        *(
            f"{row.source:<12}{row.before:>8.1%}{row.after:>8.1%}{row.covered:>9.1%}{row.above_bound:>13.1%}"
            f"{row.us or '':>11{'.0f' if row.us else ''}}"
            for row in rows
        ),
    ]
