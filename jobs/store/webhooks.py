"""The endpoints of webhooks: made, shown, changed, given new secrets, disabled; each statement with its tenant.

Secrets lie in the database in clear, because they sign: whoever reads the database can sign in our name.
"""

import base64
import datetime as dt
import secrets
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs.events import SECRET_PREFIX
from jobs.store import outbox
from jobs.store.uuid7 import uuid7

SECRET_BYTES = 32
OLD_SECRET_HOURS = 24
"""For so long after a rotation the old secret signs, too."""
MOST_OF_TENANT = 100
AT_ONCE = 10_000
"""Deliveries that one statement deletes, holds or lets go."""

_COLUMNS = """
    id, name, url, events, enabled, created_at, failures, failing_since, paused_until, disabled_at, disabled_reason,
    case when old_secret_until > now() then old_secret_until end as old_secret_until
"""
# The count is of this instant: two that come together may both be the hundredth.
CREATE = text(f"""
insert into webhooks (id, tenant_id, name, url, events, secret)
select :id, :tenant_id, :name, :url, :events, :secret
where (select count(*) from webhooks where tenant_id = :tenant_id) < :most
returning {_COLUMNS}
""")  # noqa: S608 -- made of constants of this file
LIST = text(f"select {_COLUMNS} from webhooks where tenant_id = :tenant_id order by id desc")  # noqa: S608
GET = text(f"select {_COLUMNS} from webhooks where tenant_id = :tenant_id and id = :id")  # noqa: S608
OWNED = text("select id, enabled from webhooks where tenant_id = :tenant_id")
# Enabled anew it begins anew; disabled by its owner it has no reason but that.
UPDATE = text(f"""
update webhooks set name = coalesce(:name, name), url = coalesce(:url, url),
    events = coalesce(cast(:events as text[]), events), enabled = coalesce(:enabled, enabled),
    failures = case when :enabled or cast(:url as text) is not null then 0 else failures end,
    failing_since = case when :enabled or cast(:url as text) is not null then null else failing_since end,
    paused_until = case when :enabled or cast(:url as text) is not null then null else paused_until end,
    disabled_at = case when :enabled then null when not :enabled and enabled then now() else disabled_at end,
    disabled_reason = case when :enabled then null when not :enabled and enabled then 'its owner disabled it'
        else disabled_reason end
where tenant_id = :tenant_id and id = :id returning {_COLUMNS}
""")  # noqa: S608 -- made of constants of this file
# In pieces, before its endpoint goes: while a delete of the endpoint runs, every job that names it waits for it to end.
EMPTY = text("""
delete from webhook_deliveries where id in (
    select id from webhook_deliveries where tenant_id = :tenant_id and webhook_id = :id limit :most
    for update skip locked)
""")
DELETE = text("delete from webhooks where tenant_id = :tenant_id and id = :id returning id")
ROTATE = text("""
update webhooks set old_secret = secret, old_secret_until = now() + make_interval(hours => :hours), secret = :secret
where tenant_id = :tenant_id and id = :id returning old_secret_until
""")
DISABLE = text("""
update webhooks set enabled = false, disabled_at = now(), disabled_reason = :reason
where id = :id and enabled returning tenant_id, name, failing_since
""")
# In pieces, too. Those in flight settle by themselves: their rows are another transaction's. A piece that is never
# held is not sent either: a claim looks at the endpoint.
HOLD = text("""
update webhook_deliveries set state = 'held' where id in (
    select id from webhook_deliveries where webhook_id = :id and state = 'pending' and token is null limit :most
    for update skip locked)
""")
GO_ON = text("""
update webhook_deliveries set state = 'pending', next_at = now() where id in (
    select id from webhook_deliveries where webhook_id = :id and state = 'held' limit :most for update skip locked)
""")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What an owner wants otherwise; None leaves it."""

    name: str | None = None
    url: str | None = None
    events: list[str] | None = None
    enabled: bool | None = None


def new_secret() -> str:
    """`whsec_` and 256 random bits in base64, as Standard Webhooks writes them."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


async def create(
    connection: AsyncConnection, tenant_id: uuid.UUID, name: str, url: str, events: Sequence[str]
) -> tuple[Row[Any], str] | None:
    """A new endpoint and its secret; None when the tenant has MOST_OF_TENANT already."""
    secret = new_secret()
    names = {"id": uuid7(), "tenant_id": tenant_id, "name": name, "url": url, "events": list(events)}
    found = await connection.execute(CREATE, names | {"secret": secret, "most": MOST_OF_TENANT})
    row = found.one_or_none()
    return None if row is None else (row, secret)


async def of_tenant(connection: AsyncConnection, tenant_id: uuid.UUID) -> Sequence[Row[Any]]:
    """All endpoints of a tenant without their secrets, newest first."""
    return (await connection.execute(LIST, {"tenant_id": tenant_id})).all()


async def get(connection: AsyncConnection, tenant_id: uuid.UUID, webhook_id: uuid.UUID) -> Row[Any] | None:
    """One endpoint; None when this tenant has none of this id."""
    return (await connection.execute(GET, {"tenant_id": tenant_id, "id": webhook_id})).one_or_none()


async def owned(connection: AsyncConnection, tenant_id: uuid.UUID) -> dict[uuid.UUID, bool]:
    """The ids of a tenant's endpoints, and whether each is enabled: what a job may name."""
    found = await connection.execute(OWNED, {"tenant_id": tenant_id})
    return {row.id: row.enabled for row in found}


async def update(
    connection: AsyncConnection, tenant_id: uuid.UUID, webhook_id: uuid.UUID, change: Change
) -> Row[Any] | None:
    """Change an endpoint; None when this tenant has none of this id. Wants a connection that commits each statement.

    Disabled, its waiting deliveries are held; enabled, what was held goes out. Who is broken off and asks again goes on
    from there.
    """
    names = msgspec.structs.asdict(change) | {"tenant_id": tenant_id, "id": webhook_id}
    row = (await connection.execute(UPDATE, names)).one_or_none()
    if row is not None and change.enabled is not None:
        await _in_pieces(connection, GO_ON if change.enabled else HOLD, {"id": webhook_id})
    return row


async def hold(connection: AsyncConnection, webhook_id: uuid.UUID) -> None:
    """Hold what waits for a disabled endpoint. Wants a connection that commits each statement."""
    await _in_pieces(connection, HOLD, {"id": webhook_id})


async def _in_pieces(connection: AsyncConnection, statement: TextClause, names: dict[str, Any]) -> None:
    while (await connection.execute(statement, names | {"most": AT_ONCE})).rowcount == AT_ONCE:
        pass


async def delete(connection: AsyncConnection, tenant_id: uuid.UUID, webhook_id: uuid.UUID) -> bool:
    """Delete an endpoint with its deliveries; False when this tenant has none of this id.

    Wants a connection that commits each statement, so that a long list is gone before the endpoint is held; who is
    broken off and asks again goes on from there.
    """
    names = {"tenant_id": tenant_id, "id": webhook_id}
    await _in_pieces(connection, EMPTY, names)
    found = await connection.execute(DELETE, names)
    return found.scalar_one_or_none() is not None


async def rotate(
    connection: AsyncConnection, tenant_id: uuid.UUID, webhook_id: uuid.UUID
) -> tuple[str, dt.datetime] | None:
    """A new secret, and until when the one before signs too; None when this tenant has no such endpoint."""
    secret = new_secret()
    names = {"tenant_id": tenant_id, "id": webhook_id, "secret": secret, "hours": OLD_SECRET_HOURS}
    until = (await connection.execute(ROTATE, names)).scalar_one_or_none()
    return None if until is None else (secret, until)


async def disable(connection: AsyncConnection, webhook_id: uuid.UUID, reason: str) -> bool:
    """Disable an endpoint that can't be reached and tell the tenant's others; `hold` what waits for it after that.

    False when it was disabled already. Wants a transaction.
    """
    row = (await connection.execute(DISABLE, {"id": webhook_id, "reason": reason})).one_or_none()
    if row is None:
        return False
    told = {
        "id": outbox.shown_webhook(webhook_id),
        "name": row.name,
        "reason": reason,
        "failing_since": row.failing_since,
    }
    await outbox.announce(connection, row.tenant_id, "webhook.disabled", told, but_not=webhook_id)
    return True
