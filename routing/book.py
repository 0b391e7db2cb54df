"""A catalogue file: what price lists said of models and deployments, cell by cell, with who said it and when.

One JSON object: `format`, `sources` (a table of who and when) and `models`, a line each:

    "maker/name": {"model": {"has_tools": [true, 3]}, "deployments": {"provider": {"facts": {"upstream": ["x", 3]},
        "prices": [{"input": "2.5", "output": "10", "valid_from": "2026-08-18", "source": 1}]}}}

A cell is a value and the place of its source in the table. Of two cells the maker's own stands, else the
one said later, so that files can be laid over each other in any order. Prices are a history: see `merged_prices`.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from msgspec.structs import replace

FORMAT = 1
Cells = dict[str, "Cell"]
Raw = dict[str, Any]


class BookError(ValueError):
    """A catalogue file can't be read; the message says where and what to do."""


class Said(msgspec.Struct, frozen=True, order=True, omit_defaults=True):
    """When something was said, and by whom."""

    as_of: dt.date
    source: str
    own: bool = False
    """Of a model, by its own maker's price list: that goes before what resellers say, whenever they say it."""


class Cell(msgspec.Struct, frozen=True):
    """One fact."""

    value: Any
    said: Said


class Asked(msgspec.Struct, frozen=True):
    """What a provider asked: amounts as text (lists of long prompts under `long`), from a day on."""

    figures: Mapping[str, Any]
    valid_from: dt.date
    said: Said


class Place(msgspec.Struct, frozen=True):
    """A model at a provider: facts of the deployment, and its prices, the newest first."""

    facts: Cells
    prices: tuple[Asked, ...]


class Entry(msgspec.Struct, frozen=True):
    """A model, and where it is served."""

    model: Cells
    places: Mapping[str, Place]


class Book(msgspec.Struct, frozen=True):
    """An opened file: entries are read when they are asked for."""

    sources: tuple[Said, ...]
    raw: Mapping[str, msgspec.Raw]
    digest: bytes = b""
    """SHA-256 of the file."""

    def entry(self, model_id: str) -> Entry:
        """One entry. Raises KeyError when there is none, BookError when it is not as it should be."""
        try:
            return _entry(msgspec.json.decode(self.raw[model_id]), self.sources)
        except (msgspec.DecodeError, LookupError, TypeError, ValueError, AttributeError) as error:
            if model_id not in self.raw:
                raise
            raise BookError(f"entry {model_id!r}: {error}") from error


class _File(msgspec.Struct):
    format: int
    sources: tuple[Said, ...]
    models: dict[str, msgspec.Raw]


EMPTY = Book((), {})


def open_book(raw: bytes, name: str) -> Book:
    """A file's book; entries are not looked at yet. Raises BookError."""
    try:
        read = msgspec.json.decode(raw, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BookError(f"{name}: not a catalogue file: {error}; import it anew or remove it") from error
    if read.format != FORMAT:
        raise BookError(f"{name}: its format is {read.format}, and this version reads {FORMAT}; import it anew")
    return Book(read.sources, read.models, hashlib.sha256(raw).digest())


def write_book(entries: Mapping[str, Entry]) -> bytes:
    """The file of these entries: by id, a line each, the same bytes for the same entries."""
    sources = sorted({said for entry in entries.values() for said in _sayings(entry)})
    number = {said: place for place, said in enumerate(sources)}
    lines = [
        msgspec.json.encode(model_id) + b": " + msgspec.json.encode(_raw_entry(entries[model_id], number))
        for model_id in sorted(entries)
    ]
    head = b'{"format": %d, "sources": %b, "models": {\n' % (FORMAT, msgspec.json.encode(sources))
    return head + b",\n".join(lines) + b"\n}}\n"


def merged(one: Entry, other: Entry) -> Entry:
    """Two entries of one model as one, whichever comes first: cell by cell, see `newest`."""
    places = {
        provider: _merged_place(one.places.get(provider), other.places.get(provider))
        for provider in sorted({*one.places, *other.places})
    }
    return Entry(newest(one.model, other.model), places)


def newest(one: Cells, other: Cells) -> Cells:
    """Cell by cell the maker's own word, else what was said later.

    On the same day the later name by the alphabet: order never counts.
    """
    cells = dict(one)
    for name, cell in other.items():
        known = cells.get(name)
        if known is None or _rank(known) < _rank(cell):
            cells[name] = cell
    return dict(sorted(cells.items()))


def merged_prices(one: Iterable[Asked], other: Iterable[Asked]) -> tuple[Asked, ...]:
    """Two histories as one, the newest first.

    A price was true on its first day and on the day when it was last said. Of two that are said for one day the later
    saying stands. What only repeats the price before it (the same amounts in every kind that both know) leaves that
    one's first day as it is, and adds the kinds that it knows more.
    """
    by_day: dict[dt.date, Asked] = {}
    for asked in sorted((*one, *other), key=_order):
        for day in (asked.valid_from, asked.said.as_of):
            by_day[day] = asked
    history: list[Asked] = []
    for day, asked in sorted(by_day.items()):
        if history and _agree(history[-1].figures, asked.figures):
            history[-1] = _repeated(history[-1], asked)
        else:
            history.append(replace(asked, valid_from=day))
    return tuple(reversed(history))


def _repeated(known: Asked, again: Asked) -> Asked:
    earlier, later = sorted((known, again), key=_order)
    figures = dict(sorted({**earlier.figures, **later.figures}.items()))
    return Asked(figures, known.valid_from, later.said)


def _order(asked: Asked) -> tuple[Said, str]:
    return asked.said, _text(asked.figures)


def told(cells: Cells) -> Raw:
    """Cells as fields of a Model or Deployment: values, the source of most of them, and evidence for the rest."""
    if not cells:
        return {}
    counts: dict[Said, int] = {}
    for cell in cells.values():
        counts[cell.said] = counts.get(cell.said, 0) + 1
    main = max(counts, key=lambda said: (counts[said], said))
    evidence = {
        name: {"source": cell.said.source, "as_of": cell.said.as_of}
        for name, cell in cells.items()
        if cell.said != main
    }
    values = {name: cell.value for name, cell in cells.items()}
    return values | {"source": main.source, "as_of": main.as_of, "evidence": evidence}


def price_fields(asked: Asked) -> Raw:
    """Fields of a Price."""
    return {**asked.figures, "valid_from": asked.valid_from, "source": asked.said.source}


def _merged_place(one: Place | None, other: Place | None) -> Place:
    if one is None or other is None:
        found = one or other
        assert found is not None
        return found
    return Place(newest(one.facts, other.facts), merged_prices(one.prices, other.prices))


def _rank(cell: Cell) -> tuple[bool, Said, str]:
    return cell.said.own, cell.said, _text(cell.value)


def _text(value: Any) -> str:
    return msgspec.json.encode(value, order="sorted").decode()


def _agree(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two prices ask the same for everything that both know."""
    return all(_same(one[name], other[name]) for name in one.keys() & other.keys())


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return Decimal(one) == Decimal(other)
    if not isinstance(one, Sequence) or not isinstance(other, Sequence):
        return bool(one == other)
    steps = [{step["above_input_tokens"]: step for step in steps} for steps in (one, other)]
    return steps[0].keys() == steps[1].keys() and all(_agree(steps[0][at], steps[1][at]) for at in steps[0])


def _entry(raw: Raw, sources: tuple[Said, ...]) -> Entry:
    places = {
        provider: Place(
            _cells(place["facts"], sources), tuple(_asked(price, sources) for price in place.get("prices", ()))
        )
        for provider, place in raw.get("deployments", {}).items()
    }
    return Entry(_cells(raw["model"], sources), places)


def _cells(raw: Raw, sources: tuple[Said, ...]) -> Cells:
    return {name: Cell(value, sources[at]) for name, (value, at) in raw.items()}


def _asked(raw: Raw, sources: tuple[Said, ...]) -> Asked:
    figures = {name: value for name, value in raw.items() if name not in ("valid_from", "source")}
    return Asked(figures, dt.date.fromisoformat(raw["valid_from"]), sources[raw["source"]])


def _sayings(entry: Entry) -> Iterable[Said]:
    yield from (cell.said for cell in entry.model.values())
    for place in entry.places.values():
        yield from (cell.said for cell in place.facts.values())
        yield from (asked.said for asked in place.prices)


def _raw_entry(entry: Entry, number: Mapping[Said, int]) -> Raw:
    places = {
        provider: {
            "facts": _raw_cells(place.facts, number),
            "prices": [
                {**asked.figures, "valid_from": asked.valid_from, "source": number[asked.said]}
                for asked in place.prices
            ],
        }
        for provider, place in sorted(entry.places.items())
    }
    return {"model": _raw_cells(entry.model, number), "deployments": places}


def _raw_cells(cells: Cells, number: Mapping[Said, int]) -> Raw:
    return {name: [cell.value, number[cell.said]] for name, cell in sorted(cells.items())}
