"""Opens catalogue entries one by one when they are asked for: thousands lie in the file, and a yard uses a few.

Layers, each over those before it: catalogue files (merged cell by cell, what was said later stands), what is kept by
hand for whole providers and families of models, what is kept by hand for single entries, and the settings.
"""

import fnmatch
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

import msgspec

from routing.book import Book, BookError, Entry, Place, Raw, merged, price_fields, told
from routing.catalog import OFFERED, Deployment, Model

OWN_NAMES = ("id", "name", "match", "model", "provider", "source", "as_of", "evidence", "price", "earlier_prices")
"""Fields of an entry that are no facts of the model or deployment."""


class EntryError(ValueError):
    """An entry is not as it should be; the message names it."""


class Kept(msgspec.Struct, frozen=True):
    """Entries kept by hand, one layer: fields as TOML has them, by id."""

    name: str
    """Said to be the source of what has none of its own."""
    models: Mapping[str, Raw]
    deployments: Mapping[str, Mapping[str, Raw]]
    """By model, by provider."""
    families: Sequence[Raw] = ()
    """`match`: patterns of ids; the rest: fields of all models that fit one, the last that fits going first."""
    providers: Mapping[str, Raw] = {}
    """Fields of all deployments of a provider that files know."""


class Opened(msgspec.Struct, frozen=True):
    """A model and its deployments."""

    model: Model
    deployments: Mapping[str, Deployment]
    """By id."""


class Shelf:
    """All entries of all layers by model id."""

    def __init__(self, books: Sequence[Book], kept: Sequence[Kept]) -> None:
        self._books = books
        self._kept = kept
        self._opened: dict[str, Opened] = {}
        self._at: dict[frozenset[str], list[str]] = {}
        named = [*(book.raw for book in books), *(layer.models for layer in kept)]
        self.ids: dict[str, None] = dict.fromkeys(model_id for names in named for model_id in names)

    def open(self, model_id: str) -> Opened:
        """An entry. Raises KeyError when there is none, EntryError when it is not as it should be."""
        found = self._opened.get(model_id)
        if found is None:
            if model_id not in self.ids:
                raise KeyError(model_id)
            found = self._opened[model_id] = self._read(model_id)
        return found

    def at(self, providers: Collection[str]) -> list[str]:
        """Ids of the models that any of these providers serves; only entries that name one are opened.

        Found once for the same providers: they are those of the settings, so the questions are few.
        """
        asked = frozenset(providers)
        found = self._at.get(asked)
        if found is None:
            found = self._at[asked] = self._find(asked)
        return found

    def _find(self, providers: frozenset[str]) -> list[str]:
        marks = [msgspec.json.encode(name) for name in providers]
        named = {
            model_id
            for book in self._books
            for model_id, raw in book.raw.items()
            if any(mark in memoryview(raw).tobytes() for mark in marks)
        }
        named |= {
            model_id
            for layer in self._kept
            for model_id, places in layer.deployments.items()
            if not places.keys().isdisjoint(providers)
        }
        return [
            name
            for name in self.ids
            if name in named and any(each.provider in providers for each in self.open(name).deployments.values())
        ]

    def _read(self, model_id: str) -> Opened:
        entries = [book.entry(model_id) for book in self._books if model_id in book.raw]
        entry = reduce(merged, entries) if entries else Entry({}, {})
        fields = told(entry.model)
        for layer in self._kept:
            for family in layer.families:
                if any(fnmatch.fnmatchcase(model_id, pattern) for pattern in family["match"]):
                    fields = laid_over(fields, family, layer.name)
            fields = laid_over(fields, layer.models.get(model_id, {}), layer.name)
        fields.setdefault("context_tokens", fields.get("max_input_tokens"))
        model = _convert(fields | {"id": model_id}, Model, model_id)
        places = dict.fromkeys([*entry.places, *(name for layer in self._kept for name in self._in(layer, model_id))])
        served = [self._deployment(model, provider, entry.places.get(provider)) for provider in places]
        return Opened(model, {each.id: each for each in served})

    def _deployment(self, model: Model, provider: str, place: Place | None) -> Deployment:
        fields = told(place.facts) if place is not None else {}
        prices = [price_fields(asked) for asked in place.prices] if place is not None else []
        for layer in self._kept:
            if place is not None:
                fields = laid_over(fields, layer.providers.get(provider, {}), layer.name)
            by_hand = self._in(layer, model.id).get(provider, {})
            fields = laid_over(fields, by_hand, layer.name)
            prices = _prices(by_hand, prices)
        said = {name: fields.pop(name) for name in OFFERED if name in fields}
        lacks = {name for name, has in said.items() if has is False and getattr(model, name) is not False}
        fields |= {"model": model.id, "provider": provider, "lacks": sorted({*fields.get("lacks", ()), *lacks})}
        if prices:
            fields |= {"price": prices[0], "earlier_prices": prices[1:]}
        served: Deployment = _convert(fields, Deployment, f"{model.id}@{provider}")
        return served

    @staticmethod
    def _in(layer: Kept, model_id: str) -> Mapping[str, Raw]:
        return layer.deployments.get(model_id, {})


class Models(Mapping[str, Model]):
    """A shelf's models by id."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def __getitem__(self, model_id: str) -> Model:
        return self._shelf.open(model_id).model

    def __contains__(self, model_id: object) -> bool:
        return model_id in self._shelf.ids

    def __iter__(self) -> Iterator[str]:
        return iter(self._shelf.ids)

    def __len__(self) -> int:
        return len(self._shelf.ids)


class Served(Mapping[str, tuple[Deployment, ...]]):
    """The deployments of each model."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def __getitem__(self, model_id: str) -> tuple[Deployment, ...]:
        return tuple(self._shelf.open(model_id).deployments.values())

    def __iter__(self) -> Iterator[str]:
        return iter(self._shelf.ids)

    def __len__(self) -> int:
        return len(self._shelf.ids)

    def at(self, providers: Collection[str], /) -> list[str]:
        """Ids of the models that any of these providers serves."""
        return self._shelf.at(providers)


class Deployments(Mapping[str, Deployment]):
    """A shelf's deployments by id. To go through all of them opens every entry."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def __getitem__(self, name: str) -> Deployment:
        return self._shelf.open(name.rpartition("@")[0]).deployments[name]

    def __contains__(self, name: object) -> bool:
        model_id = name.rpartition("@")[0] if isinstance(name, str) else ""
        return model_id in self._shelf.ids and name in self._shelf.open(model_id).deployments

    def __iter__(self) -> Iterator[str]:
        for model_id in self._shelf.ids:
            yield from self._shelf.open(model_id).deployments

    def __len__(self) -> int:
        return sum(1 for _ in self)


def check_book(book: Book) -> None:
    """Open every entry of a file once. Raises BookError, EntryError with the first that is not as it should be."""
    shelf = Shelf((book,), ())
    for model_id in shelf.ids:
        shelf.open(model_id)


def kept_by_model(entries: Iterable[Raw]) -> dict[str, dict[str, Raw]]:
    """Deployment entries by model and provider; of two for one place the later stands."""
    found: dict[str, dict[str, Raw]] = {}
    for entry in entries:
        found.setdefault(str(entry.get("model")), {})[str(entry.get("provider"))] = entry
    return found


def laid_over(fields: Raw, by_hand: Raw, layer: str) -> Raw:
    """Fields with those of an entry kept by hand over them, each with the entry's source as its evidence."""
    facts = {name: value for name, value in by_hand.items() if name not in OWN_NAMES}
    if not by_hand:
        return fields
    if not fields:
        return {**facts, **{name: by_hand[name] for name in ("source", "as_of", "evidence") if name in by_hand}}
    said = {"source": by_hand.get("source", layer), "as_of": by_hand.get("as_of")}
    evidence = {**fields.get("evidence", {}), **dict.fromkeys(facts, said), **by_hand.get("evidence", {})}
    return {**fields, **facts, "evidence": evidence}


def _prices(by_hand: Raw, below: list[Raw]) -> list[Raw]:
    """Prices kept by hand, the newest first, then those from below that are older than all of them."""
    if "price" not in by_hand:
        return below
    if by_hand["price"] is None:
        return []  # said to be unknown, whatever the lists say
    above = [by_hand["price"], *by_hand.get("earlier_prices", ())]
    first = min(str(price.get("valid_from", "")) for price in above)
    return above + [price for price in below if str(price["valid_from"]) < first]


def _convert(fields: Raw, kind: type[Any], name: str) -> Any:
    try:
        return msgspec.convert(fields, kind, strict=False)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise EntryError(f"[[{kind.__name__.lower()}s]] {name}: {error}") from error


__all__ = ["BookError", "EntryError", "Kept", "Opened", "Shelf"]
