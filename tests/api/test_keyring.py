"""A key that many ask for at once is looked up once."""

import asyncio

import pytest

from api import keys
from jobs.store import accounts
from jobs.store.accounts import split
from jobs.store.session import StoreUnavailable
from tests.api.caller import Caller


async def test_a_key_asked_for_by_many_at_once_is_looked_up_once(caller: Caller, monkeypatch: pytest.MonkeyPatch):
    parts, calls = split(caller.key), 0
    assert parts is not None
    real = accounts.find_key

    async def counted(connection, short_id):
        nonlocal calls
        calls += 1
        return await real(connection, short_id)

    monkeypatch.setattr(keys, "find_key", counted)
    ring = keys.Keyring(caller.database)
    found = await asyncio.gather(*(ring.find(parts[0]) for _ in range(50)))
    assert (calls, len({key.id for key in found if key})) == (1, 1)
    assert await ring.find("nobody") is None
    assert calls == 2


async def test_a_record_that_is_away_is_told_to_all_and_asked_again(caller: Caller, monkeypatch: pytest.MonkeyPatch):
    async def away(*_: object) -> None:
        raise StoreUnavailable("away")

    ring = keys.Keyring(caller.database)
    with monkeypatch.context() as patched:
        patched.setattr(keys, "find_key", away)
        told = await asyncio.gather(*(ring.find("abc") for _ in range(3)), return_exceptions=True)
    assert all(isinstance(each, StoreUnavailable) for each in told)
    assert await ring.find("abc") is None
