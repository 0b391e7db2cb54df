"""What counts as a chat request, and what its parts mean."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.chat import Answer, ChatRequest, InvalidRequest

HELLO = [{"role": "user", "content": "hi"}]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


def parsed(**body: Any) -> ChatRequest:
    return ChatRequest.parse(json.dumps({"messages": HELLO} | body).encode())


def test_a_request_is_kept_byte_for_byte():
    raw = b'{ "messages":[{"role":"user","content":"\\u0000 \\ud83d\\ude82"}],"x":1.10 }'
    assert ChatRequest.parse(raw).raw == raw


def test_what_is_not_said_has_its_usual_meaning():
    request = parsed()
    assert (request.model, request.choices, request.max_output_tokens) == ("auto", 1, None)
    assert (request.wants_stream, request.wants_logprobs) == (False, False)


def test_what_is_said_is_found():
    request = parsed(model="openai/gpt-4o", n=3, stream=True, logprobs=True, max_tokens=7)
    assert (request.model, request.choices, request.max_output_tokens) == ("openai/gpt-4o", 3, 7)
    assert (request.wants_stream, request.wants_logprobs) == (True, True)
    assert list(request.messages) == HELLO


@pytest.mark.parametrize(
    ("body", "cap"),
    [
        ({"max_completion_tokens": 5, "max_tokens": 7}, 5),
        ({"max_completion_tokens": None, "max_tokens": 7}, 7),
        ({"max_completion_tokens": None, "max_tokens": None}, None),
    ],
)
def test_the_newer_name_of_the_cap_wins_when_it_says_something(body: dict[str, Any], cap: int | None):
    assert parsed(**body).max_output_tokens == cap


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [*HELLO, {"role": "king", "content": ""}]}, "messages[1].role"),
        ({"messages": [{"role": ["user"], "content": ""}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"model": 5}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"logprobs": 1}, "logprobs"),
        ({"n": 0}, "n"),
        ({"n": True}, "n"),
        ({"n": 1.5}, "n"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_completion_tokens": 10**8}, "max_completion_tokens"),
    ],
)
def test_a_refusal_names_the_field(body: dict[str, Any], param: str):
    with pytest.raises(InvalidRequest) as refusal:
        parsed(**body)
    assert refusal.value.param == param


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"\xff", b'{"messages": NaN}', b"[" * 100_000])
def test_what_is_no_json_object_is_refused(raw: bytes):
    with pytest.raises(InvalidRequest):
        ChatRequest.parse(raw)


@given(body=st.dictionaries(st.sampled_from(["messages", "model", "n", "stream", "max_tokens"]), JSON) | JSON)
def test_no_json_does_worse_than_being_refused(body: object):
    try:
        request = ChatRequest.parse(json.dumps(body).encode())
    except InvalidRequest:
        return
    assert request.messages
    assert request.choices >= 1
    assert request.max_output_tokens is None or request.max_output_tokens >= 1
    assert isinstance(request.model, str)


@pytest.mark.parametrize(
    ("changes", "is_empty"),
    [
        ({"text": ""}, True),
        ({"text": " \n"}, True),
        ({"text": "42"}, False),
        ({"text": "", "has_tool_calls": True}, False),
        ({"text": "", "has_refusal": True}, False),
        ({"text": "", "finish_reason": "length"}, False),
        ({"text": "", "finish_reason": "content_filter"}, False),
        ({"text": "", "finish_reason": "tool_calls"}, True),
    ],
)
def test_an_answer_is_empty_when_it_ended_well_with_nothing_in_it(changes: dict[str, Any], is_empty: bool):
    assert Answer(**({"body": b"{}", "finish_reason": "stop"} | changes)).is_empty is is_empty
