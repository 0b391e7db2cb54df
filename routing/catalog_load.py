"""Builds the catalogue from the shipped entries and the settings' own."""

import difflib
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
        catalog = Catalog.of(models, deployments)
    except ValueError as error:
        raise SettingsError(f"catalogue: {error}") from error
    check(settings, catalog)
    return catalog


def check(settings: Settings, catalog: Catalog) -> None:
    """Refuse settings that could only fail later: a tier or a deployment that names what is not there.

    Raises SettingsError with the nearest known name.
    """
    known = [*catalog.models, *catalog.deployments]
    for name, policy in settings.policies.items():
        for wanted in (wanted for tier in policy.tiers for wanted in tier):
            if wanted not in catalog.models and wanted not in catalog.deployments:
                hint = _hint(wanted, known)
                raise SettingsError(f"policies.{name}: no model or deployment is called {wanted!r}{hint}")
    for entry in settings.deployments:  # the shipped ones may serve providers that these settings leave out
        provider = entry["provider"]
        if provider not in settings.providers:
            hint = _hint(provider, list(settings.providers))
            raise SettingsError(f"deployment {entry['model']}@{provider}: no provider is called {provider!r}{hint}")


def _hint(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _entry(kind: type[Any], entry: dict[str, Any]) -> Any:
    try:
        return msgspec.convert(entry, kind, strict=False)
    except msgspec.ValidationError as error:
        name = entry.get("id") or f"{entry.get('model')}@{entry.get('provider')}"
        raise SettingsError(f"catalogue: [[{kind.__name__.lower()}s]] {name}: {error}") from error
