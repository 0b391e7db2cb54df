"""/v1/webhooks: endpoints that are told of ended jobs and batches; for keys with the scope admin."""

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request, Response
from msgspec import Meta

from api import show
from api.auth import Admin
from api.forms import described, read_form
from api.front import Front, front_of
from api.paths import not_found, read_id, read_reference, reference
from api.problems import Code, Problem
from jobs import ids
from jobs.events import SUBSCRIBABLE, TEST
from jobs.ids import InvalidId
from jobs.resolver import NotResolved
from jobs.store import outbox, webhooks
from jobs.store.outbox import Range
from routing.addresses import UrlRefused, target

router = APIRouter(tags=["webhooks"])
Name = Annotated[str, Meta(min_length=1, max_length=100)]
Url = Annotated[str, Meta(min_length=1, max_length=2_000)]
Event = Literal[
    "job.*", "job.succeeded", "job.failed", "job.cancelled", "job.expired", "batch.finished",
    "budget.*", "budget.threshold", "budget.exhausted", "webhook.disabled",
]  # fmt: skip
Events = Annotated[list[Event], Meta(min_length=1, max_length=len(SUBSCRIBABLE))]
State = Literal["pending", "delivered", "failed", "held"]
Moment = Annotated[dt.datetime, Meta(tz=True)]


class NewWebhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An endpoint to make."""

    url: Url
    name: Name
    events: Events = msgspec.field(default_factory=lambda: ["job.*", "batch.finished", "webhook.disabled"])


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an endpoint shall be; what is left out stays. Enabled again, it gets what was held for it."""

    url: Url | None = None
    name: Name | None = None
    events: Events | None = None
    enabled: bool | None = None


class Replay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One event, or those of a time range that are in one of the states."""

    event: Annotated[str, Meta(max_length=64)] | None = None
    since: Moment | None = None
    until: Moment | None = None
    states: list[Literal["pending", "delivered", "failed"]] = msgspec.field(
        default_factory=lambda: ["pending", "failed"]
    )


async def _check_url(front: Front, text: str) -> str:
    """The URL in the spelling that is kept, if it may be called. Raises Problem. It is checked again at each call."""
    try:
        aim = target(text)
        found = (aim.literal,) if aim.literal is not None else await front.resolve(aim.host, aim.port)
        front.webhook_rules.check(aim, found)
    except UrlRefused as error:
        raise Problem(Code.URL_REFUSED, f"url: {error}", "url") from error
    except NotResolved as error:
        raise Problem(Code.URL_REFUSED, f"url: {error}; check the name, or wait until it is known", "url") from error
    return aim.url


async def of_tenant(front: Front, tenant_id: uuid.UUID) -> Mapping[uuid.UUID, bool]:
    """The tenant's endpoints, and whether each is enabled."""
    async with front.database.statement() as connection:
        return await webhooks.owned(connection, tenant_id)


def usable(webhook_id: uuid.UUID, known: Mapping[uuid.UUID, bool]) -> None:
    """Refuse to promise what can't be kept. Raises Problem: no such endpoint of this tenant, or a disabled one."""
    name = ids.show("wh", webhook_id)
    if webhook_id not in known:
        message = f"webhook: there is no endpoint {name} of your tenant; POST /v1/webhooks makes one"
        raise Problem(Code.UNKNOWN_WEBHOOK, message, "webhook")
    if not known[webhook_id]:
        raise _disabled(name)


async def check_webhook(front: Front, tenant_id: uuid.UUID, webhook_id: uuid.UUID) -> None:
    """The same for one job. Raises Problem, StoreUnavailable."""
    usable(webhook_id, await of_tenant(front, tenant_id))


def _disabled(name: str) -> Problem:
    message = f'webhook: {name} is disabled; mend its receiver, then PATCH /v1/webhooks/{name} {{"enabled": true}}'
    return Problem(Code.WEBHOOK_DISABLED, message, "webhook")


@router.post("/v1/webhooks", status_code=201, openapi_extra=described(NewWebhook))
async def create(request: Request, key: Admin) -> Response:
    """Make an endpoint. The answer shows the secret that its calls are signed with, this one time."""
    front = front_of(request)
    wanted = await read_form(request, NewWebhook)
    url = await _check_url(front, wanted.url)
    async with front.database.transaction() as connection:
        made = await webhooks.create(connection, key.tenant_id, wanted.name, url, _events(wanted.events))
    if made is None:
        message = f"your tenant has {webhooks.MOST_OF_TENANT} endpoints; delete one that is not used"
        raise Problem(Code.TOO_MANY_WEBHOOKS, message)
    row, secret = made
    return show.answer(_shown(row) | {"secret": secret}, 201)


@router.get("/v1/webhooks")
async def list_webhooks(request: Request, key: Admin) -> Response:
    """The tenant's endpoints without their secrets, newest first."""
    async with front_of(request).database.statement() as connection:
        rows = await webhooks.of_tenant(connection, key.tenant_id)
    return show.answer(show.listed([_shown(row) for row in rows], len(rows)))


@router.get("/v1/webhooks/{webhook_id}")
async def get(request: Request, key: Admin, webhook_id: str) -> Response:
    """One endpoint: where it is, what it is told, how it has been doing."""
    async with front_of(request).database.statement() as connection:
        row = await webhooks.get(connection, key.tenant_id, read_id("wh", webhook_id))
    if row is None:
        raise not_found("webhook", webhook_id)
    return show.answer(_shown(row))


@router.patch("/v1/webhooks/{webhook_id}", openapi_extra=described(Change))
async def update(request: Request, key: Admin, webhook_id: str) -> Response:
    """Change an endpoint. Disabled, its events are held; enabled again, it gets them."""
    front = front_of(request)
    wanted = await read_form(request, Change)
    change = webhooks.Change(
        name=wanted.name,
        url=await _check_url(front, wanted.url) if wanted.url is not None else None,
        events=_events(wanted.events) if wanted.events is not None else None,
        enabled=wanted.enabled,
    )
    async with front.database.statement() as connection:
        row = await webhooks.update(connection, key.tenant_id, read_id("wh", webhook_id), change)
    if row is None:
        raise not_found("webhook", webhook_id)
    return show.answer(_shown(row))


@router.delete("/v1/webhooks/{webhook_id}")
async def delete(request: Request, key: Admin, webhook_id: str) -> Response:
    """Delete an endpoint with its deliveries. Jobs that name it end as ever; nobody is told."""
    async with front_of(request).database.statement() as connection:
        if not await webhooks.delete(connection, key.tenant_id, read_id("wh", webhook_id)):
            raise not_found("webhook", webhook_id)
    return show.answer({"id": webhook_id, "object": "webhook", "deleted": True})


@router.post("/v1/webhooks/{webhook_id}/rotate")
async def rotate(request: Request, key: Admin, webhook_id: str) -> Response:
    """A new secret, shown this one time. For 24 h the one before signs too, so that receivers can change over."""
    async with front_of(request).database.transaction() as connection:
        made = await webhooks.rotate(connection, key.tenant_id, read_id("wh", webhook_id))
    if made is None:
        raise not_found("webhook", webhook_id)
    secret, until = made
    body = {"id": webhook_id, "object": "webhook", "secret": secret, "old_secret_until": show.moment(until)}
    return show.answer(body)


@router.post("/v1/webhooks/{webhook_id}/test", status_code=202)
async def test(request: Request, key: Admin, webhook_id: str) -> Response:
    """Send a `webhook.test` event, signed and delivered like any other; `deliveries` shows what came of it."""
    wanted = read_id("wh", webhook_id)
    async with front_of(request).database.transaction() as connection:
        row = await webhooks.get(connection, key.tenant_id, wanted)
        if row is None:
            raise not_found("webhook", webhook_id)
        event_id = await outbox.tell(connection, key.tenant_id, wanted, TEST, {"id": webhook_id, "name": row.name})
    if event_id is None:
        raise _disabled(webhook_id)
    return show.answer({"id": show.shown("evt", event_id), "object": "delivery", "type": TEST}, 202)


@router.get("/v1/webhooks/{webhook_id}/deliveries")
async def deliveries(
    request: Request,
    key: Admin,
    webhook_id: str,
    state: State | None = None,
    after: Annotated[str | None, reference("evt")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> Response:
    """What was sent to an endpoint, newest first: each event with its tries and the time of the next one."""
    wanted, last = read_id("wh", webhook_id), read_reference("after", "evt", after)
    async with front_of(request).database.statement() as connection:
        if await webhooks.get(connection, key.tenant_id, wanted) is None:
            raise not_found("webhook", webhook_id)
        rows = await outbox.page(connection, key.tenant_id, wanted, limit + 1, state=state, after=last)
    return show.answer(show.listed([show.delivery(row) for row in rows], limit))


@router.post("/v1/webhooks/{webhook_id}/replay", openapi_extra=described(Replay))
async def replay(request: Request, key: Admin, webhook_id: str) -> Response:
    """Send again: one event, or those of a time range (by default the ones that did not arrive). Their ids stay."""
    wanted = read_id("wh", webhook_id)
    what = _what(await read_form(request, Replay))
    async with front_of(request).database.statement() as connection:
        row = await webhooks.get(connection, key.tenant_id, wanted)
        if row is None:
            raise not_found("webhook", webhook_id)
        if not row.enabled:
            raise _disabled(webhook_id)
        count = await outbox.replay(connection, key.tenant_id, wanted, what)
    if not count and isinstance(what, uuid.UUID):
        message = f"this endpoint has no event {show.shown('evt', what)}, or it is being sent right now"
        raise Problem(Code.NOT_FOUND, message, "event")
    return show.answer({"id": webhook_id, "object": "webhook", "replayed": count})


def _what(wanted: Replay) -> uuid.UUID | Range:
    """Raises Problem."""
    if wanted.event is not None and wanted.since is None and wanted.until is None:
        try:
            return ids.read("evt", wanted.event)
        except InvalidId as error:
            raise Problem(Code.INVALID_VALUE, f"event: {error}", "event") from error
    if wanted.event is not None or wanted.since is None:
        message = (
            'send {"event": "evt_..."}, or {"since": "2026-12-01T00:00:00Z"} with `until` and `states` if you like'
        )
        raise Problem(Code.INVALID_VALUE, message, "event")
    until = wanted.until or dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
    for name, moment in (("since", wanted.since), ("until", until)):
        if not 1970 <= moment.year < 9999:
            raise Problem(Code.INVALID_VALUE, f"{name}: must be a time of this age", name)
    return Range(wanted.since, until, tuple(wanted.states))


def _events(events: list[Event]) -> list[str]:
    return list(dict.fromkeys(events))


def _shown(row: Any) -> show.JsonObject:
    return {
        "id": show.shown("wh", row.id),
        "object": "webhook",
        "name": row.name,
        "url": row.url,
        "events": row.events,
        "enabled": row.enabled,
        "created_at": show.moment(row.created_at),
        "old_secret_until": show.moment(row.old_secret_until),
        "failures": row.failures,
        "failing_since": show.moment(row.failing_since),
        "paused_until": show.moment(row.paused_until),
        "disabled_at": show.moment(row.disabled_at),
        "disabled_reason": row.disabled_reason,
    }
