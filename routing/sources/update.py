"""An import from end to end: a list's bytes over a catalogue give the new file, and what it changes."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from functools import reduce

import msgspec

from routing.book import Book, Entry, merged, write_book
from routing.sources import litellm, models_dev, openrouter
from routing.sources.diff import Changes, compare
from routing.sources.fold import fold, known_places
from routing.sources.sighting import Reading

READERS: dict[str, Callable[[bytes, dt.date], Reading]] = {
    litellm.SOURCE: litellm.read,
    models_dev.SOURCE: models_dev.read,
    openrouter.SOURCE: openrouter.read,
}


class Update(msgspec.Struct, frozen=True):
    """What an import would do."""

    reading: Reading
    changes: Changes
    file: bytes
    """The user's catalogue file as it would be."""


def update(source: str, raw: bytes, as_of: dt.date, books: Sequence[Book], own: Book) -> Update:
    """Lay a list over the catalogue. `books`: what lies under the user's own file, `own`: that file as it is.

    Raises ListError for a list, BookError for a catalogue file that can't be read.
    """
    reading = READERS[source](raw, as_of)
    before = entries_of((*books, own))
    read = fold(reading, before)
    kept = {model_id: own.entry(model_id) for model_id in own.raw}
    after = _over(before, read)
    seen = {f"{model_id}@{provider}" for model_id, provider in known_places(read)}
    return Update(reading, compare(before, after, reading, seen), write_book(_over(kept, read)))


def entries_of(books: Sequence[Book]) -> dict[str, Entry]:
    """All entries of several files, as one."""
    ids = dict.fromkeys(model_id for book in books for model_id in book.raw)
    return {
        model_id: reduce(merged, [book.entry(model_id) for book in books if model_id in book.raw]) for model_id in ids
    }


def _over(under: Mapping[str, Entry], read: Mapping[str, Entry]) -> dict[str, Entry]:
    laid = {model_id: merged(under[model_id], entry) for model_id, entry in read.items() if model_id in under}
    return {**under, **read, **laid}
