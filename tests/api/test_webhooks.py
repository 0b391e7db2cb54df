"""Endpoints over HTTP: made with a secret shown once, named by jobs and batches, replayed, never another tenant's."""

import ipaddress
import uuid
from typing import Any

import msgspec
import pytest
from standardwebhooks import Webhook

from jobs import ids
from jobs.resolver import NotResolved
from jobs.settings import Settings, Webhooks
from jobs.store import outbox, webhooks
from routing.addresses import Address
from tests.api.caller import JOB, Caller, job_path
from tests.jobs.store import given
from tests.jobs.store.hooking import claimed, execute, rows

HOOKS = "/v1/webhooks"


async def names(host: str, port: int) -> tuple[Address, ...]:
    """example.com is public, inside.test is not, all else has no address."""
    known = {"hooks.example.com": "93.184.215.14", "inside.test": "10.0.0.1"}
    if host not in known:
        raise NotResolved(f"{host} can't be resolved")
    return (ipaddress.ip_address(known[host]),)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, webhooks=Webhooks(allow_networks=("127.0.0.1/32",)))


@pytest.fixture
def caller(caller: Caller) -> Caller:
    msgspec.structs.force_setattr(caller.front, "resolve", names)
    return caller


async def send(caller: Caller, method: str, path: str, body: Any = None) -> Any:
    response = await caller.call(method, f"{HOOKS}{path}", msgspec.json.encode(body) if body is not None else None)
    assert response.status_code < 300, response.text
    return response.json()


async def made(caller: Caller, **fields: Any) -> Any:
    return await send(caller, "POST", "", {"url": "https://hooks.example.com/yard", "name": "app"} | fields)


async def test_a_secret_is_shown_once_and_is_what_receivers_verify_with(caller: Caller):
    hook = await made(caller)
    assert hook["secret"].startswith("whsec_")
    Webhook(hook["secret"])
    assert hook["events"] == ["job.*", "batch.finished", "webhook.disabled"]
    assert hook["id"].startswith("wh_")
    shown = await send(caller, "GET", f"/{hook['id']}")
    assert shown == {name: value for name, value in hook.items() if name != "secret"}
    assert (await send(caller, "GET", ""))["data"] == [shown]


async def test_it_is_changed_rotated_and_deleted(caller: Caller):
    hook = await made(caller)
    changed = await send(caller, "PATCH", f"/{hook['id']}", {"events": ["job.failed"], "enabled": False})
    assert (changed["events"], changed["enabled"], changed["name"]) == (["job.failed"], False, "app")
    assert changed["disabled_reason"] == "its owner disabled it"
    again = await send(caller, "PATCH", f"/{hook['id']}", {"enabled": True, "url": "http://127.0.0.1:9000/x"})
    assert (again["enabled"], again["disabled_at"], again["url"]) == (True, None, "http://127.0.0.1:9000/x")
    rotated = await send(caller, "POST", f"/{hook['id']}/rotate")
    assert rotated["secret"] != hook["secret"]
    (row,) = await rows(caller.database, "select secret, old_secret from webhooks")
    assert tuple(row) == (rotated["secret"], hook["secret"])
    await send(caller, "DELETE", f"/{hook['id']}")
    assert (await caller.problem("GET", f"{HOOKS}/{hook['id']}"))[0] == 404


async def test_a_long_list_of_events_goes_in_pieces_before_its_endpoint(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(webhooks, "AT_ONCE", 2)
    hook, other = await made(caller), await made(caller)
    for each in [hook] * 5 + [other]:
        await send(caller, "POST", f"/{each['id']}/test")
    await send(caller, "DELETE", f"/{hook['id']}")
    left = await rows(caller.database, "select w.name, d.type from webhook_deliveries d join webhooks w on true")
    assert len(left) == 1


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://hooks.example.com/", "https://"),
        ("https://inside.test/", "private"),
        ("https://127.0.0.2/", "loopback"),
        ("https://169.254.169.254/latest", "link-local"),
        ("https://hooks.example.com:22/", "port 22"),
        ("https://user:pw@hooks.example.com/", "user name"),
        ("https://2130706433/", "four decimal"),
        ("https://nobody.test/", "can't be resolved"),
    ],
)
async def test_a_url_that_may_not_be_called_is_refused_with_the_rule(caller: Caller, url: str, word: str):
    body = msgspec.json.encode({"url": url, "name": "x"})
    status, error = await caller.problem("POST", HOOKS, body)
    assert (status, error["code"], error["param"]) == (400, "webhook_url_refused", "url")
    assert word in error["message"]
    hook = await made(caller)
    status, error = await caller.problem("PATCH", f"{HOOKS}/{hook['id']}", msgspec.json.encode({"url": url}))
    assert (status, error["code"]) == (400, "webhook_url_refused")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"name": "x"}, "missing_field", "url"),
        ({"url": "https://hooks.example.com/", "name": ""}, "invalid_value", "name"),
        ({"url": "https://hooks.example.com/", "name": "a\0"}, "invalid_value", "name"),
        ({"url": "https://hooks.example.com/", "name": "x", "events": ["jobs"]}, "invalid_value", "events[0]"),
        ({"url": "https://hooks.example.com/", "name": "x", "events": []}, "invalid_value", "events"),
        ({"url": "https://hooks.example.com/", "nmae": "x"}, "unknown_field", "nmae"),
        ([], "invalid_value", None),
    ],
)
async def test_a_wrong_body_is_a_sentence(caller: Caller, body: Any, code: str, param: str | None):
    status, error = await caller.problem("POST", HOOKS, msgspec.json.encode(body))
    assert (status, error["code"]) == (400, code)
    assert param is None or error["param"].startswith(param.removesuffix("[0]"))


async def test_a_job_tells_the_endpoint_that_it_names(caller: Caller):
    hook = await made(caller)
    job_id = await caller.submit(webhook=hook["id"])
    quiet = await caller.submit()
    assert (await caller.get(job_path(job_id)))["webhook"] == hook["id"]
    await given.succeeded(caller.database, job_id)
    await given.succeeded(caller.database, quiet)
    page = (await send(caller, "GET", f"/{hook['id']}/deliveries"))["data"]
    assert [(event["type"], event["job_id"], event["state"]) for event in page] == [
        ("job.succeeded", ids.show("job", job_id), "pending")
    ]
    assert page[0]["id"].startswith("evt_")
    assert page[0]["next_try_at"] is not None


async def test_a_batch_tells_its_endpoint_and_its_lines_theirs(caller: Caller):
    hook, lines_hook = await made(caller), await made(caller, name="lines")
    lines = [JOB, JOB | {"webhook": lines_hook["id"]}]
    body = b"\n".join(map(msgspec.json.encode, lines))
    response = await caller.call("POST", f"/v1/jobs/bulk?webhook={hook['id']}", body)
    assert response.status_code == 202, response.text
    batch = response.json()["id"]
    assert (await caller.get(f"/v1/batches/{batch}"))["webhook"] == hook["id"]
    found = await rows(caller.database, "select webhook_id from jobs order by batch_seq")
    assert [row.webhook_id for row in found] == [None, ids.read("wh", lines_hook["id"])]
    await caller.call("POST", f"/v1/batches/{batch}/cancel")
    again = await caller.call("POST", f"/v1/batches/{batch}/retry?state=cancelled")
    assert (await caller.get(f"/v1/batches/{again.json()['id']}"))["webhook"] == hook["id"]
    async with caller.database.statement() as connection:
        for batch_id in (await outbox.look_at_batches(connection, None)).finished:
            await outbox.finish_batch(connection, batch_id)
    told = {(due.type, ids.show("wh", due.webhook_id)) for due in await claimed(caller.database)}
    assert told == {("batch.finished", hook["id"]), ("job.cancelled", lines_hook["id"])}


async def test_an_unknown_a_foreign_and_a_disabled_endpoint_are_refused_at_submit(caller: Caller, stranger: Caller):
    foreign, disabled = await made(stranger), await made(caller)
    await send(caller, "PATCH", f"/{disabled['id']}", {"enabled": False})
    unknown = ids.show("wh", uuid.UUID(int=7))
    cases = [(unknown, 400, "webhook_not_found"), (foreign["id"], 400, "webhook_not_found"),
             ("job_1", 400, "invalid_value"), (disabled["id"], 409, "webhook_disabled")]  # fmt: skip
    for named, status, code in cases:
        body = msgspec.json.encode(JOB | {"webhook": named})
        found, error = await caller.problem("POST", "/v1/jobs", body)
        assert (found, error["code"], error["param"]) == (status, code, "webhook")
        found, error = await caller.problem("POST", f"/v1/jobs/bulk?webhook={named}", msgspec.json.encode(JOB))
        assert (found, error["code"]) == (status, code)
        found, error = await caller.problem("POST", "/v1/jobs/bulk", body)
        assert (found, error["code"], error["details"][0]["code"]) == (400, "invalid_lines", code)
    assert await rows(caller.database, "select from jobs") == []


async def test_a_stranger_sees_and_moves_nothing(caller: Caller, stranger: Caller):
    hook = await made(caller)
    event = (await send(caller, "POST", f"/{hook['id']}/test"))["id"]
    for method, rest, body in (
        ("GET", "", None),
        ("PATCH", "", {"enabled": False}),
        ("DELETE", "", None),
        ("POST", "/rotate", None),
        ("POST", "/test", None),
        ("GET", "/deliveries", None),
        ("POST", "/replay", {"event": event}),
    ):
        content = msgspec.json.encode(body) if body is not None else None
        status, error = await stranger.problem(method, f"{HOOKS}/{hook['id']}{rest}", content)
        assert (status, error["code"]) == (404, "not_found"), (method, rest)
    assert (await send(stranger, "GET", ""))["data"] == []


async def test_a_test_event_is_sent_seen_and_replayed(caller: Caller):
    hook = await made(caller, events=["job.failed"])
    event = (await send(caller, "POST", f"/{hook['id']}/test"))["id"]
    path = f"/{hook['id']}/replay"
    assert (await send(caller, "POST", path, {"event": event}))["replayed"] == 1
    assert (await send(caller, "POST", path, {"since": "2026-01-01T00:00:00Z"}))["replayed"] == 1
    assert (await send(caller, "POST", path, {"since": "2026-01-01T00:00:00Z", "states": ["delivered"]}))[
        "replayed"
    ] == 0
    for body, code in (({}, "invalid_value"), ({"event": "evt_1"}, "invalid_value"),
                       ({"event": event, "since": "2026-01-01T00:00:00Z"}, "invalid_value"),
                       ({"since": "0001-01-01T00:00:00Z"}, "invalid_value"),
                       ({"event": ids.show("evt", uuid.UUID(int=7))}, "not_found")):  # fmt: skip
        _, error = await caller.problem("POST", HOOKS + path, msgspec.json.encode(body))
        assert error["code"] == code, body
    await execute(caller.database, "update webhooks set enabled = false")
    status, error = await caller.problem("POST", HOOKS + path, msgspec.json.encode({"event": event}))
    assert (status, error["code"]) == (409, "webhook_disabled")


async def test_pages_go_on_where_the_last_one_ended(caller: Caller):
    hook = await made(caller)
    sent = [(await send(caller, "POST", f"/{hook['id']}/test"))["id"] for _ in range(5)]
    first = await send(caller, "GET", f"/{hook['id']}/deliveries?limit=3")
    second = await send(caller, "GET", f"/{hook['id']}/deliveries?limit=3&after={first['last_id']}&state=pending")
    assert [event["id"] for event in first["data"] + second["data"]] == sent[::-1]
    assert (first["has_more"], second["has_more"]) == (True, False)


async def test_a_tenant_has_a_hundred_endpoints_at_most(caller: Caller, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("jobs.store.webhooks.MOST_OF_TENANT", 2)
    await made(caller)
    await made(caller)
    body = msgspec.json.encode({"url": "https://hooks.example.com/", "name": "x"})
    status, error = await caller.problem("POST", HOOKS, body)
    assert (status, error["code"]) == (409, "too_many_webhooks")
