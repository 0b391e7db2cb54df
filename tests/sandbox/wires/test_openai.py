"""Requests are read and replies are written in OpenAI's shapes."""

import msgspec
import pytest

from sandbox.speech import Refusal
from sandbox.wires.openai import OpenAIWire
from sandbox.wires.openai_request import parse

USER = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": USER}, None),
        ({"model": "m", "messages": []}, "messages"),
        ({"model": "m", "messages": [{"role": "bot"}]}, "messages[0].role"),
        ({"model": 3, "messages": USER}, "model"),
        ({"model": "m", "messages": USER, "n": 0}, "n"),
        ({"model": "m", "messages": USER, "n": 129}, "n"),
        ({"model": "m", "messages": USER, "max_tokens": 0}, "max_tokens"),
        ({"model": "m", "messages": USER, "logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"model": "m", "messages": USER, "top_logprobs": 2}, "top_logprobs"),
        ({"model": "m", "messages": USER, "stream_options": {}}, "stream_options"),
        ({"model": "m", "messages": USER, "response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ],
)
def test_a_bad_request_is_refused_with_the_field(body, param):
    with pytest.raises(Refusal) as caught:
        parse(msgspec.json.encode(body))
    error = msgspec.json.decode(OpenAIWire().error(caught.value)[0])["error"]
    assert caught.value.status == 400
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_not_json_is_refused(raw):
    with pytest.raises(Refusal):
        parse(raw)


def test_unknown_fields_and_parts_are_let_through():
    parts = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "x"}},
        {"type": "text", "text": "b"},
    ]
    call = parse(msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": parts}], "seed": 3}))
    assert call.turns[0].text == "a\nb"
