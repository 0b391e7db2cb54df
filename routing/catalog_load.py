"""Builds the catalogue from the shipped entries and the settings' own."""

import tomllib
from typing import Any

import msgspec

from jobs.settings import Settings, SettingsError
from routing.catalog import Catalog, Deployment, Model


def catalog_of(settings: Settings, shipped_toml: str) -> Catalog:
    """The shipped entries, overridden and extended by `[[models]]` and `[[deployments]]` of the settings.

    Raises SettingsError with the entry and what is wrong with it.
    """
    shipped = tomllib.loads(shipped_toml)
    models = [_entry(Model, entry) for entry in (*shipped["models"], *settings.models)]
    deployments = [_entry(Deployment, entry) for entry in (*shipped["deployments"], *settings.deployments)]
    try:
        return Catalog.of(models, deployments)
    except ValueError as error:
        raise SettingsError(f"catalogue: {error}") from error


def _entry(kind: type[Any], entry: dict[str, Any]) -> Any:
    try:
        return msgspec.convert(entry, kind, strict=False)
    except msgspec.ValidationError as error:
        name = entry.get("id") or f"{entry.get('model')}@{entry.get('provider')}"
        raise SettingsError(f"catalogue: [[{kind.__name__.lower()}s]] {name}: {error}") from error
