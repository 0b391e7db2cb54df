"""The app's own list of its routes, so that no test can forget a new one."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from api.auth import Needs
from jobs.store.accounts import Scope


class Route(NamedTuple):
    """A method and a path; the scopes its key must have (none: it is public); the query parameters it reads."""

    method: str
    path: str
    scopes: frozenset[Scope]
    query: tuple[str, ...]


def routes_of(app: FastAPI) -> list[Route]:
    """Every route there is, documented or not."""
    found = []
    for route in _walk(app.routes):
        if isinstance(route, APIRoute):
            scopes = frozenset(need.scope for need in _needs(route.dependant))
            query = tuple(dict.fromkeys(_query(route.dependant)))
            found += [Route(method, route.path, scopes, query) for method in sorted(route.methods or ())]
        else:
            found += [Route(method, route.path, frozenset(), ()) for method in sorted(route.methods)]
    return found


def _walk(routes: Any) -> Iterator[Any]:
    for route in routes:
        if hasattr(route, "path"):
            yield route
        else:
            yield from _walk(route.original_router.routes)


def _needs(dependant: Dependant) -> Iterator[Needs]:
    for below in dependant.dependencies:
        if isinstance(below.call, Needs):
            yield below.call
        yield from _needs(below)


def _query(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.query_params)
    for below in dependant.dependencies:
        yield from _query(below)
