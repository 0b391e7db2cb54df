"""Reads the settings' files and the environment; the only place that does."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.settings import Settings, SettingsError, Table, parse

ENVIRONMENT = {"TOKENYARD_DATABASE_URL": "database_url", "TOKENYARD_REDIS_URL": "redis_url"}
CONFIG_VARIABLE = "TOKENYARD_CONFIG"
"""Files to read instead of ./tokenyard.toml, separated like PATH; later files win."""


def load(flags: Table | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Defaults < files < environment < flags. Raises SettingsError with the file and the key."""
    environment = os.environ if environ is None else environ
    layers: list[Table] = [_read(path) for path in config_paths(environment)]
    layers.append({key: environment[name] for name, key in ENVIRONMENT.items() if environment.get(name)})
    layers.append(flags or {})
    return parse(layers)


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
