"""Thoughts that a server left in the content, in the tags of the model's template, become `reasoning_content`.

Servers without a parser for their model's thoughts hand them out as text: `<think>...</think>answer`. Only a tag at the
very start of an answer counts, white space aside; one within it belongs to the answer. A tag that is never closed
leaves no answer at all.

Where JSON was asked for, two more forms count, which a plain text may well have for reasons of its own: tags that
prompts ask for (`<thinking>`), and a closing tag alone (the template had opened it in the prompt), unless the text
begins as JSON does.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from routing.dialects.channels import OPENINGS, Channels
from routing.dialects.rewriting import Split


class Tag(NamedTuple):
    """How a model's template marks its thoughts."""

    opening: str
    closing: str
    source: str


TAGS = (
    Tag(
        "<think>",
        "</think>",
        "DeepSeek-R1, Qwen3, GLM-4.5, MiniMax-M2: docs.vllm.ai reasoning_outputs (v0.11.2); left in content: "
        "sgl-project/sglang#22637, earendil-works/pi#9007 (MiniMax-M3 itself, 2026-09-02)",
    ),
    Tag("<mm:think>", "</mm:think>", "MiniMax-M3: vllm-project/vllm#46042 (2026-07-31)"),
    Tag("<seed:think>", "</seed:think>", "Seed-OSS: vLLM's parser seed_oss"),
    Tag("[THINK]", "[/THINK]", "Magistral: vLLM's parser mistral"),
    Tag("\u25c1think\u25b7", "\u25c1/think\u25b7", "Kimi: Open WebUI's DEFAULT_REASONING_TAGS; Kimi-VL's template"),
    Tag("<|begin_of_thought|>", "<|end_of_thought|>", "OpenThinker, Sky-T1: Open WebUI's DEFAULT_REASONING_TAGS"),
    Tag("<|START_THINKING|>", "<|END_THINKING|>", "Command A Reasoning, R7B: llama.cpp's COMMAND_R7B format"),
    Tag("<|channel>thought", "<channel|>", "Gemma 4: vllm-project/vllm#48262 (2026-07-10)"),
)
"""Tags of templates: no prompt is likely to ask for them."""
PROMPTED = (
    Tag("<thinking>", "</thinking>", "prompts for Claude; Open WebUI's DEFAULT_REASONING_TAGS, as the next three"),
    Tag("<reasoning>", "</reasoning>", ""),
    Tag("<reason>", "</reason>", ""),
    Tag("<thought>", "</thought>", ""),
)
"""Tags that callers ask for in words, to read them themselves."""
STRIPPED = "assistantfinal"
"""What is left between thoughts and answer of gpt-oss without its special tokens: Augustas11/macprovider#743."""
_JSON_STARTS = ('"', "{", "[", "`")
_LONGEST = max(len(tag.closing) for tag in (*TAGS, *PROMPTED))
_CLOSINGS = [re.escape(tag.closing) for tag in (*TAGS, *PROMPTED)]
_BARE_CLOSING = re.compile("|".join((*_CLOSINGS, STRIPPED)), re.IGNORECASE)


def may_begin_with_thoughts(text: str, *, is_json: bool) -> bool:
    """Whether a whole text has to be read for thoughts: a look at its start."""
    start = text.lstrip()
    if is_json and not start.startswith(_JSON_STARTS):
        return bool(start)
    return any(_starts(start, opening) for opening in _openings(TAGS))


def _openings(tags: tuple[Tag, ...]) -> tuple[str, ...]:
    return (*(tag.opening for tag in tags), *OPENINGS)


def _starts(text: str, opening: str) -> bool:
    return text[: len(opening)].lower() == opening.lower()


class TaggedThoughts:
    r"""Implements `routing.dialects.rewriting.Rewriter`.

    >>> TaggedThoughts().add("<think>See [1].</think>\n\\nIt rains.")
    Split(content='It rains.', thoughts='See [1].')
    """

    _tags: tuple[Tag, ...] = TAGS
    _guesses = False
    """Thoughts may begin without a tag."""

    def __init__(self) -> None:
        self._blanks: list[str] = []
        """White space that the text begins with."""
        self._held = ""
        """What may be the beginning of a tag."""
        self._read: Callable[[str], Split] = self._begin
        self._closing: re.Pattern[str] | None = None
        self._mark = ""
        self._channels: Channels | None = None
        self._has_thoughts = False
        self._is_begun = False
        """Of the thoughts in the tag, some are more than white space."""
        self._unknown: list[str] = []

    @property
    def is_plain(self) -> bool:
        """The answer itself has begun."""
        return self._read == self._answer

    def add(self, piece: str) -> Split:
        """As `Rewriter.add`."""
        return self._read(piece) if piece else Split()

    def flush(self) -> Split:
        """As `Rewriter.flush`. A beginning that was no tag after all is content; what is not closed is thoughts."""
        if self._channels is not None:
            return self._channels.flush()
        held, self._held = self._held, ""
        if self._read == self._think:
            return Split(thoughts=self._thought(held))
        if self._read == self._guess:
            return Split("".join((*self._blanks, *self._unknown)))
        blanks, self._blanks = self._blanks, []
        return Split("".join((*([] if self._has_thoughts else blanks), held)))

    def _answer(self, piece: str) -> Split:
        return Split(piece)

    def _begin(self, piece: str) -> Split:
        """At the start, or behind thoughts: more of them, or the answer."""
        if not self._held:
            text = piece.lstrip()
            self._blanks.append(piece[: len(piece) - len(text)])
            piece = text
        if not piece:
            return Split()
        self._held += piece
        held = self._held
        if any(_starts(held, opening) for opening in OPENINGS) and not self._has_thoughts:
            self._channels = Channels()
            self._read = self._channels.add
            return self._channels.add(held)
        for tag in self._tags:
            if _starts(held, tag.opening):
                return self._open(tag, held[len(tag.opening) :])
        if any(_starts(opening, held) for opening in _openings(self._tags)):
            return Split()
        self._held = ""
        if self._guesses and not self._has_thoughts and not held.startswith(_JSON_STARTS):
            self._read = self._guess
            return self._guess(held)
        blanks, self._blanks = self._blanks, []
        self._read = self._answer
        return Split("".join((*([] if self._has_thoughts else blanks), held)))

    def _open(self, tag: Tag, rest: str) -> Split:
        self._held, self._has_thoughts, self._is_begun = "", True, False
        self._closing, self._mark = re.compile(re.escape(tag.closing), re.IGNORECASE), tag.closing
        self._read = self._think
        return self._think(rest)

    def _think(self, piece: str) -> Split:
        """Thoughts up to their closing tag; the end of a piece that may be a part of that waits."""
        assert self._closing is not None
        text = self._held + piece
        end = self._closing.search(text)
        if end is None:
            sure = len(text) - overlap(text, self._mark)
            self._held = text[sure:]
            return Split(thoughts=self._thought(text[:sure]))
        return self._close(self._thought(text[: end.start()]), text[end.end() :])

    def _thought(self, text: str) -> str:
        """Thoughts without the white space that they begin with; a model that does not think leaves nothing else."""
        text = text if self._is_begun else text.lstrip()
        self._is_begun = self._is_begun or bool(text)
        return text

    def _close(self, thoughts: str, rest: str) -> Split:
        self._held, self._blanks, self._has_thoughts = "", [], True
        self._read = self._begin
        content, more = self._begin(rest) if rest else Split()
        return Split(content, thoughts + more)

    def _guess(self, piece: str) -> Split:
        """Text that may be thoughts, or prose around the JSON: known at a closing tag, or at the end."""
        self._unknown.append(piece)
        text = self._held + piece
        end = _BARE_CLOSING.search(text)
        if end is None:
            self._held = text[-_LONGEST:]
            return Split()
        whole = "".join(self._unknown)
        behind = len(text) - end.start()
        thoughts, rest = whole[: len(whole) - behind], text[end.end() :]
        self._unknown = []
        return self._close(thoughts, rest)


class ThoughtsBeforeJson(TaggedThoughts):
    """The same of an answer that was asked for as JSON."""

    _tags = (*TAGS, *PROMPTED)
    _guesses = True


def overlap(text: str, mark: str) -> int:
    """How many characters at the end of a text may be the beginning of a mark."""
    tail = text[-(len(mark) - 1) :].lower()
    return next((size for size in range(len(tail), 0, -1) if mark.lower().startswith(tail[-size:])), 0)
