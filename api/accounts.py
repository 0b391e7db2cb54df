"""/v1/keys: make, list and revoke API keys; for keys with the scope admin."""

import datetime as dt
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta

from api import show
from api.auth import Admin
from api.forms import described, read_form
from api.front import front_of
from api.paths import not_found, read_id
from api.problems import Code, Problem
from jobs.store import accounts
from jobs.store.accounts import KeyEntry, Scope

router = APIRouter(tags=["keys"])
LATEST = dt.datetime(9000, 1, 1, tzinfo=dt.UTC)


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key to make."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    scopes: Annotated[list[Literal["submit", "read", "admin"]], Meta(min_length=1)]
    expires_at: Annotated[dt.datetime, Meta(tz=True)] | None = None
    """From then on it does not work; without it, until it is revoked."""


@router.post("/v1/keys", status_code=201, openapi_extra=described(NewKey))
async def create(request: Request, key: Admin) -> Response:
    """Make a key for your tenant. The answer shows its text, this one time."""
    wanted = await read_form(request, NewKey)
    if wanted.expires_at is not None and not dt.datetime.now(dt.UTC) < wanted.expires_at < LATEST:
        raise Problem(Code.INVALID_VALUE, "expires_at: must be a time to come", "expires_at")
    scopes = [Scope(scope) for scope in wanted.scopes]
    async with front_of(request).database.transaction() as connection:
        key_id, text = await accounts.create_key(connection, key.tenant_id, wanted.name, scopes, wanted.expires_at)
    body = {"id": show.shown("key", key_id), "object": "key", "name": wanted.name, "scopes": scopes}
    return show.answer(body | {"expires_at": show.moment(wanted.expires_at), "key": text}, 201)


@router.get("/v1/keys")
async def list_keys(request: Request, key: Admin) -> Response:
    """The tenant's keys without their secrets, newest first, revoked ones too."""
    async with front_of(request).database.statement() as connection:
        entries = await accounts.list_keys(connection, key.tenant_id)
    return show.answer(show.listed([_entry(entry) for entry in entries], len(entries)))


@router.delete("/v1/keys/{key_id}")
async def revoke(request: Request, key: Admin, key_id: str) -> Response:
    """Revoke a key; it stops working within 5 seconds."""
    async with front_of(request).database.statement() as connection:
        if not await accounts.revoke_key(connection, key.tenant_id, read_id("key", key_id)):
            raise not_found("key", key_id)
    return show.answer({"id": key_id, "object": "key", "revoked": True})


def _entry(entry: KeyEntry) -> show.JsonObject:
    return {
        "id": show.shown("key", entry.id),
        "object": "key",
        "name": entry.name,
        "prefix": f"ty_{entry.short_id}",
        "scopes": entry.scopes,
        "created_at": show.moment(entry.created_at),
        "expires_at": show.moment(entry.expires_at),
        "is_expired": entry.is_expired,
        "revoked_at": show.moment(entry.revoked_at),
    }
