"""A defect of ours costs one attempt, booked and logged; the job asks elsewhere."""

import logging
from collections.abc import Iterable
from typing import Any, NoReturn

import msgspec
import pytest

from jobs import meters
from routing.dialects.base import Delta
from routing.dialects.openai import OpenAIDialect
from tests.workers.lab import COST_USD, POLICY, Lab, answers
from tests.workers.test_checked_answers import GOOD
from tests.workers.test_checked_answers import REQUEST as AS_JSON
from tests.workers.test_streams import ASKING, STOP, YES, streaming, under

SMALL_A, SMALL_B, LARGE = "maker/small@a", "maker/small@b", "maker/large@c"
DEFECTS = [RecursionError("maximum depth"), KeyError("choices"), AssertionError(), OverflowError("1e400")]


def breaks(error: Exception) -> Any:
    def broken(*_: object, **__: object) -> NoReturn:
        raise error

    return broken


class Once:
    """Breaks at the first call and does its work afterwards."""

    def __init__(self, real: Any, error: Exception = DEFECTS[0]) -> None:
        self._real = real
        self._error: Exception | None = error

    def __call__(self, *given: Any, **named: Any) -> Any:
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._real(*given, **named)


def counted(deployment: str) -> float:
    """Calls of a deployment that a defect ended."""
    labels = {"deployment": deployment, "failure": "internal"}
    return sum(
        sample.value
        for metric in meters.CALLS.collect()
        for sample in metric.samples
        if labels.items() <= sample.labels.items()
    )


@pytest.mark.parametrize("error", DEFECTS, ids=lambda error: type(error).__name__)
async def test_a_defect_while_an_answer_is_read_fails_over(lab: Lab, monkeypatch, caplog, error: Exception):
    monkeypatch.setattr(OpenAIDialect, "decode", Once(OpenAIDialect().decode, error))
    before = counted(SMALL_A)
    lab.script(a=[answers()], b=[answers()])
    job = await lab.claimed()
    with caplog.at_level(logging.ERROR):
        assert await lab.carry(job) == "succeeded"
    assert await lab.outcomes(job) == [(SMALL_A, "failed"), (SMALL_B, "accepted")]
    broken, _ = await lab.attempts(job)
    assert (broken.failure, broken.cost_usd, broken.cost_basis) == ("internal", None, "estimate")
    assert broken.cost_bound_usd > 0
    assert counted(SMALL_A) == before + 1
    (record,) = [record for record in caplog.records if record.name == "workers.attempt"]
    assert record.exc_info is not None
    assert record.exc_info[1] is error


@pytest.mark.parametrize("name", ["fitted", "carry", "emulation_of", "expected"])
async def test_a_defect_before_any_byte_leaves_costs_nothing(lab: Lab, monkeypatch, name: str):
    real = getattr(__import__("workers.attempt", fromlist=[name]), name)
    monkeypatch.setattr(f"workers.attempt.{name}", Once(real))
    lab.script(b=[answers()])
    job = await lab.claimed()
    assert await lab.carry(job) == "succeeded"
    assert await lab.outcomes(job) == [(SMALL_A, "not_sent"), (SMALL_B, "accepted")]
    broken, _ = await lab.attempts(job)
    assert (broken.failure, broken.cost_usd) == ("internal", 0)


async def test_a_defect_in_the_check_keeps_the_true_bill_and_the_answer(lab: Lab, monkeypatch):
    monkeypatch.setattr("workers.attempt.check_answer", breaks(RecursionError()))
    lab.script(a=[GOOD], b=[GOOD], c=[GOOD])
    job = await lab.claimed(request_raw=AS_JSON)
    assert await lab.carry(job) == "failed"
    rows = await lab.attempts(job)
    assert [(row.deployment, row.outcome, row.failure) for row in rows] == [
        (SMALL_A, "failed", "internal"),
        (SMALL_B, "failed", "internal"),
        (LARGE, "failed", "internal"),
    ]
    assert {(row.cost_usd, row.cost_basis) for row in rows} == {(COST_USD, "usage")}
    error = (await lab.row(job)).error
    assert error["kind"] == "internal"
    assert "a defect of Tokenyard" in error["message"]


class BrokenStream:
    """Breaks where it is told to."""

    def __init__(self, place: str) -> None:
        self._place = place

    def feed(self, data: bytes) -> Iterable[Delta]:
        if self._place == "feed":
            raise KeyError("delta")
        return []

    def end(self) -> Iterable[Delta]:
        if self._place == "end":
            raise KeyError("finish_reason")
        return []

    def finish(self) -> NoReturn:
        raise KeyError("choices")


@pytest.mark.parametrize("place", ["feed", "end", "finish"])
async def test_a_defect_while_a_stream_is_read_fails_over(lab: Lab, monkeypatch, place: str):
    real = OpenAIDialect().decode_stream
    made: list[object] = []

    def decode_stream(_self: OpenAIDialect) -> object:
        made.append(BrokenStream(place) if not made else real())
        return made[-1]

    monkeypatch.setattr(OpenAIDialect, "decode_stream", decode_stream)
    lab.script(a=[streaming(YES, STOP)], b=[streaming(YES, STOP)])
    under(lab, msgspec.structs.replace(POLICY, min_confidence=None))
    job = await lab.claimed(request_raw=ASKING)
    assert await lab.carry(job) == "succeeded"
    assert await lab.outcomes(job) == [(SMALL_A, "failed"), (SMALL_B, "accepted")]


async def test_a_provider_is_not_blamed_for_a_defect_of_ours(lab: Lab, monkeypatch):
    monkeypatch.setattr(OpenAIDialect, "decode", breaks(KeyError("x")))
    for _ in range(12):
        lab.script(a=[answers()], b=[answers()], c=[answers()])
        assert await lab.carry(await lab.claimed()) == "failed"
    assert len(lab.server.bodies) == 36  # no breaker opened: each was asked each time
