"""The registries and their pages; what is declared is what is told."""

import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from jobs import meters
from jobs.settings import Telemetry


@pytest.mark.parametrize("teller", ["api", "worker", "dispatcher", "webhooks"])
def test_every_declared_metric_is_on_its_process_page(teller: str):
    registry = {
        "api": meters.API,
        "worker": meters.WORKER,
        "dispatcher": meters.DISPATCHER,
        "webhooks": meters.WEBHOOKS,
    }[teller]
    page = meters.page(registry).decode()
    told = {family.name for family in text_string_to_metric_families(page) if family.name.startswith("tokenyard_")}
    declared = {name.removesuffix("_total") for name, fact in meters.FACTS.items() if teller in fact.told_by}
    assert told == declared


def test_names_have_their_units_and_labels_no_ids():
    for fact in meters.FACTS.values():
        assert fact.name.startswith("tokenyard_")
        assert (fact.kind == "counter") == fact.name.endswith("_total")
        assert not {label for label in fact.labels if label.endswith("_id") or label in {"id", "key", "tenant", "url"}}


def test_processes_on_one_machine_take_the_next_free_port():
    first = meters.serve(meters.WORKER, "127.0.0.1", 0)
    try:
        second = meters.told(Telemetry(worker_metrics_port=first.server_port), meters.DISPATCHER)
        assert second is not None
        try:
            assert second.server_port > first.server_port
            with urllib.request.urlopen(f"http://127.0.0.1:{second.server_port}/metrics", timeout=10) as reply:
                assert b"tokenyard_tick_duration_seconds_count" in reply.read()
        finally:
            second.shutdown()
            second.server_close()
    finally:
        first.shutdown()
        first.server_close()


def test_none_is_served_unless_it_was_asked_for():
    assert meters.told(Telemetry(), meters.WORKER) is None


def test_the_worst_lag_is_remembered_for_a_while_and_then_forgotten():
    now_s = 0.0
    lag = meters.Lag(lambda: now_s)
    lag.note(2.0)
    now_s = 8.0
    lag.note(0.1)
    assert lag.worst_s() == 2.0
    now_s = 16.0
    lag.note(0.2)
    assert lag.worst_s() == 0.2
