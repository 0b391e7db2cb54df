"""Each check's judgement on what may be seen: when it warns, when it fails, and that it then says what to do."""

import datetime as dt
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cli.checkup import bells, gates, machine, record, server, settings
from cli.checkup.finding import Finding, Level
from jobs.failures import FailureKind
from jobs.health import BreakerView, ClosingView, Health, KeyView, ModelView
from jobs.redis_vitals import RedisVitals
from jobs.settings import KeyLimits, Provider, ProviderKey, Settings, parse
from jobs.store.fleet import LiveWorker
from jobs.store.reads import OpenJobs
from jobs.store.vitals import Record, Server, Session
from routing.catalog import Catalog, Deployment, Model, Price

NOW = dt.datetime(2026, 11, 25, 3, 0, tzinfo=dt.UTC)
SERVER = Server(
    version="18.1",
    version_number=180_001,
    now=NOW,
    is_standby=False,
    is_durable=True,
    connections=20,
    most_connections=97,
    oldest_transaction_s=0.1,
    sessions=(),
    revision="m1",
)


def worker(*lanes: str, loop_lag_s: float = 0.0) -> LiveWorker:
    return LiveWorker(
        id=uuid.uuid4(),
        name="w",
        host="h",
        pid=1,
        lanes=lanes,
        slots=1,
        calls_in_flight=1,
        beat_s=10,
        jobs_in_hand=0,
        loop_lag_s=loop_lag_s,
        started_at=NOW,
        seen_at=NOW,
    )


RECORD = Record(
    days_ahead=14,
    live_rows=1_000,
    dead_rows=10,
    expired_leases=0,
    oldest_expired_s=0.0,
    lanes=(),
    workers=(worker("interactive"), worker("standard", "bulk"), worker("quarantine")),
    endpoints=0,
    endpoints_given_up=0,
    overdue_delivery_s=0.0,
)
DISPATCHERS = (Session("dispatcher", "h", 0.1),)
REDIS = RedisVitals(
    version="7.2", eviction="noeviction", is_append_only=True, is_written=True, used_bytes=10_000_000, most_bytes=0
)


def levels(findings: list[Finding]) -> dict[str, Level]:
    for finding in findings:
        assert bool(finding.remedy) == (finding.level in {Level.WARN, Level.FAIL}), finding
    return {finding.name: finding.level for finding in findings if finding.level is not Level.OK}


def test_nothing_is_wrong_with_a_healthy_yard():
    assert levels(server.judge(SERVER, NOW, "m1")) == {}
    assert levels(record.judge(RECORD, DISPATCHERS)) == {}
    assert levels(bells.judge(REDIS)) == {}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"is_standby": True}, {"postgres": Level.FAIL}),
        ({"version_number": 140_009}, {"postgres": Level.FAIL}),
        ({"is_durable": False}, {"durability": Level.FAIL}),
        ({"revision": None}, {"migrations": Level.FAIL}),
        ({"revision": "m0"}, {"migrations": Level.FAIL}),
        ({"now": NOW - dt.timedelta(seconds=3)}, {"clock": Level.WARN}),
        ({"now": NOW + dt.timedelta(seconds=90)}, {"clock": Level.FAIL}),
        ({"connections": 85}, {"connections": Level.WARN}),
        ({"connections": 96}, {"connections": Level.FAIL}),
        ({"oldest_transaction_s": 61.0}, {"transactions": Level.WARN}),
        ({"oldest_transaction_s": 901.0}, {"transactions": Level.FAIL}),
    ],
)
def test_postgres_is_judged(change: dict[str, Any], found: dict[str, Level]):
    assert levels(server.judge(msgspec.structs.replace(SERVER, **change), NOW, "m1")) == found


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"days_ahead": 2}, {"partitions": Level.WARN}),
        ({"days_ahead": 0}, {"partitions": Level.FAIL}),
        ({"dead_rows": 200_000}, {"dead-rows": Level.WARN}),
        ({"dead_rows": 200_000, "live_rows": 300_000}, {}),
        ({"expired_leases": 3, "oldest_expired_s": 1.0}, {}),
        ({"expired_leases": 3, "oldest_expired_s": 20.0}, {"leases": Level.WARN}),
        ({"expired_leases": 3, "oldest_expired_s": 70.0}, {"leases": Level.FAIL}),
        ({"lanes": (OpenJobs("interactive", "queued", 2, 50.0),)}, {}),
        ({"lanes": (OpenJobs("interactive", "queued", 2, 70.0),)}, {"queues": Level.WARN}),
        ({"lanes": (OpenJobs("bulk", "queued", 90_000, 70.0),)}, {}),
        ({"lanes": (OpenJobs("bulk", "running", 2, 90_000.0),)}, {}),
        ({"workers": ()}, {"workers": Level.FAIL}),
        ({"workers": (worker("interactive", "standard"), worker("quarantine"))}, {"workers": Level.FAIL}),
        ({"workers": (worker("interactive", "standard", "bulk"),)}, {"workers": Level.WARN}),
        (
            {"workers": (worker("interactive", "standard", "bulk", "quarantine", loop_lag_s=9.0),)},
            {"workers": Level.WARN},
        ),
    ],
)
def test_the_record_is_judged(change: dict[str, Any], found: dict[str, Level]):
    assert levels(record.judge(msgspec.structs.replace(RECORD, **change), DISPATCHERS)) == found


@pytest.mark.parametrize(
    ("change", "session", "found"),
    [
        ({"endpoints": 2}, Session("webhooks", "h", 0.5), {}),
        ({"endpoints": 2}, Session("webhooks", "h", 20.0), {"webhooks": Level.FAIL}),
        ({"endpoints": 2}, Session("api", "h", 0.5), {"webhooks": Level.FAIL}),
        ({"endpoints": 2, "overdue_delivery_s": 61.0}, Session("webhooks", "h", 0.5), {"webhooks": Level.WARN}),
        ({"endpoints_given_up": 1}, Session("webhooks", "h", 0.5), {"webhooks": Level.WARN}),
    ],
)
def test_webhooks_are_judged(change: dict[str, Any], session: Session, found: dict[str, Level]):
    assert levels(record.judge(msgspec.structs.replace(RECORD, **change), (*DISPATCHERS, session))) == found


@pytest.mark.parametrize("sessions", [(), (Session("api", "h", 0.1),), (Session("dispatcher", "h", 16.0),)])
def test_a_dispatcher_must_be_there_and_at_work(sessions: tuple[Session, ...]):
    assert levels(record.judge(RECORD, sessions)) == {"dispatchers": Level.FAIL}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"eviction": "allkeys-lru"}, {"redis-eviction": Level.FAIL}),
        ({"is_append_only": False}, {"redis-persistence": Level.WARN}),
        ({"is_written": False}, {"redis-persistence": Level.FAIL}),
        ({"most_bytes": 12_000_000}, {"redis-memory": Level.WARN}),
        ({"most_bytes": 10_100_000}, {"redis-memory": Level.FAIL}),
    ],
)
def test_redis_is_judged(change: dict[str, Any], found: dict[str, Level]):
    assert levels(bells.judge(msgspec.structs.replace(REDIS, **change))) == found


HEALTHY = Health(
    (BreakerView(name="lab", kind="provider", state="closed"),),
    (KeyView(provider="lab", key_index=0, limits=KeyLimits()),),
    is_known=True,
)
OPEN = BreakerView(name="lab", kind="provider", state="open", opens_in_s=3.0, tripped_s=2.0, trips=1)
REFUSED = KeyView(provider="lab", key_index=0, limits=KeyLimits(), trouble=FailureKind.BAD_KEY)
PAUSE = ClosingView(why=FailureKind.RATE_LIMITED, closed_s=20.0, tried_s=20.0, since_s=1.0)
PAUSED = KeyView(provider="lab", key_index=0, limits=KeyLimits(), closing=PAUSE)
PAUSED_MODEL = msgspec.structs.replace(
    PAUSED, closing=ClosingView(), models=(ModelView(model="small", limits=KeyLimits(), closing=PAUSE),)
)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, {}),
        ({"breakers": (OPEN,)}, {"breakers": Level.WARN}),
        ({"keys": (REFUSED,)}, {"provider-keys": Level.FAIL}),
        ({"keys": (PAUSED,)}, {"provider-keys": Level.WARN}),
        ({"keys": (PAUSED_MODEL,)}, {"provider-keys": Level.WARN}),
        ({"is_known": False}, {"breakers": Level.SKIPPED, "provider-keys": Level.SKIPPED}),
    ],
)
def test_the_gates_are_judged(change: dict[str, Any], found: dict[str, Level]):
    assert levels(gates.judge(msgspec.structs.replace(HEALTHY, **change))) == found


TODAY = dt.date(2026, 11, 25)
PRICE = Price(Decimal(1), Decimal(2), dt.date(2026, 11, 20), "a test")


def catalog(**fields: Any) -> Catalog:
    return Catalog.of([Model(id="m/s")], [Deployment(model="m/s", provider="lab", upstream="s", **fields)])


@pytest.mark.parametrize(
    ("environ", "found"), [({"K": "k"}, {}), ({}, {"providers": Level.FAIL}), ({"L": "k"}, {"providers": Level.WARN})]
)
def test_a_policy_needs_a_provider_with_a_key(environ: dict[str, str], found: dict[str, Level]):
    assert levels(settings.judge(two_providers(), catalog(price=PRICE), environ, TODAY)) == found


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"price": PRICE}, {}),
        ({}, {"prices": Level.WARN}),
        ({"price": msgspec.structs.replace(PRICE, valid_from=dt.date(2026, 11, 26))}, {"prices": Level.WARN}),
        ({"price": PRICE, "retires_on": dt.date(2026, 12, 24)}, {"prices": Level.WARN}),
        ({"price": PRICE, "retires_on": dt.date(2027, 12, 24)}, {}),
    ],
)
def test_what_a_policy_may_call_needs_a_price_today(fields: dict[str, Any], found: dict[str, Level]):
    assert levels(settings.judge(two_providers(), catalog(**fields), {"K": "k"}, TODAY)) == found


def two_providers() -> Settings:
    return msgspec.structs.replace(
        parse([{"policies": {"auto": {"tiers": [["m/s"]]}}}]),
        providers={
            "lab": Provider(dialect="openai", base_url="http://x", keys=(ProviderKey(env="K"),)),
            "far": Provider(dialect="openai", base_url="http://y", keys=(ProviderKey(env="L"),)),
        },
    )


def test_a_full_disk_is_seen(monkeypatch, tmp_path: Path):
    free = [5_000_000_000]
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": free[0]}))
    assert levels([machine.disk(tmp_path / "not" / "there")]) == {}
    free[0] = 1_000_000_000
    assert levels([machine.disk(tmp_path)]) == {"disk": Level.WARN}
    free[0] = 1_000_000
    assert levels([machine.disk(tmp_path)]) == {"disk": Level.FAIL}
