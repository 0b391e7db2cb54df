"""Brings a database to the head of the migrations; also `python -m migrations.run`."""

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from jobs.configuration import load

_INI = Path(__file__).with_name("alembic.ini")


def _config(database_url: str) -> Config:
    config = Config(str(_INI))
    config.attributes["database_url"] = database_url
    return config


def upgrade(database_url: str, revision: str = "head") -> None:
    """Run what is missing up to `revision`; nothing to do is fine."""
    command.upgrade(_config(database_url), revision)


def downgrade(database_url: str, revision: str) -> None:
    """Go back to `revision` (`base` empties the schema)."""
    command.downgrade(_config(database_url), revision)


def head() -> str:
    """The revision this code expects; `/readyz` compares it with the database."""
    revision = ScriptDirectory.from_config(_config("")).get_current_head()
    return revision or ""


if __name__ == "__main__":
    url = load().database_url
    if not url:
        sys.exit("migrate: set TOKENYARD_DATABASE_URL to the database to migrate")
    upgrade(url)
    print(f"database is at {head()}")  # noqa: T201 -- a command's answer
