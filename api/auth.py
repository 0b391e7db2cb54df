"""Who is asking: the dependencies that give a route its key, and refuse query parameters nobody reads."""

import difflib
from typing import Annotated

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from api.front import front_of
from api.problems import Code, Problem
from jobs.store.accounts import Key, Scope


class Needs:
    """A dependency: the key of the request, which must have the scope. Raises Problem (401, 403)."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> Key:
        """The key, once it has shown itself."""
        return await front_of(request).keys.check(request.headers.get("authorization"), self.scope)


NEEDS_READ = Depends(Needs(Scope.READ))
Submitter = Annotated[Key, Depends(Needs(Scope.SUBMIT))]
Reader = Annotated[Key, NEEDS_READ]
Admin = Annotated[Key, Depends(Needs(Scope.ADMIN))]


async def known_query(request: Request) -> None:
    """Refuse a query parameter that the route does not read: a typo would widen what is asked for, unseen."""
    if not request.scope["query_string"]:
        return
    route = request.scope.get("route")
    assert isinstance(route, APIRoute)
    known = _names(route.dependant)
    for name in request.query_params:
        if name not in known:
            near = difflib.get_close_matches(name[:100], known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known) or 'none'}"
            raise Problem(Code.UNKNOWN_FIELD, f"{name[:100]!r}: unknown query parameter; {hint}", name[:100])


def _names(dependant: Dependant) -> list[str]:
    """Query parameters of a route and of what it depends on."""
    names = [field.alias for field in dependant.query_params]
    for below in dependant.dependencies:
        names += _names(below)
    return names
