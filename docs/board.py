"""Builds the Grafana board: `python docs/board.py` writes docs/grafana/tokenyard.json (a test holds it equal)."""

import json
from pathlib import Path
from typing import Any, NamedTuple

PATH = Path(__file__).parent / "grafana" / "tokenyard.json"
SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDE, HIGH, COLUMNS = 8, 8, 24
RATE = "$__rate_interval"


class Query(NamedTuple):
    """One line of a panel."""

    expr: str
    legend: str


class Panel(NamedTuple):
    """A graph over time."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    about: str = ""
    stacked: bool = False


def one(title: str, unit: str, expr: str, legend: str, about: str = "", *, stacked: bool = False) -> Panel:
    """A panel with one query."""
    return Panel(title, unit, (Query(expr, legend),), about, stacked)


def quantiles(title: str, metric: str, by: str, about: str = "") -> Panel:
    """Median and 95th percentile of a histogram in seconds."""
    rate = f"sum by (le, {by}) (rate({metric}_bucket[{RATE}]))"
    queries = [
        Query(f"histogram_quantile({quantile}, {rate})", f"p{round(100 * quantile)} {{{{{by}}}}}")
        for quantile in (0.5, 0.95)
    ]
    return Panel(title, "s", tuple(queries), about)


def fleet(function: str, series: str, window: str = RATE) -> str:
    """The rise of a counter that every API tells of the whole fleet: the highest of them, not their sum."""
    return f"max without (instance) ({function}({series}[{window}]))"


_DEAR = 'max(tokenyard_price_usd_per_million_tokens{{deployment="$compared", direction="{0}"}})'
_TAKEN = 'tokenyard_tokens_total{{outcome="accepted", direction="{0}"}}'
_WORTH = [
    f"sum({fleet('increase', _TAKEN.format(way), '1h')}) * {_DEAR.format(way)} / 1e6" for way in ("input", "output")
]
SAVED = f"{' + '.join(_WORTH)} - sum({fleet('increase', 'tokenyard_cost_usd_total', '1h')})"
ROWS: dict[str, tuple[Panel, ...]] = {
    "Lanes": (
        one("Jobs that wait", "short", 'max by (lane) (tokenyard_jobs{state="queued"})', "{{lane}}"),
        one("Jobs that run", "short", 'max by (lane) (tokenyard_jobs{state="running"})', "{{lane}}"),
        one(
            "Age of the oldest that waits",
            "s",
            'max by (lane) (tokenyard_oldest_job_seconds{state="queued"})',
            "{{lane}}",
        ),
        one("Submitted", "ops", f"sum by (lane) (rate(tokenyard_jobs_submitted_total[{RATE}]))", "{{lane}}"),
        one(
            "Jobs come to rest",
            "ops",
            f"sum by (rest) (rate(tokenyard_jobs_rested_total[{RATE}]))",
            "{{rest}}",
            "Deferred and released jobs come back.",
            stacked=True,
        ),
        one("Workers", "short", "max by (lane) (tokenyard_workers)", "{{lane}}", "By a lane that they serve."),
    ),
    "Money": (
        one(
            "Cost an hour",
            "currencyUSD",
            f"sum by (provider, model) ({fleet('increase', 'tokenyard_cost_usd_total', '1h')})",
            "{{model}} at {{provider}}",
            "Known amounts, by the ledger.",
            stacked=True,
        ),
        one(
            "Saved in the last hour",
            "currencyUSD",
            SAVED,
            "against $compared",
            "An estimate: the tokens of accepted answers at the prices of the compared deployment, less what was paid.",
        ),
        one(
            "Calls of unknown cost, an hour",
            "short",
            f"sum by (provider) ({fleet('increase', 'tokenyard_unknown_cost_total', '1h')})",
            "{{provider}}",
            "They may have been billed; the ledger has their upper bound.",
        ),
        one("Budgets", "short", "max by (state) (tokenyard_budgets)", "{{state}}"),
        one(
            "Tokens a second",
            "short",
            f"sum by (model, direction) ({fleet('rate', 'tokenyard_tokens_total')})",
            "{{model}} {{direction}}",
        ),
    ),
    "Providers": (
        one(
            "Attempts by outcome",
            "ops",
            f"sum by (outcome) ({fleet('rate', 'tokenyard_attempts_total')})",
            "{{outcome}}",
            "By the ledger, up to a minute behind.",
            stacked=True,
        ),
        one(
            "Failures",
            "ops",
            "sum by (provider, failure) (" + fleet("rate", 'tokenyard_attempts_total{failure!=""}') + ")",
            "{{provider}} {{failure}}",
        ),
        quantiles("Time of a call", "tokenyard_call_duration_seconds", "deployment"),
        quantiles("Time to the first token", "tokenyard_first_token_seconds", "deployment", "Streamed calls only."),
        one(
            "Breakers that are not closed",
            "short",
            'max by (kind, name, state) (tokenyard_breaker_state{state!="closed"}) > 0',
            "{{kind}} {{name}} {{state}}",
        ),
        one(
            "Limits in use",
            "percentunit",
            "max by (provider, key_index, limit) (tokenyard_limit_used_ratio)",
            "{{provider}} key {{key_index}} {{limit}}",
            "At 1 the next call waits.",
        ),
        one("Calls held back", "ops", f"sum by (reason) (rate(tokenyard_gate_refusals_total[{RATE}]))", "{{reason}}"),
        one("Calls in flight", "short", "tokenyard_calls_in_flight", "{{instance}}"),
    ),
    "Processes": (
        one("Loop lag", "s", "tokenyard_loop_lag_seconds", "{{instance}}", "The worst of the last 15 s."),
        one(
            "Rows a flush",
            "short",
            f"sum by (kind) (rate(tokenyard_flush_rows_sum[{RATE}]))"
            f" / sum by (kind) (rate(tokenyard_flush_rows_count[{RATE}]))",
            "{{kind}}",
        ),
        quantiles("Time of a flush", "tokenyard_flush_duration_seconds", "kind"),
        one(
            "How jobs are claimed",
            "ops",
            f"sum by (by) (rate(tokenyard_jobs_claimed_total[{RATE}]))",
            "by {{by}}",
            "Many polls: bells get lost, or Redis is away.",
            stacked=True,
        ),
        one("Swept", "ops", f"sum by (action) (rate(tokenyard_jobs_swept_total[{RATE}]))", "{{action}}"),
        Panel(
            "Beats and bells that failed",
            "short",
            (
                Query("sum by (instance) (increase(tokenyard_beats_failed_total[5m]))", "beats {{instance}}"),
                Query("sum by (instance) (increase(tokenyard_rings_failed_total[5m]))", "bells {{instance}}"),
            ),
        ),
    ),
    "Webhooks": (
        one("Endpoints", "short", "max by (state) (tokenyard_webhooks)", "{{state}}"),
        one("Deliveries", "short", "max by (state) (tokenyard_webhook_deliveries)", "{{state}}"),
        one(
            "Tries", "ops", f"sum by (result) (rate(tokenyard_webhook_tries_total[{RATE}]))", "{{result}}", stacked=True
        ),
    ),
    "API": (
        one(
            "Requests",
            "ops",
            f"sum by (route) (rate(tokenyard_http_requests_total[{RATE}]))",
            "{{route}}",
            stacked=True,
        ),
        one(
            "Refused and failed",
            "ops",
            f'sum by (status) (rate(tokenyard_http_requests_total{{status=~"[45].."}}[{RATE}]))',
            "{{status}}",
        ),
        quantiles("Time of a request", "tokenyard_http_request_duration_seconds", "route"),
        Panel(
            "Postgres and Redis answer",
            "bool_yes_no",
            (
                Query("tokenyard_postgres_up", "Postgres {{instance}}"),
                Query("tokenyard_redis_up", "Redis {{instance}}"),
            ),
        ),
    ),
}


def variables() -> list[dict[str, Any]]:
    """The data source, and the deployment that savings are reckoned against."""
    query = "label_values(tokenyard_price_usd_per_million_tokens, deployment)"
    return [
        {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0},
        {
            "name": "compared",
            "label": "Compare cost with",
            "type": "query",
            "datasource": SOURCE,
            "definition": query,
            "query": {"query": query, "refId": "compared"},
            "refresh": 1,
            "sort": 1,
            "hide": 0,
        },
    ]


def graph(number: int, panel: Panel, place: tuple[int, int]) -> dict[str, Any]:
    """A time series at a place of the grid."""
    custom: dict[str, Any] = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never"}
    if panel.stacked:
        custom |= {"stacking": {"mode": "normal", "group": "A"}, "fillOpacity": 40}
    targets = [
        {"refId": chr(65 + at), "datasource": SOURCE, "expr": query.expr, "legendFormat": query.legend, "range": True}
        for at, query in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": {"x": place[0], "y": place[1], "w": WIDE, "h": HIGH},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": targets,
    }


def panels() -> list[dict[str, Any]]:
    """Rows of panels, three beside each other, numbered through."""
    made: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        head = {"id": len(made) + 1, "type": "row", "title": title, "collapsed": False, "panels": []}
        made.append(head | {"gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}})
        y += 1
        for at, panel in enumerate(row):
            across, down = divmod(at, COLUMNS // WIDE)[::-1]
            made.append(graph(len(made) + 1, panel, (across * WIDE, y + down * HIGH)))
        y += -(-len(row) // (COLUMNS // WIDE)) * HIGH
    return made


def board() -> str:
    """The board as Grafana imports it (schema 39: Grafana 10.4 and later)."""
    whole = {
        "uid": "tokenyard",
        "title": "Tokenyard",
        "tags": ["tokenyard"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": variables()},
        "annotations": {"list": []},
        "panels": panels(),
    }
    return json.dumps(whole, indent=1) + "\n"


if __name__ == "__main__":
    PATH.write_text(board(), encoding="utf-8")
