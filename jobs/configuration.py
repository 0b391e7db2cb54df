"""Reads the settings' files and the environment; the only place that does."""

import os
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from jobs.settings import ProviderKey, Settings, SettingsError, Table, parse
from routing.book import EMPTY, Book, BookError, open_book
from routing.catalog import Catalog
from routing.catalog_load import catalog_of
from routing.shelf import EntryError, check_book

ENVIRONMENT = {"TOKENYARD_DATABASE_URL": "database_url", "TOKENYARD_REDIS_URL": "redis_url"}
SESSION_PREFIX = "tokenyard-"
"""Processes name their sessions in Postgres `tokenyard-ROLE@HOST`, by PGAPPNAME."""
SHIPPED = files("jobs").joinpath("defaults.toml")
SHIPPED_BOOK, KEPT = files("routing").joinpath("catalog.json"), files("routing").joinpath("catalog.toml")
CATALOG_VARIABLE = "TOKENYARD_CATALOG"
"""[catalog] file; a yard of `tokenyard up` names one in its var folder with it."""
NETWORKS_VARIABLE = "TOKENYARD_WEBHOOK_NETWORKS"
"""[webhooks] allow_networks, separated by commas; a yard of `tokenyard up` opens loopback with it."""
CONFIG_VARIABLE = "TOKENYARD_CONFIG"
"""Files to read instead of ./tokenyard.toml, separated like PATH; later files win."""


def load(flags: Table | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Defaults (jobs/defaults.toml) < files < environment < flags. Raises SettingsError with the file and the key."""
    environment = os.environ if environ is None else environ
    layers: list[Table] = [tomllib.loads(SHIPPED.read_text(encoding="utf-8"))]
    layers += [_read(path) for path in config_paths(environment)]
    if networks := environment.get(NETWORKS_VARIABLE):
        layers.append({"webhooks": {"allow_networks": networks.split(",")}})
    if catalog := environment.get(CATALOG_VARIABLE):
        layers.append({"catalog": {"file": catalog}})
    layers.append({key: environment[name] for name, key in ENVIRONMENT.items() if environment.get(name)})
    layers.append(flags or {})
    return parse(layers)


def load_catalog(settings: Settings) -> Catalog:
    """The catalogue of every process: the shipped file, the user's own if there is one, what is kept by hand, settings.

    Raises SettingsError with the file, the entry, and what is wrong with it.
    """
    return catalog_of(settings, KEPT.read_text(encoding="utf-8"), (shipped_book(), own_book(settings.catalog.file)))


def shipped_book() -> Book:
    """The catalogue file that ships with the product."""
    return open_book(SHIPPED_BOOK.read_bytes(), SHIPPED_BOOK.name)


def own_book(path: str) -> Book:
    """The user's catalogue file, every entry looked at once; empty when there is none yet. Raises SettingsError."""
    try:
        raw = Path(path).read_bytes() if path else None
    except FileNotFoundError:
        raw = None
    except OSError as error:
        raise SettingsError(f"catalog.file: {path} can't be read: {error.strerror}") from error
    if raw is None:
        return EMPTY
    try:
        book = open_book(raw, path)
        check_book(book)
    except (BookError, EntryError) as error:
        raise SettingsError(f"catalog.file: {error}; import it anew, or remove {path}") from error
    return book


def config_paths(environment: Mapping[str, str]) -> list[Path]:
    """The files to read, in order: those of TOKENYARD_CONFIG, else ./tokenyard.toml if it is there."""
    named = environment.get(CONFIG_VARIABLE)
    if named:
        return [Path(part) for part in named.split(os.pathsep) if part]
    default = Path("tokenyard.toml")
    return [default] if default.exists() else []


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SettingsError(f"settings: {path} does not exist; name an existing file in {CONFIG_VARIABLE}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"settings: {path} is not valid TOML: {error}") from error


def providers_on(settings: Settings, environ: Mapping[str, str] | None = None) -> frozenset[str]:
    """Providers that can be asked: those with a key in the environment, and those that want none."""
    environment = os.environ if environ is None else environ
    return frozenset(
        name for name, provider in settings.providers.items() if any(is_set(key, environment) for key in provider.keys)
    )


def is_set(key: ProviderKey, environ: Mapping[str, str] | None = None) -> bool:
    """Whether a key can be used: its variable holds something, or the provider wants none."""
    return key.env is None or bool((os.environ if environ is None else environ).get(key.env))


def secret(variable: str | None) -> str | None:
    """The key in an environment variable; None for a provider that wants none. Raises SettingsError if it is unset."""
    if variable is None:
        return None
    value = os.environ.get(variable)
    if not value:
        raise SettingsError(f"the environment variable {variable} holds no key")
    return value
