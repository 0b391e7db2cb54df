"""What requests ask for beyond text, and who is ruled out for what it is known to lack."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.chat import ChatRequest
from jobs.policy import Intent, Policy
from jobs.settings import Provider
from routing.abilities import PLAIN, Asked, asked_of, depth_of, keywords_of
from routing.catalog import Catalog, Deployment, Model
from routing.plan import Plan, Yard, plan
from tests.routing.yards import CHEAP, JOB, ids, reasons

FLAT = {"type": "object", "properties": {"city": {"type": "string"}}}
NESTED = {"type": "object", "properties": {"place": FLAT, "days": {"type": "array", "items": {"type": "integer"}}}}
SPOKEN: list[dict[str, Any]] = [
    {"role": "assistant", "content": None, "tool_calls": []},
    {"role": "user", "content": ""},
]
PARTS = [{"type": kind} for kind in ("image_url", "input_audio", "file", "text")]
STRICT = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {"minimum": 1}}}
SOUND = {"data": "AAAA", "format": "wav"}
PAPER = {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def tool(parameters: object = FLAT, **fields: object) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": parameters, **fields}}


def asked(messages: list[dict[str, Any]] | None = None, **fields: Any) -> ChatRequest:
    body = {"messages": messages or [{"role": "user", "content": "hi"}], **fields}
    return ChatRequest.parse(json.dumps(body).encode())


@pytest.mark.parametrize("fields", [{}, {"tools": []}, {"temperature": 1, "n": 2}, {"response_format": None}])
def test_plain_text_asks_for_nothing_special(fields):
    assert asked_of(asked(**fields)) is PLAIN


@pytest.mark.parametrize(
    ("request_", "found"),
    [
        (asked(tools=[tool()]), Asked(has_tools=True)),
        (asked(functions=[tool()["function"]]), Asked(has_tools=True)),
        (asked(tools=[tool()], tool_choice="required"), Asked(has_tools=True, forces_tools=True)),
        (asked(tools=[tool()], tool_choice="none"), Asked(has_tools=True)),
        (asked(tools=[tool(NESTED)]), Asked(has_tools=True, is_complex_tool_work=True)),
        (asked(tools=[tool()], parallel_tool_calls=True), Asked(has_tools=True, is_complex_tool_work=True)),
        (asked(tools=[tool()], parallel_tool_calls=False), Asked(has_tools=True)),
        (asked(response_format={"type": "json_object"}), Asked(has_json=True)),
        (asked(modalities=["text", "audio"], audio={"voice": "x"}), Asked(wants_sound=True)),
        (asked([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]), Asked(has_prefill=True)),
        (
            asked([SPOKEN[0] | {"tool_calls": [CALL, CALL]}, SPOKEN[1]], tools=[tool()]),
            Asked(has_tools=True, has_calls=True, is_complex_tool_work=True),
        ),
        (
            asked([{"role": "user", "content": [*PARTS, 7]}]),
            Asked(part_kinds=frozenset({"image", "sound", "file"})),
        ),
        (asked(tools=[tool(strict=True)]), Asked(has_tools=True, strict_keywords=frozenset({"type", "properties"}))),
    ],
)
def test_each_ability_is_read(request_, found):
    assert asked_of(request_) == found


def test_names_of_properties_are_no_keywords_and_depth_counts_objects():
    schema = {"properties": {"minimum": {"type": "string"}, "b": {"anyOf": [NESTED, {"type": "null"}]}}}
    assert keywords_of(schema) == {"properties", "type", "anyOf", "items"}
    assert [depth_of(one) for one in ({}, FLAT, NESTED, schema, None)] == [0, 1, 2, 3, 0]


@given(st.recursive(st.none() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=20))
def test_no_body_makes_it_raise(junk):
    for name in ("tools", "functions", "response_format", "modalities", "audio", "tool_choice"):
        asked_of(asked(**{name: junk}))
        asked_of(asked([{"role": "user", "content": [junk]}], tools=[junk]))


MODELS = (
    Model("m/able", has_tools=True, has_vision=True, has_audio=True, has_pdf=True, has_reliable_tools=True),
    Model("m/unable", has_tools=False, has_vision=False, has_audio=False, has_pdf=False),
    Model("m/shaky", has_tools=True, has_reliable_tools=False, has_forced_tools=False),
    Model("m/new"),
    Model("m/picky", schema_keywords=frozenset({"type", "properties"})),
)
WIRES = {"p": Provider(dialect="openai", base_url="http://x"), "a": Provider(dialect="anthropic", base_url="http://y")}
EVERYBODY = Policy(name="all", tiers=(tuple(model.id for model in MODELS),), choose="ordered")


def planned(request: ChatRequest, policy: Policy = EVERYBODY, provider: str = "p", **flags: bool) -> Plan:
    served = [Deployment(model.id, provider, "up", CHEAP) for model in MODELS]
    yard = Yard(Catalog.of(MODELS, served), frozenset({provider}), "p1", providers=WIRES)
    return plan(JOB, request, policy, Intent(), yard, **flags)


def part(kind: str, **fields: Any) -> ChatRequest:
    return asked([{"role": "user", "content": [{"type": kind, **fields}]}])


@pytest.mark.parametrize(
    ("request_", "out"),
    [
        (asked(), {}),
        (asked(tools=[tool()]), {"m/unable@p": "no_tools"}),
        (asked(tools=[tool()], tool_choice="required"), {"m/unable@p": "no_tools", "m/shaky@p": "no_forced_tools"}),
        (
            asked(tools=[tool(NESTED)]),
            {"m/unable@p": "no_tools"} | dict.fromkeys(("m/shaky@p", "m/new@p", "m/picky@p"), "unreliable_tools"),
        ),
        (part("input_audio", input_audio=SOUND), {"m/unable@p": "no_audio"}),
        (part("file", file=PAPER), {"m/unable@p": "no_pdf"}),
        (
            asked(response_format=STRICT),
            {"m/picky@p": "schema_keyword"},
        ),
    ],
)
def test_who_is_known_to_lack_it_is_out_and_who_is_unknown_is_in_but_for_complex_tool_work(request_, out):
    assert reasons(planned(request_)) == out


def test_a_policy_may_trust_the_unproven_and_a_model_called_by_name_is_trusted():
    request = asked(tools=[tool(NESTED)])
    trusting = Policy(name="all", tiers=EVERYBODY.tiers, choose="ordered", unproven_tools="allow")
    assert reasons(planned(request, trusting)) == {"m/unable@p": "no_tools", "m/shaky@p": "unreliable_tools"}
    assert ids(planned(request, Policy(name="m/new", tiers=(("m/new",),)))) == ["m/new@p"]


def test_a_wire_that_can_not_carry_it_is_out_with_the_part_named():
    orphan = asked([{"role": "user", "content": "a"}, {"role": "tool", "tool_call_id": "gone", "content": "b"}])
    found = planned(orphan, provider="a").receipt.excluded
    assert {one.reason for one in found} == {"unsupported"}
    assert all((one.detail or "").startswith("messages[1]") for one in found)


def test_strict_takes_only_who_changes_nothing():
    request = asked(seed=7, max_tokens=5)
    assert len(ids(planned(request, provider="p", strict=True))) == len(MODELS)
    refused = planned(request, provider="a", strict=True)
    assert ids(refused) == []
    assert set(reasons(refused).values()) == {"strict"}
    assert refused.complaint is not None
    assert "seed dropped" in refused.complaint
    assert ids(planned(request, provider="a")) != []
