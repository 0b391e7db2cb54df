"""Tenants and keys: hashed, scoped, revocable, shown once."""

import uuid

from jobs.store.accounts import Scope, create_key, find_key, list_keys, revoke_key, split
from jobs.store.bootstrap_key import bootstrap
from jobs.store.session import Database
from tests.jobs.store import given


async def test_a_key_is_found_by_its_short_id_and_opens_only_for_its_own_secret(database: Database):
    tenant_id = await given.tenant(database)
    async with database.transaction() as connection:
        key_id, key_text = await create_key(connection, tenant_id, "ci", [Scope.READ, Scope.SUBMIT])
        short_id, secret = split(key_text) or ("", "")
        key = await find_key(connection, short_id)
    assert key is not None
    assert (key.id, key.tenant_id, key.scopes) == (key_id, tenant_id, frozenset({"read", "submit"}))
    assert key.opens_for(secret)
    assert not key.opens_for(secret[:-1] + ("a" if secret[-1] != "a" else "b"))


async def test_the_secret_is_stored_nowhere(database: Database):
    tenant_id = await given.tenant(database)
    async with database.transaction() as connection:
        _, key_text = await create_key(connection, tenant_id, "ci", Scope)
        rows = (await connection.exec_driver_sql("select k::text as k from api_keys k")).scalars().all()
    assert len(rows) == 1
    assert key_text.split("_", 2)[2] not in rows[0]


async def test_a_revoked_key_is_not_found_and_still_listed(database: Database):
    tenant_id = await given.tenant(database)
    async with database.transaction() as connection:
        key_id, key_text = await create_key(connection, tenant_id, "ci", Scope)
        assert await revoke_key(connection, tenant_id, key_id)
        short_id, _ = split(key_text) or ("", "")
        assert await find_key(connection, short_id) is None
        (entry,) = await list_keys(connection, tenant_id)
    assert entry.revoked_at is not None


async def test_another_tenant_can_neither_list_nor_revoke_a_key(database: Database):
    tenant_id, other = await given.tenant(database), await given.tenant(database, "other")
    async with database.transaction() as connection:
        key_id, _ = await create_key(connection, tenant_id, "ci", Scope)
        assert await list_keys(connection, other) == []
        assert not await revoke_key(connection, other, key_id)


def test_what_does_not_look_like_a_key_is_not_looked_up():
    for wrong in ("", "ty_", "sk-123", "ty_0123456789abcdef_short", f"ty_{'0' * 16}_{'a' * 42}\x00"):
        assert split(wrong) is None


async def test_bootstrap_makes_the_tenant_once_and_a_fresh_admin_key_each_time(database: Database):
    first, second = await bootstrap(database), await bootstrap(database)
    assert first != second
    owners: set[uuid.UUID] = set()
    async with database.transaction() as connection:
        for key_text in (first, second):
            key = await find_key(connection, (split(key_text) or ("", ""))[0])
            assert key is not None
            assert key.scopes == {"submit", "read", "admin"}
            owners.add(key.tenant_id)
    assert len(owners) == 1
