"""The words of `tokenyard catalog`: what an import changes, and what is known of a model."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from cli.wording import UNKNOWN, counted
from routing.catalog_shown import FACTS, SERVED_FACTS
from routing.sources.diff import Changes, FactChange, PriceChange
from routing.sources.update import Update

FEW = 8
"""Changes of a kind that are told without --all."""
Change = TypeVar("Change")


def summary_told(made: Update) -> Iterator[str]:
    """The counts: what the list has, what was left out and why, what would change."""
    reading, changes = made.reading, made.changes
    providers = len({sighting.provider for sighting in reading.sightings})
    yield (
        f"{reading.source}, as of {reading.as_of}: {counted(len(reading.sightings), 'deployment')} "
        f"at {counted(providers, 'provider')}."
    )
    if reading.left_out:
        reasons = ", ".join(f"{count:,} ({reason})" for reason, count in reading.left_out.items())
        yield f"Left out: {reasons}."
    yield (
        f"New: {counted(len(changes.new_models), 'model')}, {counted(len(changes.new_deployments), 'deployment')}. "
        f"Changed: {counted(len(changes.prices), 'price')}, {counted(len(changes.windows), 'window')}, "
        f"{counted(len(changes.facts), 'other fact')}. Gone from the list: {len(changes.gone):,}. "
        f"The same: {changes.unchanged:,}."
    )


def changes_told(changes: Changes, *, everything: bool) -> Iterator[str]:
    """A line for each change; without `everything` the first few of each kind."""
    most = None if everything else FEW
    yield from _some("prices", sorted(changes.prices, key=_size), _price, most)
    yield from _some("windows", changes.windows, _fact, most)
    yield from _some("new models", changes.new_models, str, most)
    yield from _some("new deployments", changes.new_deployments, str, most)
    yield from _some("gone (kept, with their history)", changes.gone, str, most)
    yield from _some("other facts", changes.facts, _fact, most)


def facts_told(of: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Rows of a model or deployment as the API shows it: fact, value, source, day. What nobody knows is said, too."""
    names = [name for name in (*FACTS, *SERVED_FACTS) if name in of]
    rows = []
    for name in names:
        said = of["evidence"].get(name, {})
        rows.append((name, _value(of[name]), said.get("source") or "", said.get("as_of") or ""))
    if "price" in of:
        rows += [_priced(price) for price in (of["price"], *of["earlier_prices"]) if price is not None]
        if of["price"] is None:
            rows.append(("price", UNKNOWN, "", ""))
    return rows


def _priced(price: dict[str, Any]) -> tuple[str, str, str, str]:
    kinds = [f"{name.removesuffix('_usd_per_mtok')} {usd}" for name, usd in price.items() if name.endswith("_per_mtok")]
    kinds += [f"search {usd} per million" for name, usd in price.items() if name == "search_usd_per_million"]
    longer = [
        f"above {each['above_input_tokens']:,}: {each['input_usd_per_mtok']}/{each['output_usd_per_mtok']}"
        for each in price["long"]
    ]
    return ("price, $/M", ", ".join([*kinds, *longer]), price["source"], price["valid_from"])


def _value(value: Any) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return ", ".join(value) if isinstance(value, list) else str(value)


def _size(change: PriceChange) -> tuple[bool, float]:
    """The largest change first, then those that have nothing to be compared with."""
    return change.percent is None, -abs(change.percent or 0)


def _some(kind: str, changes: Sequence[Change], told: Any, most: int | None) -> Iterator[str]:
    if not changes:
        return
    yield ""
    yield f"{kind}:"
    for change in changes[:most]:
        yield f"  {told(change)}"
    if most is not None and len(changes) > most:
        yield f"  ... and {len(changes) - most:,} more: --all"


def _price(change: PriceChange) -> str:
    old, new = change.old or UNKNOWN, change.new or UNKNOWN
    percent = "" if change.percent is None else f" ({change.percent:+g} %)"
    return f"{change.deployment}: {change.kind} {old} -> {new}{percent}"


def _fact(change: FactChange) -> str:
    return f"{change.of}: {change.field} {_value(change.old)} -> {_value(change.new)}"
