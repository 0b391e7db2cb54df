"""Settings: defaults < tokenyard.toml < environment (secrets and addresses) < flags; an unknown key is an error.

`parse` is pure; `jobs.configuration.load` reads the files and the environment and calls it.
"""

import difflib
import hashlib
import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec

from jobs.policy import Policy

Table = Mapping[str, Any]


Positive = Annotated[int, msgspec.Meta(ge=1)]
LimitsBy = Literal["model", "key"]
Pattern = Annotated[str, msgspec.Meta(min_length=1)]
Span = Annotated[float, msgspec.Meta(gt=0)]


class SettingsError(ValueError):
    """A setting is wrong; the message names the key, what it should be, and the nearest known one."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every section: frozen, and strict about its keys."""


class KeyLimits(_Section, frozen=True):
    """What a provider allows one key, or one model of it; None is no limit."""

    requests_per_minute: Positive | None = None
    tokens_per_minute: Positive | None = None
    concurrency: Positive | None = None


class ProviderKey(_Section, frozen=True):
    """A key by the name of the environment variable that holds it, never by value."""

    env: str | None = None
    """None: the provider wants no key (a local server)."""
    limits: KeyLimits = KeyLimits()
    """Of all its models together."""
    model_limits: dict[Pattern, KeyLimits] = {}
    """Of each model by itself, by pattern (`gpt-4o*`) of its name at the provider; `routing.limits.limits_of` finds
    the one that counts."""


class Provider(_Section, frozen=True):
    """Whom you pay: address, dialect, keys. It is on when a key is there (or none is needed)."""

    dialect: Literal["openai", "anthropic", "gemini"]
    base_url: str
    accent: str = ""
    """How this provider differs from its dialect, by a name of the dialect's list; empty: the dialect's own way."""
    keys: tuple[ProviderKey, ...] = (ProviderKey(),)
    limits_by: LimitsBy | None = None
    """What its 429 is about: the model that was asked, or the whole key. None: what is known of the provider
    (`routing.limit_facts`)."""
    http2: bool = False
    is_sandbox: bool = False


class Api(_Section, frozen=True):
    """The HTTP front."""

    host: str = "127.0.0.1"
    port: int = 8400
    max_request_bytes: int = 8_000_000
    """One job's body; above it 413."""
    max_bulk_bytes: int = 1_000_000_000
    max_bulk_jobs: int = 100_000
    max_wait_s: float = 60.0
    chat_deadline_s: Span = 600.0
    """A chat completion's deadline when it names none; past it its caller gets a 504."""
    max_events_s: Span = 3600.0
    """A stream of events is ended after this; its client comes back with Last-Event-ID and goes on."""


class Worker(_Section, frozen=True):
    """How a worker process works. The figures come from measurements: docs/architecture.md names them."""

    slots: Positive = 32
    """Celery messages carried at once; each holds a thread until its jobs ended."""
    calls_in_flight: Positive = 1024
    """Provider calls at once in one process."""
    lease_s: Span = 30.0
    beat_s: Span = 10.0
    max_lag_s: Span = 15.0
    """An event loop that has not moved for so long is not beaten for: its jobs go on elsewhere."""
    poll_s: Span = 2.0
    """After this silence a worker with free slots claims straight from Postgres."""
    flush_ms: float = 3.0
    """How long endings of bulk jobs wait to be committed together."""
    drain_s: float = 25.0
    """How long a stopping worker lets its calls finish before it gives the jobs back."""
    max_deaths: Positive = 3
    """A job whose workers died this often fails with worker_deaths."""


class Dispatcher(_Section, frozen=True):
    """Release and sweep."""

    tick_ms: Span = 100.0
    depth: Positive = 4096
    """Most jobs released and not yet claimed, per lane; as a rule there are as many as its workers claim in 0.5 s."""
    sweep_s: Span = 1.0
    reissue_s: Span = 15.0
    """A bell unanswered for so long is taken for lost and its jobs are released again."""


class Flower(_Section, frozen=True):
    """Celery's monitor, read-only and behind a password. What listens beyond loopback belongs behind TLS."""

    host: str = "127.0.0.1"
    port: int = 5555


class Retention(_Section, frozen=True):
    """How long prompts and answers are kept. The ledger stays."""

    days: Positive = 30


class Telemetry(_Section, frozen=True):
    """What the processes tell of themselves: docs/observability.md."""

    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    metrics_host: str = "127.0.0.1"
    worker_metrics_port: Annotated[int, msgspec.Meta(ge=0, le=65_435)] = 0
    """Each worker and dispatcher serves its metrics on the first free port from here on; 0: none does."""
    open_metrics: bool = True
    """False: the API's /metrics wants a key with the scope admin."""
    otlp_endpoint: str = ""
    """Base address of an OTLP/HTTP collector; OTEL_EXPORTER_OTLP_ENDPOINT when empty, no traces without either."""


class Webhooks(_Section, frozen=True):
    """Calls to the tenants' own endpoints. docs/webhooks.md says what the network rules are for."""

    allow_networks: tuple[str, ...] = ()
    """Networks (10.1.0.0/16) that are trusted: receivers there may be private, speak http, and use any port."""
    allow_http: bool = False
    """http to public addresses, too."""
    ports: tuple[Annotated[int, msgspec.Meta(ge=1, le=65_535)], ...] = ()
    """Open beside 443 and 8443."""
    timeout_s: Span = 15.0
    """From looking the name up to the reply's head."""
    lease_s: Span = 60.0
    """A delivery whose worker died is made again after this."""
    concurrency: Positive = 64
    """Deliveries at once in one process."""
    concurrency_per_endpoint: Positive = 4
    """Deliveries at once to one endpoint, of all processes together."""
    poll_s: Span = 1.0
    """How often a webhook worker looks for itself; a bell makes it look at once."""
    retention_days: Positive = 30
    """Deliveries that ended, and those that were held for a disabled endpoint, are dropped after this."""


class Task(_Section, frozen=True):
    """A kind of work with its comparator for labels."""

    compare: Literal["exact", "json", "number"] = "exact"


class CatalogFile(_Section, frozen=True):
    """The user's own catalogue, over the shipped one."""

    file: str = ""
    """What `tokenyard catalog import --apply` writes; a yard of `tokenyard up` keeps it in its var folder."""


class Settings(_Section, frozen=True):
    """Everything a process needs to know, once, passed in."""

    database_url: str = ""
    redis_url: str = ""
    allow_real_calls: bool = True
    """False: no call leaves this machine, whatever the providers say. A sandbox yard sets it."""
    api: Api = Api()
    worker: Worker = Worker()
    dispatcher: Dispatcher = Dispatcher()
    flower: Flower = Flower()
    retention: Retention = Retention()
    telemetry: Telemetry = Telemetry()
    webhooks: Webhooks = Webhooks()
    catalog: CatalogFile = CatalogFile()
    providers: dict[str, Provider] = {}
    policies: dict[str, Policy] = {}
    tasks: dict[str, Task] = {}
    models: tuple[dict[str, Any], ...] = ()
    """Additions to the catalogue; `routing.catalog.Model` has the fields."""
    deployments: tuple[dict[str, Any], ...] = ()

    @property
    def policies_version(self) -> str:
        """Twelve hex digits that change when any policy does; receipts name it."""
        return hashlib.sha256(msgspec.json.encode(self.policies, order="sorted")).hexdigest()[:12]


def merge(layers: Iterable[Table]) -> dict[str, Any]:
    """Later layers win; tables merge key by key, lists of tables (models, deployments) add up."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            before = merged.get(key)
            if isinstance(before, Mapping) and isinstance(value, Mapping):
                merged[key] = merge([before, value])
            elif isinstance(before, list) and isinstance(value, list) and key in {"models", "deployments"}:
                merged[key] = before + value
            else:
                merged[key] = value
    return merged


def parse(layers: Iterable[Table]) -> Settings:
    """Merge the layers and check every key. Raises SettingsError."""
    merged = merge(layers)
    try:
        settings = msgspec.convert(merged, Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(_explain(str(error), merged)) from error
    if settings.worker.beat_s * 2 > settings.worker.lease_s:
        raise SettingsError("worker.beat_s must be at most half of worker.lease_s, or leases run out between beats")
    _check_webhooks(settings.webhooks)
    policies = {name: msgspec.structs.replace(policy, name=name) for name, policy in settings.policies.items()}
    for name in policies:
        if "/" in name:
            raise SettingsError(f"policies.{name}: a policy's name has no slash (names with one are models)")
    return msgspec.structs.replace(settings, policies=policies)


def _check_webhooks(section: Webhooks) -> None:
    if section.timeout_s * 2 > section.lease_s:
        raise SettingsError("webhooks.timeout_s must be at most half of webhooks.lease_s, or events go out twice")
    for network in section.allow_networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise SettingsError(f"webhooks.allow_networks: {error}; write networks like 10.1.0.0/16") from error


def _explain(text: str, merged: Table) -> str:
    """Add the nearest known key to msgspec's message about an unknown one."""
    found = re.match(r"Object contains unknown field `(?P<field>[^`]+)`(?: - at `\$\.?(?P<path>[^`]*)`)?", text)
    if not found:
        return f"settings: {text}"
    field, path = found["field"], found["path"] or ""
    known = _known_keys(path, merged)
    near = difflib.get_close_matches(field, known, n=1)
    where = f"{path}.{field}" if path else field
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(known))}"
    return f"settings: unknown key {where!r}; {hint}"


def _known_keys(path: str, merged: Table) -> list[str]:
    """Field names of the section that a msgspec path names."""
    section: Any = Settings
    by_table: dict[str, Any] = {"providers": Provider, "policies": Policy, "tasks": Task}
    for step in [part for part in re.split(r"[.\[\]]+", path) if part]:
        if step in by_table:
            section = by_table[step]
        elif step == "keys":
            section = ProviderKey
        elif step in {"limits", "model_limits"}:
            section = KeyLimits
        elif section is Settings and step in Settings.__struct_fields__:
            section = type(getattr(Settings(), step))
    return list(getattr(section, "__struct_fields__", merged))
