"""Answers asked for as JSON in words lose their code fence, whole or streamed, wherever the stream is cut."""

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.chat import Answer, Usage
from jobs.failures import Failure, FailureKind
from routing.dialects.base import Delta
from routing.dialects.completions import shown_usage
from routing.dialects.fences import UnfencedStream, Unfencer, unfenced
from routing.dialects.openai import OpenAIDialect
from tests.routing.dialects import written
from tests.routing.dialects.oracles import chunk_faults, completion_faults

CASES = [
    ('{"a": 1}', '{"a": 1}'),
    ('```json\n{"a": 1}\n```', '{"a": 1}'),
    ('\n```JSON \r\n{"a": "`"}\n```\n', '{"a": "`"}'),
    ("```\n[]\n```", "[]"),
    ('{"a": "```json\\n"}', '{"a": "```json\\n"}'),
    ("```python\nprint()\n```", "```python\nprint()\n```"),
    ("``` not a fence", "``` not a fence"),
    ('```json\n{"a": 1}\n``` I hope this helps', '{"a": 1}\n``` I hope this helps'),
    ('```json\n{"cut": ', '{"cut":'),
    ("  ", "  "),
    ("", ""),
    ("`", "`"),
]


def answer_of(text: str) -> Answer:
    return written.answer(text)


@pytest.mark.parametrize(("fenced", "plain"), CASES)
def test_whole_answers(fenced: str, plain: str):
    answer = unfenced(answer_of(fenced))
    assert isinstance(answer, Answer)
    assert answer.text == plain
    assert (msgspec.json.decode(answer.body)["choices"][0]["message"]["content"] or "") == plain
    assert completion_faults(answer.body) == []


class Spoken:
    """A decoder that says a text, one piece for each byte fed."""

    def __init__(self, pieces: list[str], end: Answer | Failure) -> None:
        self._words, self._closing = written.spoken(pieces)
        self._end = end

    def feed(self, data: bytes) -> list[Delta]:
        return self._words

    def end(self) -> list[Delta]:
        return [] if isinstance(self._end, Failure) else self._closing

    def finish(self) -> Answer | Failure:
        return self._end


@given(case=st.sampled_from(CASES), cuts=st.lists(st.integers(0, 40), max_size=6))
def test_streamed_answers_say_the_same_wherever_they_are_cut(case: tuple[str, str], cuts: list[int]):
    fenced, plain = case
    marks = [0, *sorted(min(cut, len(fenced)) for cut in cuts), len(fenced)]
    pieces = [fenced[start:end] for start, end in itertools.pairwise(marks)]
    stream = UnfencedStream(Spoken(pieces, answer_of(fenced)))
    deltas = [*stream.feed(b""), *stream.end()]
    chunks = [msgspec.json.decode(delta.chunk) for delta in deltas]
    assert "".join(shown["choices"][0]["delta"].get("content", "") for shown in chunks) == plain
    assert [fault for delta in deltas for fault in chunk_faults(delta.chunk)] == []
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    answer = stream.finish()
    assert isinstance(answer, Answer)
    assert answer.text == plain


def test_failures_and_usage_pass_through():
    broken = Failure(FailureKind.TRUNCATED, "cut")
    assert UnfencedStream(Spoken([], broken)).finish() is broken
    unfencer = UnfencedStream(Spoken([], broken))
    usage = Delta(written.writer("").closing(shown_usage(Usage(1, 1)))[-1].chunk, has_content=False)
    assert list(unfencer._rewrite(usage)) == [usage]


def test_a_stream_never_ends_inside_what_is_held():
    unfencer = Unfencer()
    assert unfencer.add("``") == ""
    assert unfencer.flush() == "``"


SPACES = " " * 1_000_000
TICK = "`"


@pytest.mark.parametrize(
    ("fenced", "plain"),
    [
        (f"```json\n{{{SPACES}}}\n```", f"{{{SPACES}}}"),
        (f"```json\n[]{SPACES}``{SPACES}```{SPACES}", f"[]{SPACES}``"),
        (f"{SPACES}x", f"{SPACES}x"),
        (f"{SPACES}```json{SPACES}\n[]", "[]"),
        (f"```{SPACES}x", f"```{SPACES}x"),
        ("```\n" + TICK * 1_000_000 + "x", TICK * 1_000_000 + "x"),
    ],
    ids=["inside", "around ticks", "before no fence", "around an opening", "after no opening", "ticks"],
)
@pytest.mark.parametrize("size", [1_000_001, 3], ids=["at once", "in pieces"])
def test_a_very_long_run_of_blanks_or_ticks_simply_ends(fenced: str, plain: str, size: int):
    """A tail read by a regular expression, or again for each piece, would take hours here."""
    unfencer = Unfencer()
    given_out = [unfencer.add(fenced[at : at + size]) for at in range(0, len(fenced), size)]
    assert "".join((*given_out, unfencer.flush())) == plain


def sent(choices: list[dict[str, Any]]) -> bytes:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + msgspec.json.encode({**head, "choices": choices}) + b"\n\n"


@st.composite
def mixed_streams(draw: st.DrawFn) -> tuple[list[str], bytes]:
    """The texts of several choices, and a stream that says them: in pieces, mixed, several to a chunk."""
    fenced = st.text(st.sampled_from("`` \n\r{}json1"), max_size=12).map(lambda text: f"```json\n{text}\n```")
    texts = draw(st.lists(st.sampled_from([case for case, _ in CASES]) | fenced, min_size=1, max_size=3))
    queues: dict[int, list[dict[str, Any]]] = {}
    for index, text in enumerate(texts):
        marks = [0, *sorted(draw(st.lists(st.integers(0, len(text)), max_size=5))), len(text)]
        pieces: list[dict[str, Any]] = [
            {"delta": {"content": text[start:end]}} for start, end in itertools.pairwise(marks)
        ]
        if draw(st.booleans()):
            pieces.append({"delta": {}})
        pieces[-1] = {**pieces[-1], "finish_reason": "stop"}  # alone, or with the last of the text
        pieces[0]["delta"]["role"] = "assistant"
        queues[index] = [{"index": index, **piece} for piece in pieces]
    stream = b""
    while queues:
        chosen = draw(st.lists(st.sampled_from(sorted(queues)), min_size=1, unique=True))
        stream += sent([queues[index].pop(0) for index in chosen])
        queues = {index: queue for index, queue in queues.items() if queue}
    return texts, stream + b"data: [DONE]\n\n"


@given(mixed_streams())
def test_every_choice_of_a_stream_says_what_is_stored_of_it(case: tuple[list[str], bytes]):
    texts, raw = case
    stream = UnfencedStream(OpenAIDialect().decode_stream())
    deltas = [*stream.feed(raw), *stream.end()]
    answer = stream.finish()
    assert isinstance(answer, Answer)
    stored = [choice["message"]["content"] for choice in msgspec.json.decode(answer.body)["choices"]]
    assert [fault for delta in deltas for fault in chunk_faults(delta.chunk)] == []
    said, ended = [""] * len(texts), [False] * len(texts)
    for delta in deltas:
        for choice in msgspec.json.decode(delta.chunk)["choices"]:
            index, content = choice["index"], choice["delta"].get("content") or ""
            assert delta.has_content or not content
            said[index] += content
            ended[index] |= choice.get("finish_reason") == "stop"
    assert said == stored
    assert all(ended)
    plain = dict(CASES)
    assert all(shown == plain.get(text, shown) for text, shown in zip(texts, stored, strict=True))
    assert answer.text == stored[0]


def test_what_stands_beside_a_fence_is_shown_though_the_fence_is_not():
    stream = UnfencedStream(OpenAIDialect().decode_stream())
    thought = {"role": "assistant", "content": "```json\n", "reasoning_content": "Hm"}
    (delta,) = stream.feed(sent([{"index": 0, "delta": thought}]))
    (choice,) = msgspec.json.decode(delta.chunk)["choices"]
    assert choice["delta"] == {"role": "assistant", "content": "", "reasoning_content": "Hm"}
    assert delta.has_content
    list(stream.feed(sent([{"index": 0, "delta": {"content": "1\n`"}}])))
    list(stream.feed(sent([{"index": 0, "delta": {"content": "`"}, "finish_reason": "length"}]) + b"data: [DONE]\n\n"))
    text, end = stream.end()
    assert msgspec.json.decode(text.chunk)["choices"][0]["delta"] == {"content": "\n``"}
    (last,) = msgspec.json.decode(end.chunk)["choices"]
    assert (last["index"], last["delta"], last["finish_reason"]) == (0, {}, "length")


def test_whole_answers_lose_the_fence_of_every_choice():
    made = written.writer("{}", "", "```json\n[2]\n```")
    made.choices[1].say("refusal", "No")
    answer = unfenced(made.answer(None, None, is_odd=False))
    assert isinstance(answer, Answer)
    assert answer.text == "{}"
    contents = [choice["message"]["content"] for choice in msgspec.json.decode(answer.body)["choices"]]
    assert contents == ["{}", None, "[2]"]
