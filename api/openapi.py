"""The API's OpenAPI document: FastAPI's own, with our schemas, what each answer holds, and how requests are refused."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.contract import CHAT_ROUTE, COMPONENTS
from api.fronts.failures import BROKEN, PURGED, STATUSES
from api.problems import PROBLEMS
from jobs.ids import pattern

PUBLIC: dict[str, Any] = {"security": []}
"""`openapi_extra` of a route that wants no key."""
PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["type", "code", "message", "param"],
            "properties": {
                "type": {"type": "string"},
                "code": {"type": "string", "enum": sorted({*PROBLEMS, *STATUSES, PURGED.code, BROKEN.code})},
                "message": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "details": {"type": "array", "items": {"type": "object"}},
                "job": {"type": "string", "pattern": pattern("job")},
            },
        }
    },
}
OBJECTS: dict[tuple[str, str], tuple[str, str, str]] = {
    ("/v1/jobs", "post"): ("202", "job", "job"),
    ("/v1/jobs/bulk", "post"): ("202", "batch", "batch"),
    ("/v1/jobs/{job_id}", "get"): ("200", "job", "job"),
    ("/v1/jobs/{job_id}/retry", "post"): ("202", "job", "job"),
    ("/v1/batches", "post"): ("200", "batch", "batch"),
    ("/v1/batches/{batch_id}", "get"): ("200", "batch", "batch"),
    ("/v1/batches/{batch_id}/cancel", "post"): ("200", "batch", "batch"),
    ("/v1/batches/{batch_id}/retry", "post"): ("202", "batch", "batch"),
    ("/v1/files", "post"): ("200", "file", "file"),
    ("/v1/files/{file_id}", "get"): ("200", "file", "file"),
    ("/v1/keys", "post"): ("201", "key", "key"),
    ("/v1/budgets", "post"): ("201", "budget", "budget"),
    ("/v1/budgets/{budget_id}", "get"): ("200", "budget", "budget"),
    ("/v1/webhooks", "post"): ("201", "webhook", "wh"),
    ("/v1/webhooks/{webhook_id}", "get"): ("200", "webhook", "wh"),
}
"""By path and method: the status whose body is an object with an id, what it calls itself, and the id's prefix."""
LISTS: dict[str, tuple[str, str]] = {
    "/v1/jobs": ("job", "job"),
    "/v1/batches": ("batch", "batch"),
    "/v1/files": ("file", "file"),
    "/v1/keys": ("key", "key"),
    "/v1/budgets": ("budget", "budget"),
    "/v1/webhooks": ("webhook", "wh"),
    "/v1/ledger": ("attempt", "att"),
}
"""By path: lists of such objects."""


def describe(app: FastAPI) -> None:
    """Let the app's OpenAPI carry our schemas and say how to authenticate."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            components = schema.setdefault("components", {})
            components.setdefault("schemas", {}).update(COMPONENTS | {"Problem": PROBLEM})
            components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{"key": []}]
            for path, operations in schema["paths"].items():
                for method, operation in operations.items():
                    _say_what_comes_back(path, method, operation["responses"])
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend its schema


def _say_what_comes_back(path: str, method: str, responses: dict[str, Any]) -> None:
    responses |= {status: refusal for status, refusal in REFUSALS.items() if status not in responses or status == "422"}
    if path == CHAT_ROUTE:
        responses |= FAILURES
    if (path, method) in OBJECTS:
        status, name, prefix = OBJECTS[path, method]
        responses[status] |= _json(_thing(name, prefix))
    elif method == "get" and path in LISTS:
        data = {"type": "array", "items": _thing(*LISTS[path])}
        parts = {"object": {"const": "list"}, "data": data, "has_more": {"type": "boolean"}}
        responses["200"] |= _json({"type": "object", "required": list(parts), "properties": parts})


def _thing(name: str, prefix: str) -> dict[str, Any]:
    """An object with an id; what else it holds is in docs/."""
    parts = {"id": {"type": "string", "pattern": pattern(prefix)}, "object": {"const": name}}
    return {"type": "object", "required": list(parts), "properties": parts}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def _refusals() -> dict[str, Any]:
    """Every status that a request may be refused with; any operation may meet any of them."""
    by_status: dict[str, list[str]] = {}
    for code, entry in PROBLEMS.items():
        by_status.setdefault(str(entry.status), []).append(code)
    schema = _json({"$ref": "#/components/schemas/Problem"})
    return {status: {"description": ", ".join(codes)} | schema for status, codes in sorted(by_status.items())}


def _failures() -> dict[str, Any]:
    """What a chat completion adds: the statuses of jobs that did not succeed, above those of refused requests."""
    told = {str(status) for status in STATUSES.values()} - REFUSALS.keys()
    schema = _json({"$ref": "#/components/schemas/Problem"})
    return {status: {"description": "The job did not succeed: docs/errors.md."} | schema for status in sorted(told)}


REFUSALS = _refusals()
FAILURES = _failures()
