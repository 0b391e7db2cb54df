"""Requests for models without tools: what they become, what is said of it, and who is asked so."""

import json
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given

from jobs.chat import Adaptation, ChatRequest
from jobs.policy import Intent, Policy
from jobs.settings import Provider
from routing.catalog import Catalog, Deployment, Model, Target
from routing.dialects.base import Asking, Unsupported, WireRequest
from routing.dialects.registry import DIALECTS
from routing.emulation import IN_ONE_PIECE, IN_WORDS, TOLD, Emulation, carry, emulation_of
from routing.plan import Plan, Yard, plan
from tests.routing.dialects.bodies import bodies
from tests.routing.yards import CHEAP, JOB, UNHURRIED, ids, reasons

YES, NO = Policy(name="p", emulate_tools=True), Policy(name="p")
WITHOUT = Model("m/plain", has_tools=False)
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells it", "parameters": CITY},
}
TIME = {"type": "function", "function": {"name": "time"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": CITY}}
FORM: dict[str, Any] = {"response_format": SCHEMA}
ASK = {"role": "user", "content": "Where?"}
CALL = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
HISTORY = [ASK, {"role": "assistant", "content": None, "tool_calls": [CALL]}]
HISTORY += [{"role": "tool", "tool_call_id": "c", "content": "rain"}]


def asked(messages: list[Any] | None = None, **fields: Any) -> ChatRequest:
    return ChatRequest.parse(json.dumps({"messages": messages or [ASK], **fields}).encode())


def emulated(request: ChatRequest, model: Model = WITHOUT) -> Emulation:
    found = emulation_of(request, YES, model)
    assert isinstance(found, Emulation)
    assert ChatRequest.parse(found.request.raw).body == found.request.body
    return found


@pytest.mark.parametrize(
    ("policy", "model", "request_"),
    [
        (NO, WITHOUT, asked(tools=[TOOL])),
        (YES, Model("m/new"), asked(tools=[TOOL])),
        (YES, Model("m/able", has_tools=True), asked(tools=[TOOL])),
        (YES, WITHOUT, asked(tools=[])),
        (YES, WITHOUT, asked()),
    ],
)
def test_only_where_the_policy_allows_it_the_model_is_known_to_lack_tools_and_there_are_any(policy, model, request_):
    assert emulation_of(request_, policy, model) is None


def test_tools_are_told_in_the_prompt_and_nothing_of_them_is_left():
    found = emulated(asked(tools=[TOOL], temperature=0.5))
    words, question = found.request.messages
    assert question == ASK
    assert found.request.body.keys() == {"messages", "temperature"}
    assert json.dumps(CITY, separators=(",", ":")) in words["content"]
    assert all(word in words["content"] for word in ("weather", "Tells it", '"calls"', '"answer"', "Several calls"))
    assert found.adaptations == (Adaptation("tools", "changed", TOLD),)


def test_the_system_prompt_is_kept_and_goes_on_with_the_words():
    found = emulated(asked([{"role": "developer", "content": "Be kind."}, ASK], tools=[TOOL]))
    assert found.request.messages[0]["role"] == "developer"
    assert found.request.messages[0]["content"].startswith("Be kind.\n\n")
    parts = emulated(asked([{"role": "system", "content": [{"type": "text", "text": "a"}]}, ASK], tools=[TOOL]))
    assert len(parts.request.messages[0]["content"]) == 2
    assert not parts.is_shifted


@pytest.mark.parametrize(
    ("fields", "names", "is_forced"),
    [
        ({}, {"weather", "time"}, False),
        ({"tool_choice": "auto"}, {"weather", "time"}, False),
        ({"tool_choice": "required"}, {"weather", "time"}, True),
        ({"tool_choice": {"type": "function", "function": {"name": "time"}}}, {"time"}, True),
        (
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "weather"}}]},
                }
            },
            {"weather"},
            False,
        ),
    ],
)
def test_the_choice_of_tools_is_told_and_said(fields, names, is_forced):
    found = emulated(asked(tools=[TOOL, TIME], **fields))
    assert (found.terms.names, found.terms.is_forced) == (names, is_forced)
    assert ('{"answer"' in found.request.messages[0]["content"]) is not is_forced
    changed = [change.field for change in found.adaptations]
    assert ("tool_choice" in changed) is (fields.get("tool_choice") not in (None, "auto"))


def test_no_tool_may_be_called_leaves_a_plain_request():
    found = emulated(asked(HISTORY, tools=[TOOL], tool_choice="none", stream=True, response_format=SCHEMA))
    assert not found.terms.names
    assert found.request.body.keys() == {"messages", "stream", "response_format"}
    assert [change.action for change in found.adaptations] == ["dropped", "changed", "changed"]


def test_calls_of_the_past_are_told_though_there_are_no_tools_now():
    found = emulated(asked(HISTORY))
    assert [message["role"] for message in found.request.messages] == ["user", "assistant", "user"]
    assert [change.field for change in found.adaptations] == ["messages[1]", "messages[2]"]


def test_every_field_that_goes_another_way_is_said():
    strict = {"type": "function", "function": {**TOOL["function"], "strict": True}}
    fields: dict[str, Any] = {
        "parallel_tool_calls": False,
        "response_format": SCHEMA,
        "stream": True,
        "stream_options": {},
    }
    found = emulated(asked(tools=[strict], logprobs=True, top_logprobs=2, **fields))
    told = {change.field: (change.action, change.reason) for change in found.adaptations}
    assert told["tools[0].function.strict"] == ("dropped", IN_WORDS)
    assert told["parallel_tool_calls"] == told["response_format"] == ("changed", IN_WORDS)
    assert told["stream"] == ("changed", IN_ONE_PIECE)
    assert told["logprobs"][0] == "dropped"
    assert found.request.body.keys() == {"messages"}
    assert "One call at a time." in found.request.messages[0]["content"]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (asked(tools=[{"type": "custom", "custom": {"name": "x"}}]), "tools[0]"),
        (asked([ASK, {"role": "tool", "tool_call_id": "gone", "content": ""}]), "messages[1].tool_call_id"),
        (asked([ASK, {"role": "assistant", "content": "It is"}], tools=[TOOL]), "messages[1]"),
        (asked(tools=[TOOL], modalities=["text", "audio"], audio={"voice": "a"}), "modalities"),
    ],
)
def test_what_no_text_can_stand_for_is_refused(request_, field):
    found = emulation_of(request_, YES, WITHOUT)
    assert isinstance(found, Unsupported)
    assert found.field == field


GOOD = [{"calls": [{"name": "weather", "arguments": {"city": "Oslo"}}]}, {"answer": "Hm"}]


def test_the_strongest_form_that_the_model_is_known_to_have_is_asked_for():
    request = asked(tools=[TOOL, TIME])
    assert "response_format" not in emulated(request).request.body
    in_mode = Model("m/mode", has_tools=False, has_json_mode=True)
    assert emulated(request, in_mode).request.body["response_format"] == {"type": "json_object"}
    by_schema = Model("m/schema", has_tools=False, has_json_mode=True, has_json_schema=True)
    schema = emulated(request, by_schema).request.body["response_format"]["json_schema"]["schema"]
    for good in GOOD:
        jsonschema.validate(good, schema)
    for bad in ({"calls": [{"name": "weather", "arguments": {}}]}, {"calls": [{"name": "x", "arguments": {}}]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)
    forced = emulated(asked(tools=[TOOL], tool_choice="required"), by_schema).request.body["response_format"]
    assert forced["json_schema"]["schema"]["required"] == ["calls"]


def test_a_schema_with_references_is_not_put_inside_another():
    pointing = {"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": pointing}}
    by_schema = Model("m/schema", has_tools=False, has_json_schema=True)
    found = emulated(asked(tools=[tool]), by_schema)
    schema = found.request.body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["calls"]["items"]["properties"]["arguments"] == {"type": "object"}
    assert "$defs" in found.request.messages[0]["content"]


@pytest.mark.parametrize(
    ("field", "is_shifted", "shown"),
    [
        ("messages[3].content[0]", True, "messages[2].content[0]"),
        ("messages[3].content[0]", False, "messages[3].content[0]"),
        ("messages[0]", True, "tools"),
        ("seed", True, "seed"),
    ],
)
def test_what_a_dialect_says_is_told_in_places_of_the_callers_request(field, is_shifted, shown):
    messages = [ASK] if is_shifted else [{"role": "system", "content": "a"}, ASK]
    found = emulated(asked(messages, tools=[TOOL]))
    ours = Adaptation("response_format.json_schema", "changed", "ours")
    wire = WireRequest("/", {}, b"", adaptations=(Adaptation(field, "dropped", "x"), ours))
    over = found.over(wire)
    assert isinstance(over, WireRequest)
    assert over.adaptations == (*found.adaptations, Adaptation(shown, "dropped", "x"))
    stop = found.over(Unsupported(field, "x"))
    assert stop == Unsupported(shown, "x")


TARGET = Target(Deployment("m/plain", "p", "plain", CHEAP), WITHOUT, "")


@UNHURRIED
@given(bodies())
def test_any_request_is_emulated_or_refused_and_no_wire_sees_a_tool(body):
    request = ChatRequest.parse(msgspec.json.encode(body))
    found = emulation_of(request, YES, WITHOUT)
    if not isinstance(found, Emulation):
        return
    for dialect in DIALECTS.values():
        wire = carry(dialect, found, TARGET, Asking())
        if isinstance(wire, WireRequest):
            sent = json.loads(wire.body)
            assert not {"tools", "functions", "tool_choice", "toolConfig"} & sent.keys()
            assert b'"tool_calls"' not in wire.body
            assert found.adaptations == wire.adaptations[: len(found.adaptations)]
            if not found.terms.names:
                plain = dialect.encode(found.request, TARGET, Asking())
                assert isinstance(plain, WireRequest)
                assert plain.adaptations == wire.adaptations[len(found.adaptations) :]


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("request_", [asked(tools=[TOOL], tool_choice="none", **FORM), asked(HISTORY, **FORM)])
def test_what_becomes_of_the_callers_own_form_is_told_where_no_tool_may_be_called(name, request_):
    model = Model("m/bare", has_tools=False, has_json_mode=False, has_json_schema=False)
    target = Target(Deployment("m/bare", "p", "bare", CHEAP), model, "")
    wire = carry(DIALECTS[name], emulated(request_, model), target, Asking())
    told = [wire.field] if isinstance(wire, Unsupported) else [change.field for change in wire.adaptations]
    assert "response_format" in [field.partition(".")[0] for field in told]


MODELS = (WITHOUT, Model("m/able", has_tools=True, has_reliable_tools=True))
WIRES = {"p": Provider(dialect="openai", base_url="http://x")}


def planned(request: ChatRequest, *, strict: bool = False, **fields: Any) -> Plan:
    served = [Deployment(model.id, "p", "up", CHEAP) for model in MODELS]
    yard = Yard(Catalog.of(MODELS, served), frozenset({"p"}), "p1", providers=WIRES)
    policy = Policy(name="all", tiers=(tuple(model.id for model in MODELS),), choose="ordered", **fields)
    return plan(JOB, request, policy, Intent(), yard, strict=strict)


def test_a_policy_decides_whether_a_model_without_tools_is_asked_at_all():
    assert reasons(planned(asked(tools=[TOOL]))) == {"m/plain@p": "no_tools"}
    assert ids(planned(asked(tools=[TOOL]), emulate_tools=True)) == ["m/plain@p", "m/able@p"]


def test_a_strict_job_is_not_emulated():
    found = planned(asked(tools=[TOOL]), emulate_tools=True, strict=True)
    assert reasons(found) == {"m/plain@p": "strict"}
    assert TOLD in (found.receipt.excluded[0].detail or "")


def test_complex_tool_work_is_not_emulated_unless_the_policy_trusts_the_unproven():
    request = asked(tools=[TOOL], parallel_tool_calls=True)
    assert reasons(planned(request, emulate_tools=True)) == {"m/plain@p": "unreliable_tools"}
    assert reasons(planned(request, emulate_tools=True, unproven_tools="allow")) == {}


def test_a_plan_and_an_attempt_agree_on_whose_past_calls_are_told():
    legacy = {"role": "assistant", "content": "", "function_call": {"name": "f", "arguments": "{}"}}
    request = asked([ASK, legacy, {"role": "function", "name": "f", "content": "a"}])
    assert isinstance(emulation_of(request, YES, WITHOUT), Emulation)
    assert reasons(planned(request, emulate_tools=True, strict=True))["m/plain@p"] == "strict"


def test_what_can_not_be_emulated_is_out_with_its_place():
    found = planned(asked([ASK, {"role": "assistant", "content": "It"}], tools=[TOOL]), emulate_tools=True)
    (out,) = found.receipt.excluded
    assert (out.reason, out.deployment) == ("unsupported", "m/plain@p")
    assert (out.detail or "").startswith("messages[1]: ")


def test_the_words_count_for_the_prompt():
    with_tools, plain = planned(asked(tools=[TOOL]), emulate_tools=True).steps
    assert with_tools.input_tokens > plain.input_tokens
    assert with_tools.bound_usd is not None
    assert plain.bound_usd is not None
    assert with_tools.bound_usd > plain.bound_usd
