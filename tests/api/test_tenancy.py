"""F26: another tenant's keys against every route and every id of ours, and every trick with paths, headers and keys.

Our data carry canaries; no byte of them, and no id of ours that was not sent, may come back. The routes are the
app's own list, the ids are all kinds that there are: a new route is tried without anybody thinking of it.
"""

import itertools
import time
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from starlette.types import Message

from api.page import session
from api.page.routes import SESSION
from jobs import ids
from jobs.store import budgets, outbox, webhooks
from jobs.store.accounts import Scope, create_key, revoke_key, split
from jobs.store.session import Database
from tests.api.caller import JOB, Caller
from tests.api.conftest import make_key
from tests.api.routes import Route, routes_of
from tests.api.test_scopes import PUBLIC, app_of
from tests.jobs.store import given

CANARY = "canary7f3a"
PROMPT = {"request": {"model": "auto", "messages": [{"role": "user", "content": f"my {CANARY} prompt"}]}}
ANSWER = msgspec.json.encode({"object": "chat.completion", "choices": [{"message": {"content": f"{CANARY} answer"}}]})
MARKED = PROMPT | {"task": f"{CANARY}-task", "custom_id": f"{CANARY}-id", "metadata": {"of": f"{CANARY}-meta"}}
ONCE = f"{CANARY}-once"
OURS = """
select (select jsonb_agg(to_jsonb(j) order by j.id) from jobs j where j.tenant_id = :tenant_id),
    (select jsonb_agg(to_jsonb(k) order by k.id) from api_keys k where k.tenant_id = :tenant_id),
    (select jsonb_agg(to_jsonb(b) order by b.id) from batches b where b.tenant_id = :tenant_id),
    (select jsonb_agg(to_jsonb(b) order by b.id) from budgets b where b.tenant_id = :tenant_id),
    (select jsonb_agg(to_jsonb(w) order by w.id) from webhooks w where w.tenant_id = :tenant_id),
    (select jsonb_agg(to_jsonb(d) order by d.id) from webhook_deliveries d where d.tenant_id = :tenant_id),
    (select count(*) from payloads p where exists (
        select from jobs j left join attempts a on a.job_id = j.id
        where j.tenant_id = :tenant_id and p.id in (j.id, a.id)))
"""


class Heard(NamedTuple):
    """An answer as it came."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


async def say(app: FastAPI, method: str, path: str, headers: dict[str, str], content: bytes) -> Heard:
    """A request as uvicorn hands it on, but with any path and header: a client would tidy them up."""
    target, _, query = path.partition("?")
    sent: list[Message] = []
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": unquote(target), "raw_path": target.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in ({"host": "yard"} | headers).items()],
        "client": ("127.0.0.1", 1), "server": ("yard", 80), "state": {},
    }  # fmt: skip

    async def receive() -> Message:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return Heard(sent[0]["status"], [(k, v) for k, v in sent[0]["headers"] if k != b"x-request-id"], body)


@dataclass
class Hunt:
    """Tries on the app's own door, with what came back searched for what is ours."""

    app: FastAPI
    ours: list[str]
    """Ids in their outside form."""
    pairs: int = 0
    leaks: list[str] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)

    async def attempt(self, method: str, path: str, headers: dict[str, str], content: bytes = b"") -> Heard:
        """Send, and search headers and body of what comes back."""
        found = await say(self.app, method, path, headers, content)
        self.pairs += 1
        self.statuses.add(found.status)
        said = f"{path} {headers} {content!r}".lower()
        heard = f"{found.headers} {found.body!r}".lower()
        for secret in (CANARY, *self.ours):
            if secret.lower() in heard and secret.lower() not in said:
                self.leaks.append(f"{method} {path} {found.status}: {secret}")
        return found


@dataclass
class Ground:
    """Two tenants: ours with everything there is, and the other one's keys."""

    tenant_id: uuid.UUID
    ids: dict[str, str]
    """By kind: job, batch, att, key, budget, wh, evt, tenant."""
    keys: dict[str, str]
    hunt: Hunt


@pytest.fixture
async def ground(caller: Caller, stranger: Caller) -> Ground:
    database = caller.database
    tenant_id = await given.tenant(database)
    response = await caller.call("POST", "/v1/jobs", msgspec.json.encode(MARKED), idempotency_key=ONCE)
    job = response.json()["id"]
    attempt = await given.succeeded(database, ids.read("job", job), answer=ANSWER)
    lines = b"\n".join(msgspec.json.encode(MARKED | {"custom_id": f"{CANARY}-{n}"}) for n in range(3))
    batch = (await caller.call("POST", "/v1/jobs/bulk", lines, idempotency_key=ONCE)).json()["id"]
    await caller.submit(**MARKED)
    body = msgspec.json.encode({"name": f"{CANARY}-key", "scopes": ["read"]})
    key = (await caller.call("POST", "/v1/keys", body)).json()["id"]
    async with database.transaction() as connection:
        budget = await budgets.create(connection, tenant_id, Decimal(5), "month")
        made = await webhooks.create(connection, tenant_id, f"{CANARY}-hook", f"https://{CANARY}.test/", ["job.*"])
        assert made is not None
        (event,) = await outbox.announce(connection, tenant_id, "job.failed", {"of": CANARY})
    ours = {
        "job": job,
        "batch": batch,
        "att": ids.show("att", attempt),
        "key": key,
        "budget": ids.show("budget", budget),
        "wh": ids.show("wh", made[0].id),
        "evt": ids.show("evt", event),
        "tenant": ids.show("tenant", tenant_id),
    }
    return Ground(tenant_id, ours, await strangers_keys(database, stranger.key), Hunt(app_of(caller), [*ours.values()]))


async def strangers_keys(database: Database, whole: str) -> dict[str, str]:
    """The other tenant's keys: one for everything, one a scope, a revoked and an expired one."""
    keys = {"all": whole} | {scope.value: await make_key(database, "other", scope) for scope in Scope}
    other = await given.tenant(database, "other")
    async with database.transaction() as connection:
        key_id, keys["revoked"] = await create_key(connection, other, "gone", Scope)
        await revoke_key(connection, other, key_id)
        key_id, keys["expired"] = await create_key(connection, other, "late", Scope)
        await connection.execute(
            text("update api_keys set expires_at = now() - interval '1 s' where id = :id"), {"id": key_id}
        )
    return keys


async def snapshot(database: Database, tenant_id: uuid.UUID) -> Any:
    async with database.statement() as connection:
        return (await connection.execute(text(OURS), {"tenant_id": tenant_id})).one()


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def filled(path: str, value: str) -> str:
    """A route's path with every parameter set to one value."""
    return "/".join(value if part.startswith("{") else part for part in path.split("/"))


def bodies_for(route: Route, ours: dict[str, str]) -> list[bytes]:
    """What to send along: nothing, what a submit takes, and our ids in every field where an id could go."""
    if route.method not in {"POST", "PATCH", "PUT"}:
        return [b""]
    fields: list[dict[str, Any]] = [{"cap_usd": "1", "period": "day", "key_id": value} for value in ours.values()]
    fields += [{"ids": list(ours.values())}, {"webhook": ours["wh"], **JOB}, {"retry_of": ours["job"], **JOB}]
    return [b"", msgspec.json.encode(JOB), *(msgspec.json.encode(each) for each in fields)]


async def test_no_key_of_another_tenant_gets_a_byte_on_any_route_with_any_id(caller: Caller, ground: Ground):
    hunt, ours = ground.hunt, ground.ids
    before = await snapshot(caller.database, ground.tenant_id)
    routes = routes_of(app_of(caller))
    for route, key in itertools.product(routes, ground.keys.values()):
        with_ids = [filled(route.path, value) for value in ours.values()] if "{" in route.path else [route.path]
        for path in with_ids:
            for body in bodies_for(route, ours) if key == ground.keys["all"] else [b""]:
                found = await hunt.attempt(route.method, path, bearer(key), body)
                if "{" in route.path and route.scopes:
                    assert found.status in {400, 401, 403, 404}, (route, path, found.body)
    assert before == await snapshot(caller.database, ground.tenant_id)
    assert hunt.leaks == []
    assert max(hunt.statuses) < 500
    print(f"F26 routes={len(routes)} pairs={hunt.pairs} leaks=0")  # noqa: T201 -- the figure, for `pytest -s`


async def test_no_filter_and_no_cursor_reaches_over(caller: Caller, ground: Ground):
    hunt, key = ground.hunt, bearer(ground.keys["all"])
    values = [*ground.ids.values(), f"{CANARY}-task", f"{CANARY}-id", f"{CANARY}-0", "%25", "%27%20or%201%3D1--"]
    for route in routes_of(app_of(caller)):
        if route.method == "GET" and "{" not in route.path and route.path.startswith("/v1"):
            for name, value in itertools.product(route.query, values):
                await hunt.attempt("GET", f"{route.path}?{name}={value}", key)
    assert hunt.leaks == []
    assert hunt.pairs > 100
    assert max(hunt.statuses) < 500


async def test_what_is_anothers_looks_like_what_does_not_exist(caller: Caller, ground: Ground):
    key, hunt = bearer(ground.keys["all"]), ground.hunt
    for route in routes_of(app_of(caller)):
        if "{" not in route.path or not route.scopes:
            continue
        for kind, value in ground.ids.items():
            nobodys = ids.show(kind, uuid.UUID(int=ids.read(kind, value).int ^ 1))
            foreign, absent = [
                await hunt.attempt(route.method, filled(route.path, name), key) for name in (value, nobodys)
            ]
            assert foreign.status == absent.status, route
            assert foreign.body.replace(value.encode(), b"") == absent.body.replace(nobodys.encode(), b""), route
            assert foreign.headers == absent.headers, route
    assert hunt.leaks == []


async def test_an_idempotency_key_of_ours_is_free_for_another_tenant(caller: Caller, ground: Ground):
    for path in ("/v1/jobs", "/v1/jobs/bulk"):
        headers = bearer(ground.keys["all"]) | {"idempotency-key": ONCE}
        found = await ground.hunt.attempt("POST", path, headers, msgspec.json.encode(JOB))
        assert found.status == 202
        assert msgspec.json.decode(found.body)["id"] not in ground.ids.values()
    assert ground.hunt.leaks == []


async def test_no_trick_with_the_path_or_the_headers_gets_around_the_key(caller: Caller, ground: Ground):
    hunt, job, batch = ground.hunt, ground.ids["job"], ground.ids["batch"]
    paths = [
        twisted
        for path in (f"/v1/jobs/{job}", f"/v1/batches/{batch}/results", "/v1/keys", "/v1/jobs")
        for twisted in (
            f"/{path}", path.replace("/v1/", "/v1//"), f"{path}/", f"{path}//", f"{path}/.", f"/v1/../{path[1:]}",
            f"/healthz/..{path}", f"/healthz%2f..{path}", f"/docs/%2e%2e{path}", path.replace("/", "%2f"), path.upper(),
            f"{path};x=1", f"{path}%00", f"{path}%20", f"{path}.json", f"{path}%0d%0ax-a:b", f"{path}?key=x",
            f"http://yard{path}", f"/page/..{path}", f"/page/%2e%2e%2f{path[1:]}",
        )
    ]  # fmt: skip
    tricks: list[dict[str, str]] = [
        {},
        {"x-http-method-override": "DELETE", "x-method-override": "DELETE"},
        {"x-original-url": f"/v1/jobs/{job}", "x-rewrite-url": f"/v1/jobs/{job}", "x-forwarded-prefix": "/v1"},
        {"host": "127.0.0.1", "x-forwarded-host": "localhost", "x-forwarded-for": "127.0.0.1", "forwarded": "for=::1"},
        {"x-tenant-id": ground.ids["tenant"], "x-user": "admin", "cookie": f"tenant={ground.ids['tenant']}"},
    ]
    before = await snapshot(caller.database, ground.tenant_id)
    for path, trick, who in itertools.product(paths, tricks, ({}, bearer(ground.keys["all"]))):
        await hunt.attempt("GET", path, trick | who)
    for method, trick in itertools.product(("GET", "POST", "DELETE", "PUT", "PATCH", "TRACE", "X"), tricks):
        found = await hunt.attempt(method, f"/v1/jobs/{job}", trick | bearer(ground.keys["all"]))
        assert found.status in {404, 405}
    assert before == await snapshot(caller.database, ground.tenant_id)
    assert hunt.leaks == []
    assert max(hunt.statuses) < 500


async def test_nothing_but_a_live_key_of_ours_opens_the_door(caller: Caller, ground: Ground):
    parts = split(caller.key)
    assert parts is not None
    short, secret = parts
    wrong = [
        "", "Bearer", "Bearer ", "Bearer x", f"Basic {caller.key}", caller.key, f"Bearer {caller.key}x",
        f"Bearer {caller.key[:-1]}", f"Bearer ty_{short}_{secret.swapcase()}", f"Bearer ty_{short}_{'a' * 43}",
        f"Bearer ty_{short}_", f"Bearer ty_{short}", f"Bearer ty_{short}_%", f"Bearer ty_{'0' * 16}_{secret}",
        f"Bearer ty_{short}' or '1'='1_{secret}", f"Bearer ty_{short}'--_{secret}", "Bearer ty_' or 1=1; --",
        "Bearer ty_%_%", "Bearer null", "Bearer " + "A" * 60_000, f"Bearer {ground.keys['all']}, Bearer {caller.key}",
        f"Bearer {ground.keys['all']} {caller.key}", f"Bearer {ground.keys['revoked']}",
        f"Bearer {ground.keys['expired']}",
    ]  # fmt: skip
    for route in routes_of(app_of(caller)):
        if route.scopes:
            for said in wrong:
                path = filled(route.path, ground.ids["job"])
                found = await ground.hunt.attempt(route.method, path, {"authorization": said})
                assert found.status == 401, (route, said[:80])
                assert (b"www-authenticate", b"Bearer") in found.headers
    assert ground.hunt.leaks == []


async def test_what_is_open_to_all_says_nothing_of_anybody(caller: Caller, ground: Ground):
    for path in PUBLIC:
        for who in ({}, bearer(ground.keys["all"]), bearer(caller.key)):
            assert (await ground.hunt.attempt("GET", path, who)).status == 200
    assert ground.hunt.leaks == []


async def test_the_page_of_another_tenant_shows_nothing_of_ours(caller: Caller, ground: Ground):
    split_key = split(ground.keys["all"])
    assert split_key is not None
    key = await caller.front.keys.find(split_key[0])
    assert key is not None
    cookie = session.begin(key, split_key[0], time.time()).cookie
    for path in ("/", "/page/live"):
        found = await ground.hunt.attempt("GET", path, {"cookie": f"{SESSION}={cookie}"})
        assert found.status == 200
        forged = await ground.hunt.attempt(
            "GET", path, {"cookie": f"{SESSION}={cookie[:-1]}{'0' if cookie[-1] != '0' else '1'}"}
        )
        assert forged.status in {303, 401}
    assert ground.hunt.leaks == []


async def test_the_hunt_finds_what_is_there_to_be_found(caller: Caller, ground: Ground):
    """With our own key the canaries do come back: else a clean hunt would mean nothing."""
    for path in ("/v1/jobs", f"/v1/jobs/{ground.ids['job']}", "/v1/keys", "/v1/budgets", "/v1/ledger"):
        await ground.hunt.attempt("GET", path, bearer(caller.key))
    assert len(ground.hunt.leaks) >= 5
