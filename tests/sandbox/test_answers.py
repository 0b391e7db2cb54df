"""On its task a sandbox model names a label, off it one honest sentence."""

import math

import msgspec
import pytest

from sandbox.answers import CONTEXT_TOKENS, Desk
from sandbox.speech import Refusal, Reply
from sandbox.wires.openai_request import parse


@pytest.fixture(scope="module")
def desk(small):
    return Desk(small, "sandbox-east")


def text_of(reply: Reply) -> str:
    return "".join(piece.text for piece in reply.pieces)


@pytest.fixture
def ask(desk, question):
    return lambda **more: desk.answer(parse(msgspec.json.encode(question(**more))))


def test_on_its_task_it_answers_the_likeliest_label(ask, small):
    reply = ask()
    shares = small.probabilities("How do I activate my card?")
    assert text_of(reply) == reply.label == small.labels[int(shares.argmax())] == "activate_my_card"
    assert reply.probability == shares.max()
    assert len(reply.pieces) > 1


def test_off_its_task_it_says_what_it_is_and_invents_no_probability(ask, desk):
    reply = ask(messages=[{"role": "user", "content": "Write a poem"}], logprobs=True)
    assert text_of(reply) == desk.sentence
    assert "key" in desk.sentence
    assert reply.label is None
    assert all(piece.logprob is None for piece in reply.pieces)


def test_two_labels_in_the_system_message_are_not_the_task(ask, small, desk):
    system = {"role": "system", "content": " ".join(small.labels[:2])}
    assert text_of(ask(messages=[system, {"role": "user", "content": "my card"}])) == desk.sentence


def test_a_conversation_without_a_query_is_off_the_task(ask, small, desk):
    assert text_of(ask(messages=[{"role": "system", "content": " ".join(small.labels)}])) == desk.sentence


def test_the_last_user_message_is_the_query(ask, question, small):
    messages = [
        *question()["messages"],
        {"role": "assistant", "content": "x"},
        {"role": "user", "content": "age limit?"},
    ]
    assert ask(messages=messages).label == "age_limit"


def test_off_the_task_the_sentence_comes_in_the_asked_schema(ask, desk):
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "why": {"type": "string"}},
        "required": ["n", "why"],
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    reply = ask(messages=[{"role": "user", "content": "Hi"}], response_format=wanted)
    assert msgspec.json.decode(text_of(reply)) == {"n": 0, "why": desk.sentence}


def test_in_a_schema_the_logprobs_still_add_up_to_the_labels(ask, small):
    schema = {"type": "object", "properties": {"intent": {"enum": list(small.labels)}}, "required": ["intent"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    reply = ask(response_format=wanted, logprobs=True)
    assert msgspec.json.decode(text_of(reply)) == {"intent": reply.label}
    assert sum(piece.logprob for piece in reply.pieces) == pytest.approx(math.log(reply.probability))


def test_a_schema_without_room_for_the_label_gets_no_logprobs(ask):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    reply = ask(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}, logprobs=True)
    assert all(piece.logprob is None for piece in reply.pieces)


def test_json_object_carries_the_label(ask):
    reply = ask(response_format={"type": "json_object"})
    assert msgspec.json.decode(text_of(reply)) == {"answer": "activate_my_card"}


def test_the_token_cap_cuts_with_length(ask):
    reply = ask(max_completion_tokens=1)
    assert (text_of(reply), reply.finish_reason) == ("activate", "length")


def test_too_long_a_prompt_is_refused(ask):
    with pytest.raises(Refusal) as caught:
        ask(messages=[{"role": "user", "content": "x" * 4 * CONTEXT_TOKENS}])
    assert caught.value.code == "context_length_exceeded"
