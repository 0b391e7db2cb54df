"""Which scope each route demands: a table over the app's own routes, so that a new one must say what it is."""

from collections import defaultdict

from fastapi import FastAPI

from jobs.store.accounts import Scope
from tests.api.caller import Caller
from tests.api.conftest import make_key
from tests.api.routes import Route, routes_of

PUBLIC = {"/openapi.json", "/healthz", "/readyz", "/metrics", "/docs"}
"""Say nothing of any tenant."""
OF_THE_PAGE = {"/", "/page/live", "/page/{name}", "/login", "/logout"}
"""Opened by a session that an admin's key signed; `tests/api/page` holds them to it."""
FOR_ADMINS = ("/v1/keys", "/v1/budgets", "/v1/tenant", "/v1/webhooks", "/v1/ledger/rerate")
READS_BY_POST: set[str] = set()
"""What asks in a body and changes nothing."""


def wanted(route: Route) -> frozenset[Scope]:
    if route.path in PUBLIC | OF_THE_PAGE:
        return frozenset()
    if route.path.startswith(FOR_ADMINS):
        return frozenset({Scope.ADMIN})
    return frozenset({Scope.READ if route.method in {"GET", "HEAD"} or route.path in READS_BY_POST else Scope.SUBMIT})


def app_of(caller: Caller) -> FastAPI:
    app: FastAPI = caller.client._transport.app  # type: ignore[attr-defined]
    return app


async def test_every_route_demands_the_scope_it_should(caller: Caller):
    found = routes_of(app_of(caller))
    assert len(found) > 30
    assert {route: route.scopes for route in found} == {route: wanted(route) for route in found}
    by_scope = defaultdict(list)
    for route in found:
        by_scope[route.scopes].append(route)
    assert set(by_scope) == {frozenset(), *(frozenset({scope}) for scope in Scope)}


async def test_a_key_without_the_scope_is_refused_before_anything_is_looked_at(caller: Caller):
    keys = {scope: await make_key(caller.database, "default", scope) for scope in Scope}
    for route in routes_of(app_of(caller)):
        for scope, key in keys.items():
            if route.scopes and scope not in route.scopes:
                path = route.path.replace("{", "").replace("}", "")
                response = await caller.client.request(
                    route.method, path, headers={"authorization": f"Bearer {key}"}, content=b"{"
                )
                assert response.status_code == 403, route
                assert response.json()["error"]["code"] == "missing_scope", route
