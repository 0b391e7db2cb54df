"""Whole answers and streams whose text is brought into OpenAI's form: what is shown is what is stored."""

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from jobs.chat import Answer
from jobs.failures import Failure, FailureKind
from routing.dialects.base import Delta, WireReply
from routing.dialects.openai import OpenAIDialect
from routing.dialects.wording import Wording
from tests.routing.dialects.oracles import chunk_faults, completion_faults

PLAIN = Wording("openai")
JSON = Wording("openai", is_json=True)
HEAD: dict[str, Any] = {"id": "c", "created": 1, "model": "m"}


def whole(wording: Wording, *messages: dict[str, Any], finish: str = "stop") -> Answer:
    choices: list[dict[str, Any]] = [
        {"index": index, "message": {"role": "assistant", **message}, "finish_reason": finish, "logprobs": None}
        for index, message in enumerate(messages)
    ]
    body = msgspec.json.encode({**HEAD, "object": "chat.completion", "choices": choices})
    answer = wording.whole(OpenAIDialect().decode(WireReply(200, {}, body)))
    assert isinstance(answer, Answer)
    assert completion_faults(answer.body) == []
    return answer


def streamed(wording: Wording, *deltas: dict[str, Any], finish: str = "stop") -> tuple[list[Delta], Answer]:
    decoder = wording.stream(OpenAIDialect().decode_stream())
    shown: list[Delta] = []
    pieces: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    pieces.append({"index": 0, "delta": {}, "finish_reason": finish})
    for piece in pieces:
        chunk = msgspec.json.encode({**HEAD, "object": "chat.completion.chunk", "choices": [piece]})
        shown += decoder.feed(b"data: " + chunk + b"\n\n")
    shown += decoder.feed(b"data: [DONE]\n\n")
    shown += decoder.end()
    answer = decoder.finish()
    assert isinstance(answer, Answer)
    assert [fault for delta in shown for fault in chunk_faults(delta.chunk)] == []
    return shown, answer


def message_of(answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = msgspec.json.decode(answer.body)["choices"][0]["message"]
    return message


def added_up(shown: list[Delta]) -> tuple[str | None, str | None]:
    """Content and reasoning as OpenAI's own accumulator adds the chunks up."""
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for delta in shown:
        state.handle_chunk(ChatCompletionChunk.model_validate_json(delta.chunk))
    message = state.current_completion_snapshot.choices[0].message
    return message.content, (message.model_extra or {}).get("reasoning_content")


def test_thoughts_of_a_whole_answer_become_reasoning():
    answer = whole(JSON, {"content": '<think>See [1].</think>\n{"a": 1}'})
    message = message_of(answer)
    assert (message["content"], message["reasoning_content"]) == ('{"a": 1}', "See [1].")
    assert answer.text == '{"a": 1}'


def test_a_tag_that_is_never_closed_leaves_an_empty_answer():
    answer = whole(JSON, {"content": '<think>Perhaps {"a": 1}'})
    assert message_of(answer)["reasoning_content"] == 'Perhaps {"a": 1}'
    assert answer.text == ""
    assert answer.is_empty
    assert not whole(JSON, {"content": "<think>Perhaps"}, finish="length").is_empty


@pytest.mark.parametrize(
    ("wording", "is_taken"),
    [
        (Wording("openai"), True),
        (Wording("openai", "vllm"), True),
        (Wording("openai", "openai"), False),
        (Wording("openai", "azure"), False),
        (Wording("anthropic"), False),
        (Wording("gemini"), False),
        (Wording("anthropic", is_json=True), True),
        (Wording("openai", "openai", is_json=True), True),
    ],
)
def test_plain_text_is_read_for_thoughts_where_servers_are_known_to_leave_them(wording: Wording, is_taken: bool):
    answer = whole(wording, {"content": "<think>a</think>b"})
    assert answer.text == ("b" if is_taken else "<think>a</think>b")


@pytest.mark.parametrize("text", ["It rains.", "I think <think> is a tag", "  spaced", '{"a": 1}'])
def test_an_answer_without_a_tag_at_its_start_is_handed_through(text: str):
    body = msgspec.json.encode(
        {
            **HEAD,
            "object": "chat.completion",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text, "refusal": None},
                    "finish_reason": "stop",
                    "logprobs": None,
                }
            ],
        }
    )
    decoded = OpenAIDialect().decode(WireReply(200, {}, body))
    assert PLAIN.whole(decoded) is decoded
    assert isinstance(decoded, Answer)
    assert decoded.body is body


class Untouched:
    """A decoder whose chunks are the same objects each time."""

    deltas = (
        Delta(msgspec.json.encode({**HEAD, "choices": [{"index": 0, "delta": {"content": "Hi"}}]}), has_content=True),
        Delta(b"is not read", has_content=True),
    )

    def feed(self, data: bytes) -> tuple[Delta, ...]:
        return self.deltas

    def end(self) -> tuple[Delta, ...]:
        return self.deltas[1:]

    def finish(self) -> Failure:
        return Failure(FailureKind.TRUNCATED, "cut")


def test_once_the_answer_has_begun_chunks_go_by_unread():
    decoder = PLAIN.stream(Untouched())
    first, second = decoder.feed(b"")
    assert first is Untouched.deltas[0]
    assert second is Untouched.deltas[1]
    assert decoder.feed(b"") is Untouched.deltas
    assert list(decoder.end()) == [second]


def test_every_choice_is_read():
    answer = whole(Wording("openai", choices=2), {"content": "a"}, {"content": "<think>b</think>c"})
    messages = [choice["message"] for choice in msgspec.json.decode(answer.body)["choices"]]
    assert [(message["content"], message.get("reasoning_content")) for message in messages] == [
        ("a", None),
        ("c", "b"),
    ]


def test_thoughts_that_the_provider_also_gives_apart_are_told_once():
    """MiniMax mirrors them: vellum-ai/vellum-assistant#34556."""
    message = message_of(whole(PLAIN, {"content": "<think>\nHm.</think>Hi", "reasoning_content": "Hm."}))
    assert (message["content"], message["reasoning_content"]) == ("Hi", "Hm.")
    shown, answer = streamed(
        PLAIN, {"content": "<think>\nH", "reasoning_content": "H"}, {"content": "m.</think>", "reasoning": "m."},
        {"content": "Hi"},
    )  # fmt: skip
    assert added_up(shown) == ("Hi", "Hm.")
    assert message_of(answer)["reasoning_content"] == "Hm."


def test_other_thoughts_beside_the_providers_own_are_kept():
    message = message_of(whole(PLAIN, {"content": "<think>b</think>Hi", "reasoning_content": "a"}))
    assert (message["content"], message["reasoning_content"]) == ("Hi", "ab")
    shown, answer = streamed(PLAIN, {"reasoning_content": "a"}, {"content": "<think>b</think>"}, {"content": "Hi"})
    assert added_up(shown) == ("Hi", "ab")
    assert message_of(answer)["reasoning_content"] == "ab"


def test_tokens_that_are_held_back_still_move_the_clock():
    decoder = JSON.stream(OpenAIDialect().decode_stream())
    choice = {"index": 0, "delta": {"content": "Let me see"}, "finish_reason": None}
    chunk = msgspec.json.encode({**HEAD, "object": "chat.completion.chunk", "choices": [choice]})
    (delta,) = decoder.feed(b"data: " + chunk + b"\n\n")
    assert delta.has_content
    assert msgspec.json.decode(delta.chunk)["choices"][0]["delta"]["content"] == ""


def test_a_whole_body_for_a_streamed_call_is_read_the_same():
    decoder = PLAIN.stream(OpenAIDialect().decode_stream())
    message = {"role": "assistant", "content": "<think>a</think>b"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    assert list(decoder.feed(msgspec.json.encode({**HEAD, "choices": [choice]}))) == []
    answer = decoder.finish()
    assert isinstance(answer, Answer)
    assert (answer.text, message_of(answer)["reasoning_content"]) == ("b", "a")


STARTS = st.sampled_from(
    ["", "<think>", "\n<think>\n", "<thinking>", "[THINK]", "```json\n", "{", "Hm ", "<", "<|channel|>"]
)
REST = st.lists(
    st.sampled_from(["</think>", "[/THINK]", "</thinking>", "\n```", "{}", " ", "Hm", "final<|message|>", "\n"]),
    max_size=6,
).map("".join)


@given(
    wording=st.sampled_from([PLAIN, JSON, Wording("openai", is_json=True, is_fenced=True)]),
    text=st.builds(str.__add__, STARTS, REST),
    own=st.sampled_from(["", "own"]),
    cuts=st.lists(st.integers(0, 40), max_size=5),
    finish=st.sampled_from(["stop", "length"]),
)
def test_shown_stored_and_whole_are_the_same(wording: Wording, text: str, own: str, cuts: list[int], finish: str):
    marks = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": ""},
        *([{"reasoning_content": own}] if own else []),
    ]
    deltas += [{"content": text[start:end]} for start, end in itertools.pairwise(marks)]
    shown, answer = streamed(wording, *deltas, finish=finish)
    stored = message_of(answer)
    assert added_up(shown) == (stored["content"], stored.get("reasoning_content"))
    assert answer.text == stored["content"]
    expected = message_of(whole(wording, {"content": text, **({"reasoning_content": own} if own else {})}))
    assert (stored["content"], stored.get("reasoning_content")) == (
        expected["content"],
        expected.get("reasoning_content"),
    )
