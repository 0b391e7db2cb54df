"""Reads ids out of paths and query parameters: what is not an id of ours is not found."""

import uuid
from typing import Any

from fastapi import Query

from api.problems import Code, Problem
from jobs import ids
from jobs.ids import InvalidId


def read_id(prefix: str, text: str) -> uuid.UUID:
    """The uuid of an id in a path. Raises Problem (404)."""
    try:
        return ids.read(prefix, text)
    except InvalidId as error:
        raise Problem(Code.NOT_FOUND, str(error), "id") from error


def reference(prefix: str) -> Any:
    """A query parameter that holds an id: its shape for the docs page. `read_reference` reads it."""
    return Query(json_schema_extra={"pattern": ids.pattern(prefix)})


def read_reference(name: str, prefix: str, text: str | None) -> uuid.UUID | None:
    """The uuid of an id in a query parameter. Raises Problem (400)."""
    if text is None:
        return None
    try:
        return ids.read(prefix, text)
    except InvalidId as error:
        raise Problem(Code.INVALID_VALUE, f"{name}: {error}", name) from error


def not_found(what: str, text: str) -> Problem:
    """The 404, the same for what does not exist and for what is another tenant's."""
    return Problem(Code.NOT_FOUND, f"there is no {what} {text[:60]!r} of your tenant", "id")
