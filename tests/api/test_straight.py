"""The straight way to a hot route and FastAPI's answer alike: the same words for the same mistakes, the same job."""

from typing import Any

import msgspec
import pytest

from api.app import HOT
from jobs.store.accounts import Scope
from jobs.store.session import StoreUnavailable
from tests.api.caller import JOB, Caller
from tests.api.conftest import make_key
from tests.api.routes import routes_of

CHAT = "/v1/chat/completions"
GOOD = msgspec.json.encode(JOB["request"] | {"intent": {"max_cost_usd": "0"}})
CASES: list[tuple[str, bytes, dict[str, str]]] = [
    ("/v1/jobs", b"{", {}),
    ("/v1/jobs", msgspec.json.encode(JOB | {"lane": "fast"}), {}),
    ("/v1/jobs", msgspec.json.encode(JOB), {"authorization": "Bearer ty_none_none"}),
    ("/v1/jobs", msgspec.json.encode(JOB), {"authorization": ""}),
    ("/v1/jobs", b"x" * 200_001, {}),
    ("/v1/jobs", msgspec.json.encode(JOB), {"content-encoding": "gzip"}),
    (CHAT, b"{}", {}),
    (CHAT, GOOD, {"idempotency-key": "\t"}),
    (CHAT, GOOD.replace(b"auto", b"nobody"), {}),
]


async def told(caller: Caller, path: str, content: bytes, headers: dict[str, str]) -> tuple[int, Any, Any]:
    """Status, body and the headers that matter."""
    response = await caller.client.request(
        "POST", path, content=content, headers={"authorization": f"Bearer {caller.key}"} | headers
    )
    kept = {name: response.headers.get(name) for name in ("www-authenticate", "retry-after", "content-type")}
    return response.status_code, response.json(), kept


async def by_fastapi(caller: Caller, path: str, content: bytes, headers: dict[str, str]) -> tuple[int, Any, Any]:
    """The same with the straight way closed."""
    app: Any = caller.client._transport.app  # type: ignore[attr-defined]
    layer = app.middleware_stack
    while not hasattr(layer, "_routes"):
        layer = getattr(layer, "_app", None) or layer.app
    kept, layer._routes = layer._routes, {}
    try:
        return await told(caller, path, content, headers)
    finally:
        layer._routes = kept


@pytest.mark.parametrize(("path", "content", "headers"), CASES)
async def test_both_ways_refuse_with_the_same_words(caller: Caller, path: str, content: bytes, headers: dict[str, str]):
    straight = await told(caller, path, content, headers)
    assert straight[0] >= 400
    assert straight == await by_fastapi(caller, path, content, headers)


async def test_a_key_without_the_scope_is_refused_on_both(caller: Caller):
    reader = Caller(
        caller.client, caller.front, caller.database, await make_key(caller.database, "default", Scope.READ)
    )
    straight = await told(reader, "/v1/jobs", msgspec.json.encode(JOB), {})
    assert straight[0] == 403
    assert straight == await by_fastapi(reader, "/v1/jobs", msgspec.json.encode(JOB), {})


async def test_a_record_that_is_away_is_a_503_with_its_time(caller: Caller, monkeypatch: pytest.MonkeyPatch):
    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(type(caller.front.submissions), "add", away)
    for path, content in (("/v1/jobs", msgspec.json.encode(JOB)), (CHAT, msgspec.json.encode(JOB["request"]))):
        status, _, headers = await told(caller, path, content, {})
        assert (status, headers["retry-after"]) == (503, "2")


async def test_a_hot_route_is_fastapis_too_and_is_counted_under_its_name(caller: Caller):
    app: Any = caller.client._transport.app  # type: ignore[attr-defined]
    assert set(HOT) <= {route.path for route in routes_of(app) if route.method == "POST"}
    wanted = {route.path: route.scopes for route in routes_of(app) if route.method == "POST"}
    assert {path: {hot.right} for path, hot in HOT.items()} == {path: wanted[path] for path in HOT}
    await caller.submit()
    page = (await caller.client.get("/metrics")).text
    assert 'route="/v1/jobs",status="202"' in page


async def test_another_method_or_a_query_goes_fastapis_way(caller: Caller):
    assert (await caller.problem("PUT", CHAT))[0] == 405
    status, error = await caller.problem("POST", f"{CHAT}?stream=true", GOOD)
    assert (status, error["code"]) == (400, "unknown_field")
