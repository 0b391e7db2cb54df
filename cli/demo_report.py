"""The demo's reckoning: results against labels, the ledger against the providers' own call logs, and the prices."""

import datetime as dt
import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cli.client import Client
from cli.processes import LARGE, SMALL
from cli.yard import Yard
from jobs.chat import Usage
from routing.catalog import Deployment, Price

Attempt = Mapping[str, Any]


class Report(msgspec.Struct, kw_only=True):
    """What happened, in figures. `as_json` is var/demo-report.json."""

    batch: str
    jobs: int
    succeeded: int
    lost: int
    attempts: int
    escalated: int
    failed_over: int
    """Jobs whose call failed at one provider of the cheap model and went to the other."""
    changed_maker: int
    """Jobs whose dear call failed at one maker's and was answered by the other's, over another wire."""
    accuracy: float
    cost_usd: Decimal
    cost_all_dear_usd: Decimal
    cost_all_cheap_usd: Decimal
    call_p50_ms: int
    call_p95_ms: int
    job_p50_ms: int
    job_p95_ms: int
    answered_by: dict[str, int]
    outcomes: dict[str, int]
    unknown_cost: int
    calls_logged: int
    """Calls in the providers' own logs."""
    calls_without_row: int
    """Calls in those logs that the ledger does not have: must be 0."""
    logged_cost_usd: Decimal
    """What the providers' logs come to at the same prices."""
    unknown_logged_cost_usd: Decimal
    """The part of it that stands in the ledger as unknown: the two sums differ by exactly this."""
    took_s: float

    def as_json(self) -> dict[str, Any]:
        """Plain JSON; money as strings."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built

    def show(self, console: Console, path: Path, folder: Path, total_s: float) -> None:
        """Print the table, and what to type next."""
        table = Table("What happened", "", box=SIMPLE_HEAD)
        for name, value in self._rows():
            table.add_row(name, value)
        console.print(table)
        console.print(f"The same as JSON: {path}   (all in all {total_s:.0f} s)")
        console.print("Everything has stopped; the data are kept. To look at these very jobs:")
        command = f"  export TOKENYARD_VAR={folder}; .venv/bin/tokenyard up && .venv/bin/tokenyard results {self.batch}"
        console.print(command, style="bold", soft_wrap=True)

    def _rows(self) -> Iterable[tuple[str, str]]:
        yield "jobs", f"{self.jobs:,}: {self.succeeded:,} succeeded, {self.lost} lost"
        for deployment, count in sorted(self.answered_by.items()):
            yield "  answered by", f"{count:>6,}  {deployment}"
        yield "escalated, confidence below 0.7", f"{self.escalated:,} ({self.escalated / self.jobs:.1%})"
        yield "failed over in the cheap tier", f"{self.failed_over:,}"
        yield "failed over in the dear tier", f"{self.changed_maker:,}, from one maker to the other"
        yield "attempts", f"{self.attempts:,}"
        for word, count in self.outcomes.items():
            yield "", f"{count:>6,}  {word}"
        yield "accuracy against the labels", f"{self.accuracy:.2%}"
        yield "cost", f"${self.cost_usd:.4f}"
        saved = self.cost_all_dear_usd / self.cost_usd if self.cost_usd else Decimal(0)
        yield "cost if all had gone dear", f"${self.cost_all_dear_usd:.4f}, {saved:.1f} times as much"
        yield "cost if all had stayed cheap", f"${self.cost_all_cheap_usd:.4f}"
        yield "latency of calls", f"p50 {self.call_p50_ms} ms, p95 {self.call_p95_ms} ms"
        yield "latency of jobs, with waiting", f"p50 {self.job_p50_ms:,} ms, p95 {self.job_p95_ms:,} ms"
        yield "throughput", f"{self.jobs / self.took_s:.0f} jobs/s, {self.took_s:.1f} s with three kills"
        yield "calls in the providers' logs", f"{self.calls_logged:,}, without a ledger row: {self.calls_without_row}"
        yield "the providers' logs come to", f"${self.logged_cost_usd:.12f}"
        yield "the ledger comes to", f"${self.cost_usd:.12f}"
        yield "the difference", f"${self.unknown_logged_cost_usd:.12f}, flagged unknown in the ledger"
        yield "attempts with unknown cost", f"{self.unknown_cost:,}, cut by the kills"


def collect(client: Client, yard: Yard, batch_id: str, truth: list[str], took_s: float) -> Report:
    """Read results, ledger and call logs, and hold them against each other. Raises YardError."""
    results = list(client.lines(f"/v1/batches/{batch_id}/results"))
    attempts = list(client.pages("/v1/ledger", batch=batch_id))
    by_job: dict[str, list[Attempt]] = {}
    for attempt in reversed(attempts):
        by_job.setdefault(attempt["job_id"], []).append(attempt)
    prices = read_prices(yard.sandbox_config)
    logged = read_calls(yard.sandbox.glob("*.calls.jsonl"), {attempt["id"] for attempt in attempts}, prices)
    known = {attempt["id"] for attempt in attempts if attempt["cost_usd"] is not None}
    right = sum(answer_of(line) == truth[int(line["custom_id"][2:])] for line in results)
    call_ms = sorted(attempt["total_ms"] for attempt in attempts if attempt["outcome"] in {"accepted", "rejected"})
    job_ms = sorted(elapsed_ms(line) for line in results if line["finished_at"])
    return Report(
        batch=batch_id,
        jobs=len(truth),
        succeeded=sum(line["state"] == "succeeded" for line in results),
        lost=len(truth) - sum(line["finished_at"] is not None for line in results),
        attempts=len(attempts),
        escalated=sum(any(attempt["tier"] > 0 for attempt in tried) for tried in by_job.values()),
        failed_over=sum(failed_over(tried, 0) for tried in by_job.values()),
        changed_maker=sum(failed_over(tried, 1) for tried in by_job.values()),
        accuracy=right / len(truth),
        cost_usd=sum((Decimal(a["cost_usd"]) for a in attempts if a["cost_usd"] is not None), Decimal(0)),
        cost_all_dear_usd=sum((once_at(prices[LARGE], tried) for tried in by_job.values()), Decimal(0)),
        cost_all_cheap_usd=sum((once_at(prices[SMALL], tried) for tried in by_job.values()), Decimal(0)),
        call_p50_ms=quantile(call_ms, 0.5),
        call_p95_ms=quantile(call_ms, 0.95),
        job_p50_ms=quantile(job_ms, 0.5),
        job_p95_ms=quantile(job_ms, 0.95),
        answered_by=dict(Counter(a["deployment"] for a in attempts if a["outcome"] == "accepted")),
        outcomes=dict(Counter(str(a["outcome"]) for a in attempts).most_common()),
        unknown_cost=sum(a["cost_usd"] is None for a in attempts),
        calls_logged=len(logged.known) + logged.strangers,
        calls_without_row=logged.strangers,
        logged_cost_usd=sum(logged.known.values(), Decimal(0)),
        unknown_logged_cost_usd=sum((cost for call, cost in logged.known.items() if call not in known), Decimal(0)),
        took_s=round(took_s, 2),
    )


class Logged(msgspec.Struct, frozen=True):
    """The providers' logs: what each call of this batch was billed, and calls that no attempt made."""

    known: dict[str, Decimal]
    strangers: int


def read_calls(logs: Iterable[Path], attempt_ids: set[str], prices: Mapping[str, Price]) -> Logged:
    """Bills by attempt id (0 for a call that was begun and never finished), from logs begun with this yard."""
    bills: dict[str, Decimal] = {}
    for log in logs:
        for line in log.read_text(encoding="utf-8").splitlines():
            call = json.loads(line)
            bills.setdefault(call["request_id"], Decimal(0))
            if call["event"] == "end" and call["input_tokens"]:
                usage = Usage(call["input_tokens"], call["output_tokens"])
                bills[call["request_id"]] += prices[call["model"]].of(usage) or 0
    mine = {call: bill for call, bill in bills.items() if call in attempt_ids}
    return Logged(mine, len(bills) - len(mine))


def read_prices(config: Path) -> dict[str, Price]:
    """Prices of the sandbox's models, from the settings that the yard ran under."""
    entries = tomllib.loads(config.read_text(encoding="utf-8"))["deployments"]
    deployments = msgspec.convert(entries, list[Deployment], strict=False)
    return {deployment.model: deployment.price for deployment in deployments if deployment.price is not None}


def answer_of(line: Mapping[str, Any]) -> str | None:
    """The text of a finished job's answer; None if there is none."""
    result = line["result"]
    text: str | None = result["choices"][0]["message"]["content"] if result else None
    return text


def failed_over(tried: Iterable[Attempt], tier: int) -> bool:
    """Whether a call of the tier failed and another deployment of the tier was asked."""
    inside = [attempt for attempt in tried if attempt["tier"] == tier]
    failed = {attempt["deployment"] for attempt in inside if attempt["failure"] is not None}
    return bool(failed) and any(attempt["deployment"] not in failed for attempt in inside)


def once_at(price: Price, tried: Iterable[Attempt]) -> Decimal:
    """What one question would have cost as a single call at a price: the tokens it had, at that price."""
    for attempt in tried:
        if attempt["input_tokens"] is not None:
            return price.of(Usage(attempt["input_tokens"], attempt["output_tokens"])) or Decimal(0)
    return Decimal(0)


def elapsed_ms(line: Mapping[str, Any]) -> int:
    """Submit to end of one job, waiting included."""
    created, finished = (dt.datetime.fromisoformat(line[name]) for name in ("created_at", "finished_at"))
    return round((finished - created).total_seconds() * 1000)


def quantile(ordered: list[int], share: float) -> int:
    """The value at a share of a sorted list (nearest rank); 0 of none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0
