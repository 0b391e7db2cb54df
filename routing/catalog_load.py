"""Builds the catalogue from its files, what is kept by hand, and the settings' own entries."""

import difflib
import hashlib
import tomllib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from jobs.settings import Settings, SettingsError
from routing.book import Book, BookError
from routing.catalog import Catalog, nearest
from routing.shelf import Deployments, EntryError, Kept, Models, Served, Shelf, kept_by_model

BY_HAND, SETTINGS = "kept by hand", "tokenyard.toml"
"""Names of the two upper layers, where an entry names no source."""


def catalog_of(settings: Settings, kept_toml: str, books: Sequence[Book] = ()) -> Catalog:
    """The catalogue files' entries, under those kept by hand, under `[[models]]` and `[[deployments]]` of the settings.

    An upper entry replaces the fields that it names. Entries of files are opened when they are asked for; those kept by
    hand are checked here. Raises SettingsError with the entry and what is wrong with it.
    """
    kept = tomllib.loads(kept_toml)
    layers = (
        _layer(BY_HAND, kept.get("models", ()), kept.get("deployments", ()), kept),
        _layer(SETTINGS, settings.models, settings.deployments, {}),
    )
    shelf = Shelf(books, layers)
    try:
        for layer in layers:
            _check_layer(shelf, layer)
    except (EntryError, BookError) as error:
        raise SettingsError(f"catalogue: {error}") from error
    catalog = Catalog(Models(shelf), Deployments(shelf), Served(shelf), _version(books, layers))
    check(settings, catalog)
    return catalog


def check(settings: Settings, catalog: Catalog) -> None:
    """Refuse settings that could only fail later: a tier or a deployment that names what is not there.

    Raises SettingsError with the nearest known name.
    """
    for name, policy in settings.policies.items():
        for wanted in (wanted for tier in policy.tiers for wanted in tier):
            if wanted not in catalog.models and wanted not in catalog.deployments:
                raise SettingsError(
                    f"policies.{name}: no model or deployment is called {wanted!r}{hint(wanted, catalog)}"
                )
    for entry in settings.deployments:  # the shipped ones may serve providers that these settings leave out
        provider = entry["provider"]
        if provider not in settings.providers:
            near = difflib.get_close_matches(provider, list(settings.providers), n=1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise SettingsError(f"deployment {entry['model']}@{provider}: no provider is called {provider!r}{meant}")


def hint(wanted: str, catalog: Catalog) -> str:
    """`; did you mean ...?`, or nothing."""
    near = nearest(wanted, (), catalog)
    return f"; did you mean {near!r}?" if near else ""


def _layer(name: str, models: Iterable[Any], deployments: Iterable[Any], more: dict[str, Any]) -> Kept:
    return Kept(
        name=name,
        models={str(entry.get("id")): entry for entry in models},
        deployments=kept_by_model(deployments),
        families=more.get("families", ()),
        providers={entry["name"]: entry for entry in more.get("providers", ())},
    )


def _check_layer(shelf: Shelf, layer: Kept) -> None:
    """Open what is kept by hand, so that a mistake in it is told at the start. Raises EntryError."""
    for model_id, places in layer.deployments.items():
        if model_id not in shelf.ids:
            place = f"{model_id}@{next(iter(places))}"
            raise EntryError(f"deployment {place}: there is no model {model_id!r}; add it under [[models]]")
    for model_id in dict.fromkeys([*layer.models, *layer.deployments]):
        shelf.open(model_id)


def _version(books: Iterable[Book], layers: Iterable[Kept]) -> str:
    """Twelve hex digits that change with any fact."""
    digest = hashlib.sha256()
    for book in books:
        digest.update(book.digest)
    for layer in layers:
        digest.update(msgspec.json.encode(layer, order="sorted"))
    return digest.hexdigest()[:12]
