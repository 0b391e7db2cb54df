"""Thoughts left in the content: found at the start of an answer only, wherever a stream is cut."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.dialects.rewriting import Rewriter, Split
from routing.dialects.tagged_thoughts import (
    PROMPTED,
    TAGS,
    TaggedThoughts,
    ThoughtsBeforeJson,
    may_begin_with_thoughts,
)

JSON = '{"a": 1}'
HARMONY = (
    "<|channel|>analysis<|message|>See [1].<|end|><|start|>assistant<|channel|>commentary<|message|> Hm.<|end|>"
    f"<|start|>assistant<|channel|>final <|constrain|>json<|message|>{JSON}<|return|>"
)


def read(rewriter: Rewriter, *pieces: str) -> Split:
    said = [rewriter.add(piece) for piece in pieces] + [rewriter.flush()]
    return Split("".join(split.content for split in said), "".join(split.thoughts for split in said))


@pytest.mark.parametrize("tag", TAGS, ids=lambda tag: tag.opening)
@pytest.mark.parametrize("kind", [TaggedThoughts, ThoughtsBeforeJson], ids=["text", "json"])
def test_thoughts_in_the_tags_of_a_template_are_no_content(tag, kind):
    text = f"\n{tag.opening}\nSee [1].{tag.closing}\n\n{JSON}"
    assert read(kind(), text) == (JSON, "See [1].")
    assert read(kind(), *text) == (JSON, "See [1].")
    assert may_begin_with_thoughts(text, is_json=kind is ThoughtsBeforeJson)


@pytest.mark.parametrize("tag", PROMPTED, ids=lambda tag: tag.opening)
def test_tags_that_prompts_ask_for_count_before_json_only(tag):
    text = f"{tag.opening}Hm.{tag.closing}{JSON}"
    assert read(ThoughtsBeforeJson(), text) == (JSON, "Hm.")
    assert read(TaggedThoughts(), text) == (text, "")


@pytest.mark.parametrize(
    ("text", "content", "thoughts"),
    [
        ("<think>See [1]. {draft", "", "See [1]. {draft"),
        ("<think>\n\n</think>\n\nHi", "Hi", ""),
        ("<think>a</think> <think>b</think>\nHi", "Hi", "ab"),
        ("<THINK>a</Think>Hi", "Hi", "a"),
        ("<think>a < b </thin </think>Hi", "Hi", "a < b </thin "),
        ("  <thi", "  <thi", ""),
        ("  Hi <think>a</think>", "  Hi <think>a</think>", ""),
        ("The tag <think> opens, </think> closes.", "The tag <think> opens, </think> closes.", ""),
        ("Hm.</think>Hi", "Hm.</think>Hi", ""),
        ("", "", ""),
        (" \n", " \n", ""),
        (HARMONY, JSON, "See [1]. Hm."),
        ("<|start|>assistant<|channel|>final<|message|>Hi<|end|>", "Hi", ""),
        ("<|start|>assistant<|message|>Hi", "Hi", ""),
        ("<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|call|>", "", "{}"),
        ("<|channel|>analysis<|message|>a<|end|> b <|channel|>final<|message|>c <|d", "c <|d", "a b "),
    ],
)
def test_a_tag_counts_at_the_very_start(text: str, content: str, thoughts: str):
    assert read(TaggedThoughts(), text) == (content, thoughts)
    assert read(TaggedThoughts(), *text) == (content, thoughts)


@pytest.mark.parametrize(
    ("text", "content", "thoughts"),
    [
        (f"See [1].</think>\n{JSON}", JSON, "See [1]."),
        (f"\nSee [1].[/THINK]{JSON}", JSON, "See [1]."),
        (f"analysisWe need JSON.assistantfinal{JSON}", JSON, "analysisWe need JSON."),
        (f"Sure: {JSON}", f"Sure: {JSON}", ""),
        (f'{JSON}</think>{{"a": 2}}', f'{JSON}</think>{{"a": 2}}', ""),
        ('{"a": "</think>"}', '{"a": "</think>"}', ""),
        ("```json\n{}</think>", "```json\n{}</think>", ""),
        ("[1]", "[1]", ""),
    ],
)
def test_before_json_a_closing_tag_alone_ends_thoughts_too(text: str, content: str, thoughts: str):
    assert read(ThoughtsBeforeJson(), text) == (content, thoughts)
    assert read(ThoughtsBeforeJson(), *text) == (content, thoughts)


PIECES = st.sampled_from(
    [
        *itertools.chain.from_iterable((tag.opening, tag.closing) for tag in (*TAGS, *PROMPTED)),
        "<|channel|>",
        "<|message|>",
        "<|start|>assistant",
        "final",
        "analysis",
        "<|end|>",
        "<|",
        "<",
        "[",
        " ",
        "\n",
        "{",
        '"',
        "Hm",
        "think",
        "assistantfinal",
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=3), max_size=8).map("".join)
KINDS = st.sampled_from([TaggedThoughts, ThoughtsBeforeJson])


@given(kind=KINDS, text=TEXTS, cuts=st.lists(st.integers(0, 80), max_size=6))
def test_it_is_the_same_wherever_the_text_is_cut(kind, text: str, cuts: list[int]):
    marks = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(marks)]
    assert read(kind(), *pieces) == read(kind(), text)


@given(kind=KINDS, text=TEXTS)
def test_a_text_that_begins_with_no_tag_is_content_to_the_byte(kind, text: str):
    is_json = kind is ThoughtsBeforeJson
    if not may_begin_with_thoughts(text, is_json=is_json):
        rewriter = kind()
        assert read(rewriter, text) == (text, "")
        assert rewriter.is_plain or not text.strip() or len(text.strip()) < 20


@pytest.mark.parametrize(
    "text",
    [
        "<think>" + "<" * 100_000,
        "<think>" + " " * 100_000 + "</think>" + " " * 100_000 + "x",
        "x" * 100_000 + "</think>",
        " " * 200_000,
        "<|channel|>" + "<|" * 100_000,
    ],
    ids=["openings", "blanks", "a guess", "only blanks", "tokens"],
)
def test_a_long_text_in_small_pieces_simply_ends(text: str):
    """Reading all that is held again for each piece would take hours here."""
    for kind in (TaggedThoughts, ThoughtsBeforeJson):
        read(kind(), *text)
