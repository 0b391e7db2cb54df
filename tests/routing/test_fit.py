"""Conversations cut to a window: valid, short enough, and all that was taken is told."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.chat import ChatRequest
from jobs.policy import Intent, Policy
from routing.catalog import Catalog, Deployment, Model
from routing.fit import Cut, Room, fitted
from routing.fit import fit as squeezed
from routing.plan import Yard, plan
from routing.tokens import high_tokens
from tests.routing.yards import CHEAP, JOB, ids, reasons

WORDS = "the quick brown fox jumps over the lazy dog "


def said(role: str, words: int = 40, **fields: Any) -> dict[str, Any]:
    return {"role": role, "content": f"{role} {WORDS * words}"} | fields


def called(*names: str) -> list[dict[str, Any]]:
    calls = [{"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}} for name in names]
    results = [said("tool", 5, tool_call_id=name) for name in names]
    return [{"role": "assistant", "content": None, "tool_calls": calls}, *results]


def asked(*messages: dict[str, Any], **fields: Any) -> ChatRequest:
    return ChatRequest.parse(json.dumps({"messages": list(messages), **fields}).encode())


SYSTEM = said("system", 60)
TALK = asked(SYSTEM, said("user"), said("assistant"), said("user"), *called("a", "b"), said("assistant"), said("user"))


def fit(request: ChatRequest, room: Room, allowed: Any, count: Any) -> Cut | None:
    """The same, with its promise about length checked each time."""
    found = squeezed(request, room, allowed, count)
    if found is not None and room.input_tokens is not None:
        assert count(found.request) <= room.input_tokens
    return found


def is_valid(request: ChatRequest) -> bool:
    """Every result follows its call, every call has its results."""
    open_: list[str] = []
    for message in request.messages:
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_:
                return False
            open_.remove(message["tool_call_id"])
            continue
        if open_:
            return False
        open_ = [call["id"] for call in message.get("tool_calls") or ()]
    return not open_


def test_what_fits_is_left_as_it_is():
    found = fit(TALK, Room(10_000), ("history", "system"), high_tokens)
    assert found is not None
    assert found.request is TALK
    assert found.adaptations == ()


def test_the_oldest_history_goes_first_and_system_and_question_stay():
    room = Room(high_tokens(TALK) - 100)
    found = fit(TALK, room, ("history",), high_tokens)
    assert found is not None
    roles = [message["role"] for message in found.request.messages]
    assert roles == ["system", "user", "assistant", "tool", "tool", "assistant", "user"]
    (told,) = found.adaptations
    assert (told.field, told.action) == ("messages[1..2]", "cut")
    assert "2 messages of the history" in told.reason


def test_a_call_goes_with_its_results():
    least = asked(SYSTEM, said("user"))
    found = fit(TALK, Room(high_tokens(least) + 20), ("history",), high_tokens)
    assert found is not None
    assert [message["role"] for message in found.request.messages] == ["system", "user"]


def test_within_one_question_the_oldest_exchanges_go():
    agent = asked(SYSTEM, said("user"), *called("a"), *called("b"), *called("c"))
    found = fit(agent, Room(high_tokens(agent) - 20), ("history",), high_tokens)
    assert found is not None
    assert [message.get("tool_call_id") for message in found.request.messages if message["role"] == "tool"] == [
        "b",
        "c",
    ]


def test_a_system_prompt_loses_its_middle():
    found = fit(TALK, Room(high_tokens(TALK) - 300), ("system",), high_tokens)
    assert found is not None
    text = found.request.messages[0]["content"]
    assert text.startswith("system the quick")
    assert text.endswith("lazy dog ")
    assert "tokens were cut here" in text
    assert [change.field for change in found.adaptations] == ["messages[0].content"]
    assert len(found.request.messages) == len(TALK.messages)


def test_a_models_own_limit_on_system_prompts_is_kept():
    assert fit(TALK, Room(None, 300), ("history",), high_tokens) is None
    found = fit(TALK, Room(None, 300), ("system",), high_tokens)
    assert found is not None
    assert len(found.request.messages[0]["content"]) // 3 <= 300


@pytest.mark.parametrize("allowed", [(), ("history",), ("system",), ("history", "system")])
def test_where_what_may_go_is_not_enough_nothing_is_cut(allowed):
    assert fit(TALK, Room(30), allowed, high_tokens) is None
    assert fitted(TALK, None, allowed, high_tokens) == (TALK, ())


def test_an_empty_system_prompt_has_no_middle():
    hollow = asked({"role": "system", "content": ""}, said("user", 100))
    assert fit(hollow, Room(50), ("history", "system"), high_tokens) is None


TURNS = st.lists(
    st.sampled_from([[said("user", 3)], [said("assistant", 3)], called("x"), called("y", "z"), [said("system", 2)]]),
    min_size=1,
    max_size=12,
)


@given(turns=TURNS, share=st.floats(0.05, 1.1), order=st.permutations(["history", "system"]))
def test_a_cut_conversation_is_valid_short_enough_and_told(turns, share, order):
    request = asked(*[message for turn in turns for message in turn])
    room = Room(int(high_tokens(request) * share))
    found = fit(request, room, tuple(order), high_tokens)
    if found is None:
        return
    assert is_valid(found.request) or not is_valid(request)
    assert (found.request == request) == (found.adaptations == ())
    assert found.request.messages[-1]["role"] == request.messages[-1]["role"]
    questions = [message for message in request.messages if message["role"] == "user"]
    assert not questions or questions[-1] in found.request.messages
    assert ChatRequest.parse(found.request.raw).body == found.request.body


MODELS = (
    Model("m/narrow", context_tokens=1_500),
    Model("m/wide", context_tokens=10_000),
    Model("m/terse", max_system_tokens=300),
)


@pytest.mark.parametrize(
    ("on_overflow", "able", "out"),
    [
        ((), ["m/wide@p"], {"m/narrow@p": "context_window", "m/terse@p": "system_limit"}),
        (("history",), ["m/narrow@p", "m/wide@p"], {"m/terse@p": "system_limit"}),
        (("history", "system"), ["m/narrow@p", "m/wide@p", "m/terse@p"], {}),
    ],
)
def test_a_plan_squeezes_where_the_policy_says_so_and_never_a_strict_job(on_overflow, able, out):
    served = [Deployment(model.id, "p", "up", CHEAP) for model in MODELS]
    yard = Yard(Catalog.of(MODELS, served), frozenset({"p"}), "p1")
    tiers = (tuple(model.id for model in MODELS),)
    policy = Policy(name="all", tiers=tiers, choose="ordered", on_overflow=on_overflow)
    planned = plan(JOB, TALK, policy, Intent(), yard)
    assert (ids(planned), reasons(planned)) == (able, out)
    for step in planned.steps:
        request, changes = fitted(TALK, step.room, on_overflow, high_tokens)
        assert bool(changes) == (step.model.id != "m/wide")
        assert step.model.context_tokens is None or high_tokens(request) < step.model.context_tokens
    strict = plan(JOB, TALK, policy, Intent(), yard, strict=True)
    assert ids(strict) == ["m/wide@p"]
