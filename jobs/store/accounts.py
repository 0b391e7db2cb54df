"""Tenants and their API keys: `ty_<short id>_<secret>`, stored as a hash, compared in constant time, shown once."""

import datetime as dt
import hashlib
import hmac
import re
import secrets
import uuid
from collections.abc import Iterable
from enum import StrEnum

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs.store.uuid7 import uuid7

SHORT_ID_BYTES = 8
SECRET_BYTES = 32
"""256 random bits: nothing to guess, so one SHA-256 without salt is enough of a hash."""
_SHAPE = re.compile(r"ty_(?P<short>[0-9a-f]{16})_(?P<secret>[0-9A-Za-z_-]{43})")

FIND = text("""
select k.id, k.tenant_id, k.secret_sha256, k.scopes, t.max_queued_jobs,
    exists (select from budgets b where b.tenant_id = k.tenant_id and (b.key_id is null or b.key_id = k.id))
        as has_budget
from api_keys k join tenants t on t.id = k.tenant_id
where k.short_id = :short_id and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
""")
ENSURE_TENANT = text("""
insert into tenants (id, name) values (:id, :name) on conflict (name) do update set name = excluded.name returning id
""")
CREATE_KEY = text("""
insert into api_keys (id, tenant_id, short_id, secret_sha256, name, scopes, expires_at)
values (:id, :tenant_id, :short_id, :secret_sha256, :name, :scopes, :expires_at)
""")
LIST = text("""
select id, short_id, name, scopes, created_at, expires_at, revoked_at, coalesce(expires_at <= now(), false) as expired
from api_keys where tenant_id = :tenant_id order by id desc
""")
HAS = text("select exists (select from api_keys where tenant_id = :tenant_id and id = :id)")
REVOKE = text("""
update api_keys set revoked_at = coalesce(revoked_at, now()) where tenant_id = :tenant_id and id = :id returning id
""")


class Scope(StrEnum):
    """What a key may do. None includes another: a key that submits and polls has `submit` and `read`."""

    SUBMIT = "submit"
    """Submit, cancel, retry and delete jobs."""
    READ = "read"
    """Read jobs, results, the ledger and the catalogue."""
    ADMIN = "admin"
    """Make, list and revoke keys, set budgets and the tenant's own settings."""


class Key(msgspec.Struct, frozen=True):
    """A live key as a request needs it."""

    id: uuid.UUID
    tenant_id: uuid.UUID
    secret_sha256: bytes
    scopes: frozenset[str]
    max_queued_jobs: int
    has_budget: bool = False

    def opens_for(self, secret: str) -> bool:
        """Whether this secret is the key's own, in constant time."""
        return hmac.compare_digest(self.secret_sha256, hash_secret(secret))


class KeyEntry(msgspec.Struct, frozen=True):
    """A key as its owner sees it later: everything but the secret."""

    id: uuid.UUID
    short_id: str
    name: str
    scopes: tuple[str, ...]
    created_at: dt.datetime
    expires_at: dt.datetime | None
    revoked_at: dt.datetime | None
    is_expired: bool


def hash_secret(secret: str) -> bytes:
    """SHA-256 of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def split(key: str) -> tuple[str, str] | None:
    """(short id, secret) of a key's text; None when it does not look like one."""
    found = _SHAPE.fullmatch(key)
    return (found["short"], found["secret"]) if found else None


async def find_key(connection: AsyncConnection, short_id: str) -> Key | None:
    """The live key with this short id; None when there is none, or it was revoked or has expired."""
    row = (await connection.execute(FIND, {"short_id": short_id})).one_or_none()
    if row is None:
        return None
    return Key(
        row.id, row.tenant_id, bytes(row.secret_sha256), frozenset(row.scopes), row.max_queued_jobs, row.has_budget
    )


async def ensure_tenant(connection: AsyncConnection, name: str) -> uuid.UUID:
    """The tenant of this name, made if it is not there."""
    tenant_id: uuid.UUID = (await connection.execute(ENSURE_TENANT, {"id": uuid7(), "name": name})).scalar_one()
    return tenant_id


async def create_key(
    connection: AsyncConnection,
    tenant_id: uuid.UUID,
    name: str,
    scopes: Iterable[Scope],
    expires_at: dt.datetime | None = None,
) -> tuple[uuid.UUID, str]:
    """Make a key; returns (its id, its text). The text is not kept anywhere: this is the only time it is seen."""
    key_id, short_id, secret = uuid7(), secrets.token_hex(SHORT_ID_BYTES), secrets.token_urlsafe(SECRET_BYTES)
    await connection.execute(
        CREATE_KEY,
        {
            "id": key_id,
            "tenant_id": tenant_id,
            "short_id": short_id,
            "secret_sha256": hash_secret(secret),
            "name": name,
            "scopes": sorted(scope.value for scope in set(scopes)),
            "expires_at": expires_at,
        },
    )
    return key_id, f"ty_{short_id}_{secret}"


async def list_keys(connection: AsyncConnection, tenant_id: uuid.UUID) -> list[KeyEntry]:
    """All keys of a tenant, newest first, revoked ones too."""
    found = await connection.execute(LIST, {"tenant_id": tenant_id})
    return [
        KeyEntry(
            id=row.id,
            short_id=row.short_id,
            name=row.name,
            scopes=tuple(row.scopes),
            created_at=row.created_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
            is_expired=row.expired,
        )
        for row in found
    ]


async def has_key(connection: AsyncConnection, tenant_id: uuid.UUID, key_id: uuid.UUID) -> bool:
    """Whether the tenant has, or had, this key."""
    found: bool = (await connection.execute(HAS, {"tenant_id": tenant_id, "id": key_id})).scalar_one()
    return found


async def revoke_key(connection: AsyncConnection, tenant_id: uuid.UUID, key_id: uuid.UUID) -> bool:
    """Revoke a key of this tenant; False when it has none of this id. API processes notice within 5 s."""
    found = await connection.execute(REVOKE, {"tenant_id": tenant_id, "id": key_id})
    return found.scalar_one_or_none() is not None
