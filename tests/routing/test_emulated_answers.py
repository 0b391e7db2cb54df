"""JSON answers of models without tools, read back as what OpenAI's API would have said."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from jobs.chat import Answer, ChatRequest
from jobs.policy import Policy
from routing.catalog import Model
from routing.checks import MENDED, Checked, expected
from routing.emulated_answers import check_answer
from routing.emulation import Emulation, emulation_of

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": name, "parameters": CITY}} for name in ("weather", "time")]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": CITY}}
CANARY = "canary-Zx81"


def checked(text: str | None, finish: str = "stop", **fields: Any) -> Checked:
    body = {"messages": [{"role": "user", "content": CANARY}], "tools": TOOLS, **fields}
    request = ChatRequest.parse(json.dumps(body).encode())
    emulation = emulation_of(request, Policy(emulate_tools=True), Model("m/x", has_tools=False))
    wanted = expected(request)
    assert isinstance(emulation, Emulation)
    assert wanted is not None
    return check_answer(emulation, wanted, answer(text, finish))


def answer(text: str | None, finish: str = "stop") -> Answer:
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return Answer(json.dumps(body).encode(), text or "", finish)


def said(found: Checked) -> Any:
    assert found.flaw is None
    return ChatCompletion.model_validate_json(found.answer.body).choices[0]


def told(found: Checked) -> str:
    assert found.flaw is not None
    assert CANARY not in found.flaw.failure.message
    return found.flaw.told


def test_a_call_comes_back_as_openai_would_say_it_with_its_arguments_to_the_byte():
    found = checked('{"calls": [{"name": "weather", "arguments": {"city":  "Oslo", "x": 1e3}}]}')
    choice = said(found)
    assert choice.finish_reason == found.answer.finish_reason == "tool_calls"
    assert found.answer.has_tool_calls
    (call,) = choice.message.tool_calls
    assert (call.function.name, call.function.arguments) == ("weather", '{"city":  "Oslo", "x": 1e3}')
    assert call.id.startswith("call_")
    assert len(call.id) == len("call_") + 24
    assert choice.message.content is None
    assert found.adaptations == ()


def test_calls_beside_each_other_have_ids_of_their_own_and_may_come_with_a_text():
    one = {"name": "weather", "arguments": {"city": "Oslo"}}
    choice = said(checked(json.dumps({"calls": [one, one | {"name": "time"}], "answer": "Let me look"})))
    assert choice.message.content == "Let me look"
    assert len({call.id for call in choice.message.tool_calls}) == 2


def test_the_same_answer_in_another_conversation_has_other_ids():
    text = '{"calls": [{"name": "weather", "arguments": {"city": "Oslo"}}]}'
    first, second = said(checked(text)), said(checked(text, temperature=0.5))
    assert first.message.tool_calls[0].id != second.message.tool_calls[0].id


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ('{"answer": "Hi\\n\\u00e9"}', "Hi\né"),
        ('```json\n{"answer": "Hi"}\n```', "Hi"),
        ('{"calls": [], "answer": "Hi"}', "Hi"),
        ('{"calls": null, "answer": "Hi"}', "Hi"),
        ('{"answer": {"a":  1}}', '{"a":  1}'),
    ],
)
def test_an_answer_is_the_content(text, content):
    found = checked(text)
    choice = said(found)
    assert (choice.message.content, choice.finish_reason) == (content, "stop")
    assert found.answer.text == content
    assert not choice.message.tool_calls
    assert found.adaptations == ()


@pytest.mark.parametrize(
    "text",
    ["{'answer': 'Hi'}", 'Sure! {"answer": "Hi"}', '{"answer": "Hi",}', '{"answer": "Hi"'],
)
def test_json_that_is_not_quite_is_mended_and_said(text):
    found = checked(text)
    assert said(found).message.content == "Hi"
    assert [change.reason for change in found.adaptations] == [MENDED]


@pytest.mark.parametrize("arguments", ['"{\\"city\\": \\"Oslo\\"}"', '{"city": "Oslo"}'])
def test_arguments_as_a_string_of_json_are_taken_for_what_they_are(arguments):
    choice = said(checked(f'{{"calls": [{{"name": "weather", "arguments": {arguments}}}]}}'))
    assert json.loads(choice.message.tool_calls[0].function.arguments) == {"city": "Oslo"}


@pytest.mark.parametrize(
    ("text", "fields", "why"),
    [
        ("It rains.", {}, "no JSON object"),
        ("[1]", {}, "no JSON object"),
        ("{}", {}, "neither"),
        ('{"calls": []}', {}, "neither"),
        ('{"calls": {"name": "weather"}}', {}, "can't be used"),
        ('{"calls": [{"arguments": {}}]}', {}, "can't be used"),
        ('{"calls": [{"name": "rob", "arguments": {}}]}', {}, "may not be"),
        ('{"calls": [{"name": "weather", "arguments": {"town": "Oslo"}}]}', {}, "'city' is a required property"),
        ('{"calls": [{"name": "weather"}]}', {}, "'city' is a required property"),
        ('{"calls": [{"name": "weather", "arguments": null}]}', {}, "'city' is a required property"),
        ('{"answer": "no"}', {"tool_choice": "required"}, "has to be called"),
        (
            '{"calls": [{"name": "weather", "arguments": {"city": "Oslo"}}]}',
            {"tool_choice": {"type": "function", "function": {"name": "time"}}},
            "may not be",
        ),
        (
            json.dumps({"calls": [{"name": "weather", "arguments": {"city": "Oslo"}}] * 2}),
            {"parallel_tool_calls": False},
            "one call at a time",
        ),
        ('{"answer": {"town": 1}}', {"response_format": SCHEMA}, "'city' is a required property"),
        ('{"answer": "a"} or {"answer": "b"}', {}, "More than one JSON value"),
        ('{"answer": "a", "answer": "b"}', {}, "A key stands twice"),
        ('{"answer": "It ra', {}, "ends in the middle"),
    ],
)
def test_what_breaks_the_terms_is_shown_as_the_model_said_it(text, fields, why):
    found = checked(text, **fields)
    assert why in told(found)
    assert found.flaw is not None
    assert found.flaw.said == text


@pytest.mark.parametrize("value", ['{"city":  "Oslo"}', '"{\\"city\\": \\"Oslo\\"}"'])
def test_an_answer_that_was_to_be_json_is_the_json(value):
    choice = said(checked(f'{{"answer": {value}}}', response_format=SCHEMA))
    assert json.loads(choice.message.content) == {"city": "Oslo"}


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_what_was_cut_or_filtered_is_handed_out_as_it_came(finish):
    choice = said(checked('{"calls": [{"name": "wea', finish))
    assert (choice.message.content, choice.finish_reason) == ('{"calls": [{"name": "wea', finish)


def test_without_an_emulation_it_is_the_usual_check():
    request = ChatRequest.parse(
        b'{"messages": [{"role": "user", "content": "a"}], "tools": [{"function": {"name": "a"}}]}'
    )
    wanted = expected(request)
    assert wanted is not None
    plain = answer("It rains.")
    assert check_answer(None, wanted, plain) == Checked(plain)


def test_an_empty_answer_is_empty():
    assert checked('{"answer": ""}').answer.is_empty


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
)


@given(
    st.text() | _JSON.map(json.dumps) | st.fixed_dictionaries({}, optional={"calls": _JSON, "answer": _JSON}).map(repr)
)
def test_no_text_makes_it_raise_and_what_is_taken_is_official(text):
    found = checked(text)
    if found.flaw is None:
        said(found)


def test_halves_of_surrogate_pairs_are_no_json():
    assert checked("{'answer': '\\ud800'}").flaw is not None
