"""The front as a whole: health, docs, unknown routes, request ids, and fuzzed bodies that never give a 500."""

import re
import uuid

import httpx2
import msgspec
from sqlalchemy import text

from api.app import create_with, lifespan
from api.problems import PROBLEMS, Code
from jobs import ids
from jobs.settings import Settings
from jobs.store.session import Database
from tests.api.caller import JOB, Caller, job_path
from tests.api.conftest import make_key
from tests.jobs.store import given


def v1_routes(caller: Caller) -> list[tuple[str, str]]:
    """Method and path of every documented route under /v1, ids filled in with ones nobody has."""
    application = caller.client._transport.app  # type: ignore[attr-defined]
    found = []
    for path, operations in application.openapi()["paths"].items():
        path = re.sub(r"{(\w+?)_id}", lambda name: ids.show(name[1], uuid.UUID(int=7)), path)  # noqa: PLW2901
        found += [(method.upper(), path) for method in operations]
    return [(method, path) for method, path in found if path.startswith("/v1")]


async def test_no_route_answers_without_a_key_or_with_a_wrong_one(caller: Caller):
    routes = v1_routes(caller)
    assert len(routes) >= 15
    for method, path in routes:
        for key, code in (("", "missing_api_key"), ("ty_" + "0" * 16 + "_" + "a" * 43, "invalid_api_key")):
            response = await caller.client.request(method, path, headers={"authorization": f"Bearer {key}"})
            assert (response.status_code, response.json()["error"]["code"]) == (401, code), (method, path)


async def test_a_tenant_sees_nothing_of_another_on_any_route(caller: Caller, stranger: Caller):
    batch_id = await caller.bulk(2)
    job_id = await caller.submit()
    await given.succeeded(caller.database, job_id)
    key_id = (await caller.get("/v1/keys"))["data"][0]["id"]
    foreign = [
        ("GET", job_path(job_id)),
        ("GET", job_path(job_id, "?wait=1")),
        ("POST", job_path(job_id, "/cancel")),
        ("POST", job_path(job_id, "/retry")),
        ("DELETE", job_path(job_id)),
        ("GET", f"/v1/batches/{batch_id}"),
        ("GET", f"/v1/batches/{batch_id}/results"),
        ("POST", f"/v1/batches/{batch_id}/cancel"),
        ("POST", f"/v1/batches/{batch_id}/retry"),
        ("DELETE", f"/v1/keys/{key_id}"),
    ]
    for method, path in foreign:
        status, error = await stranger.problem(method, path)
        assert (status, error["code"]) == (404, "not_found"), path
    for path in ("/v1/jobs", f"/v1/jobs?batch={batch_id}", "/v1/ledger", f"/v1/ledger?batch={batch_id}"):
        assert (await stranger.get(path))["data"] == [], path
    assert (await stranger.get("/v1/usage"))["data"][0]["calls"] == 0
    assert (await caller.get(f"/v1/batches/{batch_id}"))["counts"]["queued"] == 2


async def test_a_key_made_over_http_works_and_a_revoked_one_stops(caller: Caller):
    made = await caller.call("POST", "/v1/keys", b'{"name": "ci", "scopes": ["read"]}')
    assert made.status_code == 201
    fresh = Caller(caller.client, caller.front, caller.database, made.json()["key"])
    assert (await fresh.get("/v1/jobs"))["data"] == []
    assert made.json()["key"] not in (await caller.call("GET", "/v1/keys")).text
    assert (await caller.call("DELETE", f"/v1/keys/{made.json()['id']}")).status_code == 200
    caller.front.keys._seen.clear()
    assert (await fresh.problem("GET", "/v1/jobs"))[0] == 401
    for body in (
        b"{}",
        b'{"name": "", "scopes": ["read"]}',
        b'{"name": "a", "scopes": []}',
        b'{"name": "\\u0000", "scopes": ["read"]}',
    ):
        assert (await caller.problem("POST", "/v1/keys", body))[0] == 400


async def test_unknown_routes_methods_and_ids_get_the_one_error_shape(caller: Caller):
    for method, path, status, code in (
        ("GET", "/v1/job", 404, "unknown_route"),
        ("GET", "/v1", 404, "unknown_route"),
        ("PUT", "/v1/jobs", 405, "method_not_allowed"),
        ("GET", "/v1/jobs/17", 404, "not_found"),
        ("GET", "/v1/jobs/job_%00", 404, "not_found"),
        ("GET", job_path(uuid.UUID(int=1)), 404, "not_found"),
        ("GET", f"/v1/batches/{ids.show('job', uuid.UUID(int=1))}", 404, "not_found"),
    ):
        found, error = await caller.problem(method, path)
        assert (found, error["code"]) == (status, code), path


async def test_every_problem_has_its_entry():
    assert set(PROBLEMS) == set(Code)


async def test_the_catalogue_lists_models_with_prices_and_policies(caller: Caller):
    listed = await caller.get("/v1/models")
    (small,) = [model for model in listed["data"] if model["id"] == "maker/small"]
    assert small["deployments"][0]["price"]["input_usd_per_mtok"] == "0.10"
    assert small["deployments"][0]["enabled"] is True
    assert [policy["name"] for policy in listed["policies"]] == ["auto"]


async def test_a_ready_process_says_so_and_one_at_another_migration_does_not(caller: Caller):
    assert (await caller.call("GET", "/healthz")).status_code == 200
    assert (await caller.call("GET", "/readyz")).status_code == 200
    async with caller.database.transaction() as connection:
        await connection.execute(text("update alembic_version set version_num = 'm0000'"))
    response = await caller.call("GET", "/readyz")
    assert response.status_code == 503
    assert "m0000" in response.json()["reason"]


async def test_without_postgres_the_answer_is_503_with_retry_after(settings: Settings, database: Database):
    away = msgspec.structs.replace(settings, database_url="postgresql://nobody@/none?host=/nonexistent")
    app = create_with(away)
    key = await make_key(database, "default")
    async with lifespan(away)(app):
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://yard") as client:
            response = await client.get("/v1/jobs", headers={"authorization": f"Bearer {key}"})
            assert (response.status_code, response.json()["error"]["code"]) == (503, "store_unavailable")
            assert int(response.headers["retry-after"]) > 0
            assert (await client.get("/readyz")).status_code == 503
            assert (await client.get("/healthz")).status_code == 200


async def test_the_page_of_the_docs_names_every_route_and_error_and_loads_nothing_from_elsewhere(caller: Caller):
    page = (await caller.call("GET", "/docs")).text
    for path in ("POST /v1/jobs", "POST /v1/jobs/bulk", "GET /v1/batches/{batch_id}/results", "Idempotency-Key"):
        assert path in page
    assert all(code in page for code in Code)
    assert not re.search(r"<(script|link|img|iframe)", page)


async def test_a_defect_is_a_500_in_the_same_shape(caller: Caller, caplog):
    application = caller.client._transport.app  # type: ignore[attr-defined]
    front, application.state.front = application.state.front, None
    try:
        status, error = await caller.problem("POST", "/v1/jobs", msgspec.json.encode(JOB))
    finally:
        application.state.front = front
    assert (status, error["code"]) == (500, "internal_error")
    assert "POST /v1/jobs" in caplog.text
