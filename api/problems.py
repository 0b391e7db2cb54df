"""Every way the API says no: a closed list of codes, each with cause and remedy, in OpenAI's error shape."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from jobs.store.idempotency import InFlight, OtherBody
from jobs.store.session import StoreUnavailable

log = logging.getLogger(__name__)

RETRY_AFTER_S = 2
REQUEST_ID = "tokenyard.request_id"
"""Where a request's scope carries the id that its response has as `x-request-id`."""


class Kind(StrEnum):
    """OpenAI's error types: what its SDKs sort by."""

    INVALID = "invalid_request_error"
    AUTHENTICATION = "authentication_error"
    PERMISSION = "permission_error"
    RATE_LIMIT = "rate_limit_error"
    SERVER = "server_error"


class Entry(NamedTuple):
    """A code's row in the documentation."""

    status: int
    kind: Kind
    cause: str
    remedy: str


class Code(StrEnum):
    """The closed list. `PROBLEMS` says for each its status, cause and remedy."""

    INVALID_JSON = "invalid_json"
    DUPLICATE_KEY = "duplicate_key"
    TOO_DEEP = "too_deep"
    UNKNOWN_FIELD = "unknown_field"
    MISSING_FIELD = "missing_field"
    INVALID_VALUE = "invalid_value"
    UNSUPPORTED = "unsupported"
    UNKNOWN_MODEL = "model_not_found"
    INVALID_LINES = "invalid_lines"
    UNKNOWN_WEBHOOK = "webhook_not_found"
    WEBHOOK_DISABLED = "webhook_disabled"
    URL_REFUSED = "webhook_url_refused"
    TOO_MANY_WEBHOOKS = "too_many_webhooks"
    INTENT_INFEASIBLE = "intent_infeasible"
    CONTEXT_TOO_LONG = "context_length_exceeded"
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    IDEMPOTENCY_IN_FLIGHT = "idempotency_in_flight"
    MISSING_KEY = "missing_api_key"
    INVALID_KEY = "invalid_api_key"
    MISSING_SCOPE = "missing_scope"
    NOT_FOUND = "not_found"
    UNKNOWN_ROUTE = "unknown_route"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_TERMINAL = "job_not_terminal"
    PURGED = "job_purged"
    NOTHING_TO_RETRY = "nothing_to_retry"
    BODY_TOO_LARGE = "body_too_large"
    TOO_MANY_LINES = "too_many_lines"
    QUEUE_FULL = "queue_full"
    BUDGET_EXHAUSTED = "budget_exhausted"
    BUDGET_TAKEN = "budget_taken"
    STORE_UNAVAILABLE = "store_unavailable"
    INTERNAL = "internal_error"


_BAD, _SERVER = Kind.INVALID, Kind.SERVER
PROBLEMS: dict[Code, Entry] = {
    Code.INVALID_JSON: Entry(400, _BAD, "The body is not JSON in UTF-8.", "Send one JSON object; NaN is none."),
    Code.DUPLICATE_KEY: Entry(
        400, _BAD, "An object names a key twice.", "Send each key once: readers disagree on two."
    ),
    Code.TOO_DEEP: Entry(400, _BAD, "The JSON is nested more than 64 deep.", "Flatten it."),
    Code.UNKNOWN_FIELD: Entry(400, _BAD, "A field or parameter is not known.", "The message names the nearest known."),
    Code.MISSING_FIELD: Entry(400, _BAD, "A required field is missing.", "Add the field that `param` names."),
    Code.INVALID_VALUE: Entry(400, _BAD, "A value is not what it must be.", "The message says what is expected."),
    Code.UNSUPPORTED: Entry(400, _BAD, "This release does not have that feature.", "Leave the field out."),
    Code.UNKNOWN_MODEL: Entry(
        400, _BAD, "No policy, model or deployment has this name.", "GET /v1/models lists the models and policies."
    ),
    Code.INVALID_LINES: Entry(
        400,
        _BAD,
        "Lines of a bulk body are wrong; nothing was accepted.",
        "`details` names the first 100; mend them, or add ?on_error=skip.",
    ),
    Code.UNKNOWN_WEBHOOK: Entry(
        400, _BAD, "Your tenant has no endpoint with this id.", "GET /v1/webhooks lists the endpoints."
    ),
    Code.WEBHOOK_DISABLED: Entry(
        409, _BAD, "The endpoint is disabled.", 'Mend its receiver, then PATCH /v1/webhooks/{id} {"enabled": true}.'
    ),
    Code.URL_REFUSED: Entry(
        400, _BAD, "The URL leads where this yard does not call.", "The message names the rule; docs/webhooks.md."
    ),
    Code.TOO_MANY_WEBHOOKS: Entry(409, _BAD, "The tenant has 100 endpoints.", "Delete one that is not used."),
    Code.INTENT_INFEASIBLE: Entry(
        422, _BAD, "Nothing in the catalogue can ever meet the intent.", "The message names the nearest that can."
    ),
    Code.CONTEXT_TOO_LONG: Entry(
        400,
        _BAD,
        "The prompt, with the output asked for, fits no window of the models that may answer.",
        "Shorten it, lower max_tokens, let the policy's on_overflow cut it, or name a model with a larger window.",
    ),
    Code.IDEMPOTENCY_MISMATCH: Entry(
        422, _BAD, "This Idempotency-Key was used for another body.", "Use a fresh key for a new request."
    ),
    Code.IDEMPOTENCY_IN_FLIGHT: Entry(
        409, _BAD, "A request with this Idempotency-Key is still at work.", "Send it again after Retry-After."
    ),
    Code.MISSING_KEY: Entry(
        401, Kind.AUTHENTICATION, "The request has no API key.", "Send Authorization: Bearer ty_..."
    ),
    Code.INVALID_KEY: Entry(
        401, Kind.AUTHENTICATION, "The API key is unknown, revoked or expired.", "Check it, or make a new one."
    ),
    Code.MISSING_SCOPE: Entry(
        403, Kind.PERMISSION, "The API key may not do this.", "Use a key with the scope that the message names."
    ),
    Code.NOT_FOUND: Entry(404, _BAD, "Your tenant has nothing with this id.", "Check the id and the key's tenant."),
    Code.UNKNOWN_ROUTE: Entry(404, _BAD, "There is no such route.", "GET /docs lists the routes."),
    Code.METHOD_NOT_ALLOWED: Entry(405, _BAD, "The route has no such method.", "The Allow header names those it has."),
    Code.NOT_TERMINAL: Entry(409, _BAD, "The job has not ended.", "Cancel it or wait for its end first."),
    Code.PURGED: Entry(409, _BAD, "The job's request was erased.", "Submit it anew with its request."),
    Code.NOTHING_TO_RETRY: Entry(409, _BAD, "No job of the batch ended so.", "Look at the batch's counts."),
    Code.BODY_TOO_LARGE: Entry(
        413, _BAD, "The body is over the limit.", "Split it; [api] max_request_bytes and max_bulk_bytes set the limits."
    ),
    Code.TOO_MANY_LINES: Entry(
        413, _BAD, "The bulk body has too many lines.", "Split it; [api] max_bulk_jobs sets the limit."
    ),
    Code.QUEUE_FULL: Entry(
        429, Kind.RATE_LIMIT, "The tenant has max_queued_jobs waiting.", "Send again after Retry-After."
    ),
    Code.BUDGET_EXHAUSTED: Entry(
        429,
        Kind.RATE_LIMIT,
        "A budget is used up, and no call would fit into it before the deadline.",
        "Raise its cap, or send again after Retry-After, when its period ends.",
    ),
    Code.BUDGET_TAKEN: Entry(
        409, _BAD, "The tenant or key has a budget for this period.", "PATCH that one, or remove it first."
    ),
    Code.STORE_UNAVAILABLE: Entry(
        503, _SERVER, "Postgres is away; nothing was recorded.", "Send again after Retry-After."
    ),
    Code.INTERNAL: Entry(500, _SERVER, "A defect of Tokenyard.", "Report it with the x-request-id of the reply."),
}


class Problem(Exception):
    """An answer that says no. `param` names the field; `details` are added to the error as they are."""

    def __init__(
        self,
        code: Code,
        message: str,
        param: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        details: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.headers = dict(headers or {})
        self.details = details
        self.status = PROBLEMS[code].status
        """A door in another's shape may have its own for some."""
        self.is_too_long = False
        """The job is infeasible because its prompt fits no window, which OpenAI has a code for."""

    def as_error(self) -> dict[str, Any]:
        """The `error` object."""
        error: dict[str, Any] = {
            "type": PROBLEMS[self.code].kind,
            "code": self.code,
            "message": self.message,
            "param": self.param,
        }
        if self.details is not None:
            error["details"] = self.details
        return error


def reply(problem: Problem) -> Response:
    """The problem as a response."""
    headers = problem.headers
    if problem.status in {409, 429, 503} and problem.code in _PASSING:
        headers = {"retry-after": str(RETRY_AFTER_S)} | headers
    body = msgspec.json.encode({"error": problem.as_error()})
    return Response(body, problem.status, headers, media_type="application/json")


_PASSING = frozenset({Code.IDEMPOTENCY_IN_FLIGHT, Code.QUEUE_FULL, Code.STORE_UNAVAILABLE})


async def _on_gone(_: Request, __: Exception) -> Response:
    """The caller hung up while its body was read: nothing was stored, and nobody hears the answer."""
    return reply(Problem(Code.INVALID_JSON, "the body ended too early; nothing was stored"))


async def _on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return reply(error)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = ", ".join(sorted(_methods_here(request)))
        message = f"{request.method} is not possible here; {allowed} is"
        return reply(Problem(Code.METHOD_NOT_ALLOWED, message, headers={"allow": allowed}))
    if error.status_code == 404:
        return reply(Problem(Code.UNKNOWN_ROUTE, "there is no such route; GET /docs lists the routes"))
    return reply(Problem(Code.INVALID_VALUE, f"the request could not be read: {error.detail}"))


def _methods_here(request: Request) -> set[str]:
    """The methods of all routes of this path: each route by itself knows only its own (RFC 9110, 10.2.1)."""
    here: list[Any] = []
    waiting = list(request.app.routes)
    while waiting:
        route = waiting.pop(0)
        if not hasattr(route, "path"):
            waiting[:0] = route.original_router.routes
        elif route.matches(request.scope)[0] is not Match.NONE:
            here.append(route)
    # The first is meant: /v1/jobs/bulk is not a job of the name "bulk".
    return {method for route in here if route.path == here[0].path for method in route.methods or ()}


async def _on_validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    param = ".".join(str(part) for part in first["loc"][1:]) or None
    code = Code.MISSING_FIELD if first["type"] == "missing" else Code.INVALID_VALUE
    return reply(Problem(code, f"{param}: {first['msg']}", param))


async def _on_store(_: Request, __: Exception) -> Response:
    return reply(Problem(Code.STORE_UNAVAILABLE, "the database is away; nothing was recorded, send this again"))


async def _on_in_flight(_: Request, __: Exception) -> Response:
    message = "a request with this Idempotency-Key is still at work; send it again to get its answer"
    return reply(Problem(Code.IDEMPOTENCY_IN_FLIGHT, message, "Idempotency-Key"))


async def _on_other_body(_: Request, __: Exception) -> Response:
    message = "this Idempotency-Key came with another body before; use a fresh key for a new request"
    return reply(Problem(Code.IDEMPOTENCY_MISMATCH, message, "Idempotency-Key"))


async def _on_defect(request: Request, error: Exception) -> Response:
    """The last resort. It answers from outside the middleware, so it sets the header itself."""
    name = str(request.scope.get(REQUEST_ID))
    log.error("%s %s failed (%s)", request.method, request.scope.get("path"), name, exc_info=error)
    message = "a defect of Tokenyard; report it with the x-request-id of this reply"
    return reply(Problem(Code.INTERNAL, message, headers={"x-request-id": name}))


Handler = Callable[[Request, Exception], Awaitable[Response]]
HANDLERS: dict[type[Exception], Handler] = {
    Problem: _on_problem,
    HTTPException: _on_http,
    RequestValidationError: _on_validation,
    StoreUnavailable: _on_store,
    InFlight: _on_in_flight,
    OtherBody: _on_other_body,
    ClientDisconnect: _on_gone,
}
REFUSED = tuple(HANDLERS)
"""Exceptions that are answers; every other one is a defect."""


async def refusal(request: Request, error: Exception) -> Response:
    """The answer that one of REFUSED is."""
    return await HANDLERS[next(kind for kind in type(error).__mro__ if kind in HANDLERS)](request, error)


def install(app: FastAPI) -> None:
    """Give every refusal and every failure of `app` the one shape."""
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.add_exception_handler(Exception, _on_defect)
