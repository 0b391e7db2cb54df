"""What an import would change: new, gone, prices, windows and other facts; before anything is written."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from routing.book import Entry, Place
from routing.sources.sighting import Reading

WINDOWS = ("context_tokens", "max_input_tokens", "max_output_tokens")


class PriceChange(msgspec.Struct, frozen=True):
    """One amount of a deployment's newest price, USD per million tokens."""

    deployment: str
    kind: str
    """As in `Price`; of long prompts with the length: `input above 200000`."""
    old: str | None
    new: str | None
    percent: float | None
    """None where there is nothing to compare with."""


class FactChange(msgspec.Struct, frozen=True):
    """One fact of a model or a deployment."""

    of: str
    field: str
    old: Any
    new: Any


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that an import would change, in the order of ids."""

    new_models: tuple[str, ...]
    new_deployments: tuple[str, ...]
    """At models that are new, too."""
    gone: tuple[str, ...]
    """Deployments whose price this source said last, and that are not in the list any more. They stay, with their
    history: a ledger may name their prices."""
    prices: tuple[PriceChange, ...]
    windows: tuple[FactChange, ...]
    facts: tuple[FactChange, ...]
    unchanged: int
    """Deployments of which only the day moved on."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing would change but days."""
        return not (self.new_models or self.new_deployments or self.prices or self.windows or self.facts)


def compare(before: Mapping[str, Entry], after: Mapping[str, Entry], reading: Reading, seen: set[str]) -> Changes:
    """Differences between two states of a catalogue. `seen`: the deployments that the list has."""
    prices: list[PriceChange] = []
    facts: list[FactChange] = []
    new_deployments: list[str] = []
    unchanged = 0
    for model_id in sorted(after):
        old, new = before.get(model_id), after[model_id]
        if old is not None:
            facts += _facts(model_id, _values(old.model), _values(new.model))
        for provider, place in new.places.items():
            name, was = f"{model_id}@{provider}", old.places.get(provider) if old is not None else None
            if was is None:
                new_deployments.append(name)
                continue
            changed = [*_prices(name, was, place)], [*_facts(name, _values(was.facts), _values(place.facts))]
            prices += changed[0]
            facts += changed[1]
            unchanged += name in seen and not any(changed)
    return Changes(
        new_models=tuple(sorted(set(after) - set(before))),
        new_deployments=tuple(new_deployments),
        gone=tuple(_gone(before, reading.source, seen)),
        prices=tuple(prices),
        windows=tuple(change for change in facts if change.field in WINDOWS),
        facts=tuple(change for change in facts if change.field not in WINDOWS),
        unchanged=unchanged,
    )


def figures_of(place: Place) -> dict[str, str]:
    """The newest price as amounts by kind; lists of long prompts spread out."""
    if not place.prices:
        return {}
    flat: dict[str, str] = {}
    for name, value in place.prices[0].figures.items():
        if name == "long":
            for rates in value:
                above = rates["above_input_tokens"]
                flat |= {f"{kind} above {above}": usd for kind, usd in rates.items() if kind != "above_input_tokens"}
        else:
            flat[name] = value
    return flat


def _prices(name: str, was: Place, now: Place) -> Iterator[PriceChange]:
    old, new = figures_of(was), figures_of(now)
    for kind in sorted({*old, *new}):
        before, after = old.get(kind), new.get(kind)
        if before is not None and after is not None and Decimal(before) == Decimal(after):
            continue
        if before != after:
            yield PriceChange(name, kind, before, after, _percent(before, after))


def _percent(before: str | None, after: str | None) -> float | None:
    if before is None or after is None or not Decimal(before):
        return None
    return round(float((Decimal(after) / Decimal(before) - 1) * 100), 1)


def _values(cells: Mapping[str, Any]) -> dict[str, Any]:
    return {name: cell.value for name, cell in cells.items()}


def _facts(of: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[FactChange]:
    for field in sorted({*old, *new}):
        if old.get(field) != new.get(field):
            yield FactChange(of, field, old.get(field), new.get(field))


def _gone(before: Mapping[str, Entry], source: str, seen: set[str]) -> Iterator[str]:
    for model_id, entry in sorted(before.items()):
        for provider, place in entry.places.items():
            said = place.prices[0].said.source if place.prices else ""
            if said.partition(":")[0] == source and f"{model_id}@{provider}" not in seen:
                yield f"{model_id}@{provider}"
