"""Every figure a Tokenyard process can tell Prometheus: name, unit, labels, sentence; docs/metrics.md is drawn from it.

Labels are names from the settings or words of a closed list: never an id, never a text somebody sent. Counters and
histograms belong to their process and begin at zero with it; the fleet's figures (`FLEET`) are read from Postgres by
the API, so that they are right whoever died.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from http.server import ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import MetricsHandler
from prometheus_client.registry import Collector

from jobs.settings import Telemetry

log = logging.getLogger(__name__)
disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter that nobody looks at
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PORTS = 100
"""How many ports from `telemetry.worker_metrics_port` on are tried: several processes may share a machine."""
LAG_LOOK_S = 0.25
LAG_MEMORY_S = 15.0
CALL_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
FAST_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
ROW_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


class Fact(NamedTuple):
    """A line of docs/metrics.md."""

    name: str
    kind: str
    labels: tuple[str, ...]
    sentence: str
    told_by: tuple[str, ...]
    """The processes whose page has it; `fleet` is on the API's page, from Postgres and Redis."""


FACTS: dict[str, Fact] = {}
API, WORKER, DISPATCHER, WEBHOOKS = (CollectorRegistry() for _ in range(4))
_TELLERS = {id(API): "api", id(WORKER): "worker", id(DISPATCHER): "dispatcher", id(WEBHOOKS): "webhooks"}
for _registry in (API, WORKER, DISPATCHER, WEBHOOKS):
    ProcessCollector(registry=_registry)

Registries = tuple[CollectorRegistry, ...]


def _note(name: str, kind: str, labels: Iterable[str], sentence: str, registries: Registries) -> None:
    tellers = tuple(_TELLERS[id(registry)] for registry in registries) or ("fleet",)
    FACTS[name] = Fact(name, kind, tuple(labels), sentence, tellers)


def _counter(name: str, sentence: str, labels: Iterable[str], *registries: CollectorRegistry) -> Counter:
    _note(name, "counter", labels, sentence, registries)
    made = Counter(name, sentence, labels, registry=None)
    for registry in registries:
        registry.register(made)
    return made


def _gauge(name: str, sentence: str, *registries: CollectorRegistry) -> Gauge:
    _note(name, "gauge", (), sentence, registries)
    made = Gauge(name, sentence, registry=None)
    for registry in registries:
        registry.register(made)
    return made


def _histogram(
    name: str, sentence: str, labels: Iterable[str], buckets: tuple[float, ...], *registries: CollectorRegistry
) -> Histogram:
    _note(name, "histogram", labels, sentence, registries)
    made = Histogram(name, sentence, labels, buckets=buckets, registry=None)
    for registry in registries:
        registry.register(made)
    return made


# Every process.
LOOP_LAG = _gauge(
    "tokenyard_loop_lag_seconds",
    "Longest time in the last 15 s that the process's event loop did not move.",
    API,
    WORKER,
    DISPATCHER,
    WEBHOOKS,
)
FLUSH_ROWS = _histogram(
    "tokenyard_flush_rows", "Rows written together, by what they are.", ["kind"], ROW_BUCKETS, API, WORKER
)
FLUSH_DURATION = _histogram(
    "tokenyard_flush_duration_seconds",
    "From the start of a flush to its commit, by what was written.",
    ["kind"],
    FAST_BUCKETS_S,
    API,
    WORKER,
)

# The API.
REQUESTS = _counter(
    "tokenyard_http_requests_total",
    "Requests answered, by route template and status.",
    ["method", "route", "status"],
    API,
)
REQUEST_DURATION = _histogram(
    "tokenyard_http_request_duration_seconds",
    "From a request's head to the last byte of its reply; waiting (?wait=) counts.",
    ["route"],
    FAST_BUCKETS_S,
    API,
)
SUBMITTED = _counter(
    "tokenyard_jobs_submitted_total", "Jobs submitted to this process; a retry of an ended job is none.", ["lane"], API
)

# A worker.
CALLS_IN_FLIGHT = _gauge("tokenyard_calls_in_flight", "Provider calls this process waits for.", WORKER)
LEASES_HELD = _gauge("tokenyard_leases_held", "Jobs this process has claimed and beats for.", WORKER)
CLAIMED = _counter("tokenyard_jobs_claimed_total", "Jobs claimed: after a bell, or by polling.", ["by"], WORKER)
RESTED = _counter(
    "tokenyard_jobs_rested_total",
    "Jobs this process carried to a rest: succeeded, failed, expired, cancelled, deferred, released, moved on.",
    ["lane", "rest"],
    WORKER,
)
CALL_DURATION = _histogram(
    "tokenyard_call_duration_seconds",
    "Provider calls, from first byte sent to last byte read.",
    ["deployment"],
    CALL_BUCKETS_S,
    WORKER,
)
FIRST_TOKEN = _histogram(
    "tokenyard_first_token_seconds",
    "Streamed calls, from first byte sent to the first token.",
    ["deployment"],
    CALL_BUCKETS_S,
    WORKER,
)
CALLS = _counter(
    "tokenyard_calls_total", "Provider calls that came back, by how.", ["deployment", "outcome", "failure"], WORKER
)
UNPRICED = _counter(
    "tokenyard_unpriced_calls_total",
    "Calls whose bill nobody can reckon, for want of a price or because the counts make no sense: cost unknown.",
    ["deployment"],
    WORKER,
)
GATE_REFUSALS = _counter(
    "tokenyard_gate_refusals_total", "Calls held back before they were made, by reason.", ["reason"], WORKER
)
BEATS_FAILED = _counter("tokenyard_beats_failed_total", "Beats that could not renew the leases.", [], WORKER)

# The dispatcher.
RELEASED = _counter("tokenyard_jobs_released_total", "Jobs released into their lanes.", ["lane"], DISPATCHER)
RINGS_FAILED = _counter("tokenyard_rings_failed_total", "Bells that could not be rung; workers poll.", [], DISPATCHER)
SWEPT = _counter(
    "tokenyard_jobs_swept_total",
    "Jobs that were rescued from dead workers, expired while they waited, or released again; attempts left open.",
    ["action"],
    DISPATCHER,
)
TICK_DURATION = _histogram(
    "tokenyard_tick_duration_seconds", "One turn of the release loop.", [], FAST_BUCKETS_S, DISPATCHER
)

# The webhook worker.
WEBHOOK_TRIES = _counter(
    "tokenyard_webhook_tries_total", "Deliveries tried: delivered, refused, no_answer.", ["result"], WEBHOOKS
)
WEBHOOK_DURATION = _histogram(
    "tokenyard_webhook_duration_seconds",
    "From a delivery's start to its receiver's answer.",
    [],
    FAST_BUCKETS_S,
    WEBHOOKS,
)


class Figure(NamedTuple):
    """A figure of the whole fleet; the API fills it when it is scraped."""

    name: str
    labels: tuple[str, ...]
    sentence: str
    is_counter: bool = False


_LEDGER = " By the ledger, up to a minute behind."
_FIGURES = (
    Figure("tokenyard_postgres_up", (), "1 while Postgres answers this API process."),
    Figure("tokenyard_redis_up", (), "1 while Redis answers this API process."),
    Figure("tokenyard_jobs", ("lane", "state"), "Jobs that wait or run."),
    Figure("tokenyard_oldest_job_seconds", ("lane", "state"), "Age of the oldest of them."),
    Figure("tokenyard_workers", ("lane",), "Worker processes that live, by a lane they serve."),
    Figure(
        "tokenyard_webhooks", ("state",), "Endpoints: enabled, of these failing (the last try failed), and disabled."
    ),
    Figure(
        "tokenyard_webhook_deliveries",
        ("state",),
        "Deliveries pending, and of these overdue: for five minutes, to endpoints that are not paused.",
    ),
    Figure(
        "tokenyard_budgets", ("state",), "Budgets of all tenants and keys: open, or exhausted until they are raised."
    ),
    Figure(
        "tokenyard_attempts_total",
        ("provider", "model", "outcome", "failure"),
        "Provider calls closed." + _LEDGER + " One whose late bill came counts as unknown and as orphaned.",
        is_counter=True,
    ),
    Figure("tokenyard_cost_usd_total", ("provider", "model"), "Known cost in USD." + _LEDGER, is_counter=True),
    Figure(
        "tokenyard_unknown_cost_total",
        ("provider", "model"),
        "Calls that may have been billed and whose cost is unknown." + _LEDGER,
        is_counter=True,
    ),
    Figure(
        "tokenyard_tokens_total",
        ("provider", "model", "outcome", "direction"),
        "Tokens reported by providers; direction is input or output." + _LEDGER,
        is_counter=True,
    ),
    Figure("tokenyard_ledger_lag_seconds", (), "How far the ledger's figures are behind."),
    Figure(
        "tokenyard_breaker_state",
        ("kind", "name", "state"),
        "1 for the state a provider's or deployment's breaker is in: closed, open or half_open.",
    ),
    Figure(
        "tokenyard_key_closed_seconds",
        ("provider", "key_index"),
        "Until a key opens with all its models after a Retry-After for the whole account; 0: open.",
    ),
    Figure(
        "tokenyard_model_closed_seconds",
        ("provider", "key_index", "model"),
        "Until a model of a key opens after a Retry-After; told of models that are closed.",
    ),
    Figure(
        "tokenyard_key_disabled_seconds",
        ("provider", "key_index", "trouble"),
        "Until a key that its provider refused is tried again.",
    ),
    Figure(
        "tokenyard_limit_used_ratio",
        ("provider", "key_index", "limit"),
        "How full a key's meter of requests or tokens is; at 1 calls wait.",
    ),
    Figure("tokenyard_key_calls_in_flight", ("provider", "key_index"), "Calls of a key whose concurrency is limited."),
    Figure(
        "tokenyard_price_usd_per_million_tokens",
        ("deployment", "direction"),
        "The catalogue's prices today, of providers that are on: what the same tokens would have cost elsewhere.",
    ),
)
FLEET: dict[str, Figure] = {figure.name: figure for figure in _FIGURES}
for _figure in _FIGURES:
    _note(_figure.name, "counter" if _figure.is_counter else "gauge", _figure.labels, _figure.sentence, ())


def flushed(kind: str) -> Callable[[int, float], None]:
    """What a `jobs.store.flush.Flush` tells after each write: rows, and seconds it took."""
    rows, duration = FLUSH_ROWS.labels(kind), FLUSH_DURATION.labels(kind)

    def note(count: int, seconds: float) -> None:
        rows.observe(count)
        duration.observe(seconds)

    return note


def page(registry: Collector) -> bytes:
    """A registry, or anything that collects, in Prometheus' text format."""
    return generate_latest(registry)


class Lag:
    """The worst lag of the last 15 s, in two halves: a gauge of the moment would miss every spike."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turned_at_s = clock()
        self._before_s = 0.0
        self._now_s = 0.0

    def note(self, lag_s: float) -> None:
        """A look at the loop."""
        if self._clock() - self._turned_at_s >= LAG_MEMORY_S / 2:
            self._turned_at_s = self._clock()
            self._before_s, self._now_s = self._now_s, 0.0
        self._now_s = max(self._now_s, lag_s)

    def worst_s(self) -> float:
        """Seconds; of the last 7.5 to 15 s."""
        return max(self._before_s, self._now_s)


async def watch_loop() -> None:
    """Measure the loop this runs on, for ever; cancel it to stop."""
    lag = Lag()
    LOOP_LAG.set_function(lag.worst_s)
    while True:
        asked_at_s = time.monotonic()
        await asyncio.sleep(LAG_LOOK_S)
        lag.note(max(0.0, time.monotonic() - asked_at_s - LAG_LOOK_S))


def told(telemetry: Telemetry, registry: CollectorRegistry) -> ThreadingHTTPServer | None:
    """Serve a registry as the settings say; None when they say no, or no port is free (that is no reason to stop)."""
    if not telemetry.worker_metrics_port:
        return None
    try:
        server = serve(registry, telemetry.metrics_host, telemetry.worker_metrics_port)
    except OSError:
        log.exception("metrics: no port from %d on is free: this process serves none", telemetry.worker_metrics_port)
        return None
    log.info("metrics: served on port %d", server.server_port)
    return server


def serve(registry: CollectorRegistry, host: str, port: int) -> ThreadingHTTPServer:
    """Serve a registry's page from a thread, on the first free port from `port` on. Raises OSError when none is."""
    for offset in range(PORTS):
        try:
            server = ThreadingHTTPServer((host, port + offset if port else 0), MetricsHandler.factory(registry))
        except OSError:
            if offset == PORTS - 1:
                raise
            continue
        server.daemon_threads = True
        Thread(target=server.serve_forever, name="tokenyard-metrics", daemon=True).start()
        return server
    raise AssertionError("unreachable")
