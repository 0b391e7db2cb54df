"""The token estimate: near enough for text, flat for images, and never an error."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.chat import ChatRequest
from routing.tokens import IMAGE_TOKENS, MESSAGE_TOKENS, estimate, text_size
from tests.routing.yards import UNHURRIED, request

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def test_a_text_is_some_four_characters_a_token_and_bounded_by_two_bytes():
    found = estimate(request("The weather in Bonn is fine today, and so is the wine. " * 8))
    assert 80 < found.tokens < 120
    assert found.bound_tokens == MESSAGE_TOKENS + 55 * 8 // 2
    assert found.low_tokens < found.tokens < found.high_tokens <= found.bound_tokens


def test_a_part_of_a_token_counts_whole():
    assert estimate(request("")).tokens >= 1


def test_scripts_of_three_bytes_a_character_count_nearly_their_characters():
    assert 60 < estimate(request("\u9053" * 100)).tokens < 110


def test_each_message_counts():
    one, two = ([{"role": "user", "content": "abcd"}] * count for count in (1, 2))
    assert estimate(request(messages=two)).tokens == pytest.approx(2 * estimate(request(messages=one)).tokens, abs=2)


def test_an_image_is_flat_however_many_bytes_it_has():
    words = {"type": "text", "text": "abcd"}
    found = estimate(request([words, {"type": "image_url", "image_url": {"url": "data:" + "A" * 90_000}}]))
    assert (found.tokens, found.has_images) == (estimate(request([words])).tokens + IMAGE_TOKENS, True)
    assert found.measure is not None
    assert not found.measure.is_text


def test_a_prompt_in_parts_of_text_is_text():
    whole, parts = estimate(request("abcd")), estimate(request([{"type": "text", "text": "abcd"}]))
    assert whole == parts


def test_an_unknown_part_counts_with_everything_in_it():
    found = estimate(request([{"type": "file", "data": "A" * 400}]))
    assert found.tokens > 100
    assert found.measure is not None
    assert not found.measure.is_text


@pytest.mark.parametrize("field", ["tools", "functions", "response_format"])
def test_definitions_beside_the_messages_count(field):
    assert estimate(request("hi", **{field: [{"name": "x" * 400}]})).tokens > 80


def test_tool_calls_in_the_conversation_count():
    call = [{"id": "1", "function": {"name": "f", "arguments": "x" * 400}}]
    asked = request(messages=[{"role": "assistant", "content": None, "tool_calls": call}])
    assert estimate(asked).tokens > 80


@pytest.mark.parametrize(
    ("value", "size"),
    [("abc", 3), ("\u00e9", 2), ("\ud800", 3), (None, 0), (True, 8), (10**30, 8), ({"ab": ["c", 1.5]}, 11), ([], 0)],
)
def test_text_is_counted_in_bytes_with_its_keys(value, size):
    assert text_size(value) == size


def test_depth_does_not_hurt():
    value: object = "x"
    for _ in range(50_000):
        value = [value]
    assert text_size(value) == 1


@UNHURRIED
@given(
    st.lists(
        st.fixed_dictionaries({"role": st.just("user"), "content": st.none() | st.text() | st.lists(JSON)}), min_size=1
    ),
    JSON,
)
def test_whatever_a_caller_sends_gives_an_estimate_below_its_bound(messages, tools):
    body = json.loads(json.dumps({"messages": messages, "tools": tools}))
    found = estimate(ChatRequest.of(b"", body))
    assert 0 < found.tokens <= found.bound_tokens
