"""Reads harmony, the format in which gpt-oss speaks, where a server hands it out raw: only `final` is the answer.

`<|channel|>analysis<|message|>thoughts<|end|><|start|>assistant<|channel|>final<|message|>answer<|return|>`. Thoughts
and the commentary on calls become reasoning, the control tokens go.

Sources: kekzl/imp#768 (2026-06-23), ml-explore/mlx-lm#1867 (2026-09-09), NVIDIA/TensorRT-LLM#9256 (2025-11-26: content
`<|channel|>commentary<|message|>...`); text between messages and tokens that are missing: vllm-project/vllm#35906.
"""

import re

from routing.dialects.rewriting import Split

OPENINGS = ("<|channel|>", "<|start|>assistant")
"""What such a text begins with."""
_TOKEN = re.compile(r"<\|(channel|message|constrain|start|end|return|call)\|>")
_LONGEST_TOKEN = len("<|constrain|>")
_MAYBE_TOKEN = re.compile(r"<(?:\|[a-z]{0,9}\|?)?\Z")
_MOST_HEADER = 200
"""Characters of a header that are looked at: `commentary to=functions.weather json`."""


class Channels:
    """Implements `routing.dialects.rewriting.Rewriter` for a text that begins with one of OPENINGS."""

    is_plain = False

    def __init__(self) -> None:
        self._held = ""
        self._place = "between"
        """header: of a message; role: in front of it; body; between: two messages."""
        self._header = ""
        self._is_final = False
        self._has_thoughts = False

    def add(self, piece: str) -> Split:
        """As `Rewriter.add`."""
        text = self._held + piece
        maybe = _MAYBE_TOKEN.search(text, max(0, len(text) - _LONGEST_TOKEN))
        sure = len(text) if maybe is None else maybe.start()
        self._held = text[sure:]
        return self._read(text[:sure])

    def flush(self) -> Split:
        """As `Rewriter.flush`."""
        held, self._held = self._held, ""
        return self._read(held)

    def _read(self, text: str) -> Split:
        said: dict[bool, list[str]] = {True: [], False: []}
        at = 0
        for token in _TOKEN.finditer(text):
            self._text(text[at : token.start()], said)
            self._token(token[1])
            at = token.end()
        self._text(text[at:], said)
        return Split("".join(said[True]), "".join(said[False]))

    def _text(self, text: str, said: dict[bool, list[str]]) -> None:
        if self._place == "header":
            self._header = (self._header + text)[:_MOST_HEADER]
        elif self._place == "body" and self._is_final:
            said[True].append(text)
        elif self._place in ("body", "between"):  # what stands between two messages is of neither, and no answer
            text = text if self._has_thoughts else text.lstrip()
            self._has_thoughts = self._has_thoughts or bool(text)
            said[False].append(text)

    def _token(self, name: str) -> None:
        match name:
            case "channel":
                self._place, self._header = "header", ""
            case "message":
                self._is_final = self._place == "role" or self._header.split()[:1] == ["final"]
                self._place = "body"
            case "constrain":
                self._header += " "
            case "start":
                self._place, self._header = "role", ""
            case _:
                self._place = "between"
