"""Folds a list's sightings into catalogue entries: one for each set of weights, with a place for each provider."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from routing.book import Asked, Cell, Cells, Entry, Place, Said
from routing.catalog import OFFERED, WINDOWS
from routing.sources.makers import OWN_PROVIDERS
from routing.sources.names import key_of
from routing.sources.sighting import Reading, Sighting

HERE_TOO = (*WINDOWS, *OFFERED)
"""Facts that each provider decides for itself; the model has those of its maker, or of most."""


def fold(reading: Reading, known_ids: Iterable[str]) -> dict[str, Entry]:
    """Entries by id. A model that is known already keeps its id, however this list spells it."""
    known = {key: model_id for model_id in known_ids if (key := place_of(model_id))}
    groups: dict[tuple[str, str], list[Sighting]] = defaultdict(list)
    for sighting in reading.sightings:
        groups[sighting.maker, sighting.key].append(sighting)
    models: dict[str, list[Sighting]] = defaultdict(list)
    for place, group in groups.items():
        model_id = known.get(place) or f"{place[0]}/{_spelling(place[0], group)}"
        for sighting in group:
            models[sighting.fixed or model_id].append(sighting)
    return {model_id: _entry(group, reading) for model_id, group in sorted(models.items())}


def place_of(model_id: str) -> tuple[str, str] | None:
    """Maker and key of an id; None when it is not `maker/name`."""
    maker, slash, name = model_id.partition("/")
    return (maker, key_of(name)) if slash and name else None


def _spelling(maker: str, group: Sequence[Sighting]) -> str:
    """The maker's own spelling, else that of most, else the shortest."""
    own = [sighting for sighting in group if OWN_PROVIDERS.get(sighting.provider) == maker]
    counts = Counter(sighting.name for sighting in own or group)
    return min(counts, key=lambda name: (-counts[name], len(name), name))


def _entry(group: Sequence[Sighting], reading: Reading) -> Entry:
    ordered = sorted(group, key=lambda one: (OWN_PROVIDERS.get(one.provider) != one.maker, one.provider))
    model = _model(ordered, reading)
    places: dict[str, Place] = {}
    for sighting in ordered:
        places.setdefault(sighting.provider, _place(sighting, reading))
    return Entry(model, dict(sorted(places.items())))


def _model(ordered: Sequence[Sighting], reading: Reading) -> Cells:
    """What the model's own maker says of it; of a model that its maker does not sell, what most of its providers say.

    A maker's silence is not filled with what a reseller says: it may mean another version, or its own wrapping.
    """
    cells: Cells = {}
    own = [sighting for sighting in ordered if OWN_PROVIDERS.get(sighting.provider) == sighting.maker]
    heard = own or ordered
    for name in sorted({name for sighting in heard for name in sighting.facts}):
        saying = [sighting for sighting in heard if name in sighting.facts]
        values = Counter(_text(sighting.facts[name]) for sighting in saying)
        most = min(values, key=lambda text: (-values[text], text))
        first = next(sighting for sighting in saying if _text(sighting.facts[name]) == most)
        cells[name] = Cell(_plain(first.facts[name]), Said(reading.as_of, first.source, own=bool(own)))
    return cells


def _place(sighting: Sighting, reading: Reading) -> Place:
    said = Said(reading.as_of, sighting.source)
    facts: dict[str, Any] = {"upstream": sighting.upstream, **sighting.here}
    facts |= {name: sighting.facts[name] for name in HERE_TOO if name in sighting.facts}
    cells = {name: Cell(_plain(value), said) for name, value in sorted(facts.items())}
    return Place(cells, (Asked(dict(sorted(sighting.price.items())), reading.as_of, said),))


def _plain(value: Any) -> Any:
    """As it is read back from a file, so that what is unchanged compares equal."""
    return msgspec.to_builtins(value)


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def known_places(entries: Mapping[str, Entry]) -> set[tuple[str, str]]:
    """Model id and provider of every deployment."""
    return {(model_id, provider) for model_id, entry in entries.items() for provider in entry.places}
