"""Answers against what was asked for: kept, mended by what keeps the schema, or a flaw that repeats nothing."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from jobs.chat import Answer, ChatRequest
from jobs.failures import FailureKind
from routing.checks import SHOWN_AGAIN, Expected, check, corrected, expected, schema_fault

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": CITY}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": CITY}}
CANARY = "canary-Zx81"


def asked(**fields: Any) -> ChatRequest:
    return ChatRequest.parse(json.dumps({"messages": [{"role": "user", "content": CANARY}], **fields}).encode())


def wanted(**fields: Any) -> Expected:
    found = expected(asked(**fields))
    assert found is not None
    return found


def answer(content: str | None = None, calls: list[tuple[str, str]] = [], finish: str = "stop") -> Answer:  # noqa: B006
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
    if calls:
        message["tool_calls"] = [
            {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for n, (name, arguments) in enumerate(calls)
        ]
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return Answer(json.dumps(body).encode(), content or "", finish, has_tool_calls=bool(calls))


def said(checked: Answer) -> Any:
    ChatCompletion.model_validate_json(checked.body)
    return json.loads(checked.body)["choices"][0]["message"]


@pytest.mark.parametrize(
    ("arguments", "is_good"), [('{"city": "Oslo"}', True), ('{"town": "Oslo"}', False), ("{'city': 'Oslo'}", True)]
)
def test_a_call_in_the_legacy_form_is_held_to_its_function_too(arguments, is_good):
    made = {"name": "weather", "arguments": arguments}
    message = {"role": "assistant", "content": None, "refusal": None, "function_call": made}
    choice = {"index": 0, "message": message, "finish_reason": "function_call", "logprobs": None}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    given = Answer(json.dumps(body).encode(), "", "function_call", has_tool_calls=True)
    found = check(wanted(functions=[TOOL["function"]]), given)
    assert (found.flaw is None) is is_good
    if is_good:
        assert json.loads(said(found.answer)["function_call"]["arguments"]) == {"city": "Oslo"}


@pytest.mark.parametrize("fields", [{}, {"response_format": {"type": "text"}}, {"tools": []}, {"response_format": 7}])
def test_plain_text_has_nothing_to_check(fields):
    assert expected(asked(**fields)) is None


@pytest.mark.parametrize(
    ("fields", "good"),
    [
        ({"response_format": SCHEMA}, answer('{"city": "Oslo"}')),
        ({"response_format": {"type": "json_object"}}, answer('{"a": [1]}')),
        ({"tools": [TOOL]}, answer(calls=[("weather", '{"city":  "Oslo"}')])),
        ({"tools": [TOOL]}, answer("no call was needed")),
        ({"functions": [TOOL["function"]]}, answer(calls=[("weather", '{"city": "a"}')])),
        ({"tools": [{"type": "function", "function": {"name": "now"}}]}, answer(calls=[("now", "")])),
        ({"response_format": SCHEMA}, answer('{"ci', finish="length")),
        ({"response_format": SCHEMA}, answer("", finish="content_filter")),
        ({"response_format": SCHEMA, "tools": [TOOL]}, answer(calls=[("weather", '{"city": "a"}')])),
    ],
)
def test_what_keeps_to_it_is_handed_out_byte_for_byte(fields, good):
    found = check(wanted(**fields), good)
    assert found.flaw is None
    assert found.adaptations == ()
    assert found.answer is good


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ('```json\n{"city": "Oslo"}\n```', {"city": "Oslo"}),
        ("{'city': 'Oslo'}", {"city": "Oslo"}),
        ('Here it is: {"city": "Oslo"}', {"city": "Oslo"}),
        ('{"city": "Oslo",}', {"city": "Oslo"}),
    ],
)
def test_broken_json_is_mended_if_it_then_keeps_the_schema(content, value):
    found = check(wanted(response_format=SCHEMA), answer(content))
    assert found.flaw is None
    assert json.loads(said(found.answer)["content"]) == value
    assert json.loads(found.answer.text) == value
    assert [adaptation.action for adaptation in found.adaptations] == ["changed"]


def test_broken_arguments_are_mended_too():
    found = check(wanted(tools=[TOOL]), answer(calls=[("weather", '{"city": "Oslo"')]))
    assert found.flaw is None
    assert json.loads(said(found.answer)["tool_calls"][0]["function"]["arguments"]) == {"city": "Oslo"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('Answer: {"city": "Riga"}. (Not {"city": "Oslo"}.)', "more than one JSON value"),
        ('{"city": "Riga"}\n{"city": "Oslo"}', "more than one JSON value"),
        ('See [1]. {"city": "Riga"}', "more than one JSON value"),
        ('{"city": "Rig', "ends in the middle of a value"),
        ('{"city": "Riga", "city": "Oslo"}', "a key stands twice"),
    ],
)
def test_where_mending_would_have_to_choose_the_model_is_asked_which(content, why):
    """Faults W13: of two complete values one went in silence, and the job succeeded with the other."""
    for found in (
        check(wanted(response_format=SCHEMA), answer(content)),
        check(wanted(tools=[TOOL]), answer(calls=[("weather", content)])),
    ):
        assert found.flaw is not None
        assert why in found.flaw.failure.message
        assert why in found.flaw.told.replace("More", "more").replace("A key", "a key")


def test_mended_numbers_keep_their_digits():
    schema = {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}
    found = check(wanted(response_format=schema), answer("{'id': 12345678901234567890123, 'share': 0.10}"))
    assert said(found.answer)["content"] == '{"id":12345678901234567890123,"share":0.10}'


@pytest.mark.parametrize(
    ("fields", "bad", "rule"),
    [
        ({"response_format": SCHEMA}, answer(f'{{"town": "{CANARY}"}}'), "the schema's required"),
        ({"response_format": SCHEMA}, answer(CANARY), "it is not JSON"),
        ({"response_format": {"type": "json_object"}}, answer("[1]"), "the schema's type"),
        ({"tools": [TOOL]}, answer(calls=[("wether", f'{{"city": "{CANARY}"}}')]), "not among `tools`"),
        ({"tools": [TOOL]}, answer(calls=[("weather", f'{{"city": ["{CANARY}"]}}')]), "properties.city.type"),
        ({"tools": [TOOL]}, answer(calls=[("weather", CANARY)]), "it is not JSON"),
    ],
)
def test_what_can_not_be_mended_is_a_flaw_that_repeats_no_word_of_it(fields, bad, rule):
    found = check(wanted(**fields), bad)
    assert found.flaw is not None
    assert found.flaw.failure.kind is FailureKind.INVALID_ANSWER
    assert rule in found.flaw.failure.message
    assert CANARY not in found.flaw.failure.message
    assert found.answer is bad


def test_the_model_is_shown_its_answer_and_what_is_wrong_with_it():
    request = asked(response_format=SCHEMA)
    flaw = check(wanted(response_format=SCHEMA), answer('{"town": "Oslo"}')).flaw
    assert flaw is not None
    again, adaptation = corrected(request, flaw)
    first, shown, complaint = again.messages
    assert first == request.messages[0]
    assert shown == {"role": "assistant", "content": '{"town": "Oslo"}'}
    assert "'city' is a required property" in complaint["content"]
    assert (adaptation.action, adaptation.reason) == ("added", SHOWN_AGAIN)
    assert ChatRequest.parse(again.raw).body == again.body
    assert len(request.messages) == 1


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": 1}}}},
            "response_format.json_schema.schema.type",
        ),
        (
            {"tools": [TOOL, {"type": "function", "function": {"name": "b", "parameters": {"required": 1}}}]},
            "tools[1].function.parameters.required",
        ),
        ({"functions": [{"name": "b", "parameters": []}]}, "functions[0].parameters"),
    ],
)
def test_a_schema_that_is_none_is_found_in_the_request(fields, path):
    found = schema_fault(asked(**fields))
    assert found is not None
    assert found[0] == path


ODD = ["{", "[", '{"a":', "{}" * 3, "[" * 2_000, "{'city': '\\ud800'}", "{'city': 1e999}"]


@given(content=st.text(max_size=60) | st.sampled_from(ODD))
def test_no_answer_makes_it_raise(content):
    for fields in ({"response_format": SCHEMA}, {"response_format": {"type": "json_object"}}):
        check(wanted(**fields), answer(content))
    check(wanted(tools=[TOOL]), answer(calls=[("weather", content)]))
