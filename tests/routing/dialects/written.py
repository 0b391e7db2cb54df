"""Answers and chunks written by hand, as the dialects of other makers write them."""

from typing import Any

from jobs.chat import Answer, Usage
from routing.dialects.base import Delta
from routing.dialects.completions import shown_usage
from routing.dialects.stream_writer import StreamWriter

HEAD = {"id": "msg_1", "created": 0, "model": "claude"}


def writer(*texts: str, end: str = "stop") -> StreamWriter:
    """A writer to which a choice has been said for each text; an empty one is a choice that said nothing."""
    made = StreamWriter()
    made.head = HEAD
    for index, text in enumerate(texts):
        choice = made.choice(index)
        choice.end = end
        if text:
            choice.say("content", text)
    return made


def answer(*texts: str, end: str = "stop", usage: Usage | None = None) -> Answer:
    """A whole answer."""
    return writer(*texts, end=end).answer(usage, shown_usage(usage), is_odd=False)


def spoken(pieces: list[str]) -> tuple[list[Delta], list[Delta]]:
    """The chunks of a text in pieces, and those that end it."""
    made = writer("")
    choice = made.choices[0]
    words = [delta for piece in pieces for delta in made.write(choice, choice.say("content", piece), has_content=True)]
    return words, made.closing(None)


def piece(delta: dict[str, Any]) -> Delta:
    """One chunk of an answer that has begun."""
    made = writer("")
    return made.write(made.choices[0], delta, has_content=True)[-1]
