"""Every scripted fault strikes when, as often and as long as it was told."""

from typing import Any

import msgspec
import pytest

from sandbox.faults import FaultScript, InvalidFault


def armed(*faults: dict[str, Any], seed: int = 0, at_s: float = 0.0) -> FaultScript:
    script = FaultScript(seed)
    script.add(msgspec.json.encode({"faults": faults}), at_s)
    return script


def kinds(script: FaultScript, model: str = "m", now_s: float = 0.0) -> list[str]:
    return [fault.kind for fault in script.draw(model, now_s)]


def test_a_fault_strikes_so_many_times():
    script = armed({"kind": "empty", "times": 2})
    assert [kinds(script) for _ in range(3)] == [["empty"], ["empty"], []]
    assert script.listing(0.0) == [{"kind": "empty", "times": 2, "struck": 2, "live": False}]


def test_a_fault_lives_so_long():
    script = armed({"kind": "empty", "for_s": 5}, at_s=100)
    assert kinds(script, now_s=104.9) == ["empty"]
    assert kinds(script, now_s=105) == []


def test_a_fault_strikes_only_its_model():
    script = armed({"kind": "empty", "model": "a"})
    assert kinds(script, "b") == []
    assert kinds(script, "a") == ["empty"]


def test_probability_is_kept_and_repeatable():
    def struck(seed: int) -> list[bool]:
        script = armed({"kind": "empty", "probability": 0.3}, seed=seed)
        return [bool(kinds(script)) for _ in range(1000)]

    assert 240 < sum(struck(1)) < 360
    assert struck(1) == struck(1)
    assert struck(1) != struck(2)


def test_latency_adds_to_the_first_other_fault():
    script = armed({"kind": "latency"}, {"kind": "empty"}, {"kind": "cut"}, {"kind": "latency"}, {"kind": "cut"})
    assert kinds(script) == ["latency", "empty", "latency"]
    assert [fault["struck"] for fault in script.listing(0.0)] == [1, 1, 0, 1, 0]


def test_off_is_asked_for_apart_and_counts():
    script = armed({"kind": "off", "times": 1})
    assert kinds(script) == []
    assert [script.refuses(0.0), script.refuses(0.0)] == [True, False]


def test_clear_disarms():
    script = armed({"kind": "off"})
    script.clear()
    assert not script.refuses(0.0)
    assert script.listing(0.0) == []


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "flood"},
        {"kind": "status", "status": 200},
        {"kind": "status", "probability": 2},
        {"kind": "off", "model": "m"},
        {"kind": "cut", "after_chunks": -1},
        {"kind": "cut", "afterchunks": 1},
        {},
    ],
)
def test_a_wrong_fault_is_refused_and_nothing_is_armed(fault):
    script = FaultScript()
    with pytest.raises(InvalidFault):
        script.add(msgspec.json.encode({"faults": [{"kind": "off"}, fault]}), 0.0)
    assert script.listing(0.0) == []
