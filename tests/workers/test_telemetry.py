"""What a worker tells of its calls and jobs: counters, histograms, log fields and spans, through the real runner."""

import asyncio
import json
import logging
from typing import Any

import msgspec
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client import Counter

from jobs import logs, meters, traces
from jobs.chat import Answer
from jobs.ids import show
from jobs.lanes import Lane
from jobs.settings import Telemetry as Settings
from routing.catalog_load import catalog_of
from tests.collector import collector
from tests.workers.lab import NOTHING_SHIPPED, Lab, answers, refuses
from workers.bootstrap import planner
from workers.intake import Intake
from workers.telemetry import _model_of

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER_SPAN = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{CALLER_SPAN}-01"


def about(span: Span) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in span.attributes:
        kind = pair.value.WhichOneof("value")
        assert kind is not None
        value = getattr(pair.value, kind)
        found[pair.key] = [each.string_value for each in value.values] if kind == "array_value" else value
    return found


def value(counter: Counter, **labels: str) -> float:
    return float(
        sum(
            sample.value
            for metric in counter.collect()
            for sample in metric.samples
            if sample.name.endswith("_total") and sample.labels.items() >= labels.items()
        )
    )


async def carried(lab: Lab, **changes: Any) -> Any:
    """A job through intake, as a bell would bring it."""
    job = await lab.claimed(**changes)
    intake = Intake(lab.parts, [Lane.STANDARD])
    task = asyncio.create_task(intake._carry_one(job, asyncio.get_running_loop().time() + job.time_left_s))
    lab.parts.leases.take(job, task)
    lab.parts.leases.begin(job.id)
    return job, await task


async def test_calls_and_rests_are_counted_by_names_from_the_settings(lab: Lab):
    failed = {"deployment": "maker/small@a", "outcome": "failed", "failure": "overloaded"}
    answered = {"deployment": "maker/small@b", "outcome": "answered", "failure": ""}
    rested = {"lane": "standard", "rest": "succeeded"}
    before = [value(meters.CALLS, **failed), value(meters.CALLS, **answered), value(meters.RESTED, **rested)]
    lab.script(a=[refuses(529)], b=[answers()])
    _, word = await carried(lab)
    assert word == "succeeded"
    after = [value(meters.CALLS, **failed), value(meters.CALLS, **answered), value(meters.RESTED, **rested)]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 1]
    assert meters.CALLS_IN_FLIGHT._value.get() == 0


async def test_a_call_without_a_price_is_booked_as_unknown_and_raises_an_alarm(lab: Lab):
    unpriced = tuple({**entry, "price": None} for entry in lab.settings.deployments)
    settings = msgspec.structs.replace(lab.settings, deployments=unpriced)
    lab.parts.plan = planner(settings, catalog_of(settings, NOTHING_SHIPPED))
    before = value(meters.UNPRICED, deployment="maker/small@a")
    lab.script(a=[answers()])
    job, word = await carried(lab)
    (attempt,) = await lab.attempts(job)
    assert (word, attempt.cost_usd, attempt.cost_bound_usd, attempt.cost_basis) == ("succeeded", None, None, "none")
    assert attempt.price_version is None
    assert value(meters.UNPRICED, deployment="maker/small@a") - before == 1


async def test_records_of_a_call_name_its_job_and_attempt(lab: Lab, caplog: pytest.LogCaptureFixture):
    lines: list[dict[str, Any]] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(self.format(record)))

    keeper = Keeper()
    keeper.setFormatter(logs.JsonLines())
    said = logging.getLogger("workers.telemetry")
    said.addHandler(keeper)
    caplog.set_level(logging.DEBUG, "workers.telemetry")
    try:
        lab.script(a=[refuses(503)], b=[answers()])
        job, _ = await carried(lab)
    finally:
        said.removeHandler(keeper)
    attempts = [show("att", row.id) for row in await lab.attempts(job)]
    assert {line["job_id"] for line in lines} == {show("job", job.id)}
    assert [line.get("attempt_id") for line in lines] == [*attempts, None]
    assert [line.get("deployment") for line in lines] == ["maker/small@a", "maker/small@b", None]
    assert {line["lane"] for line in lines} == {"standard"}


async def test_spans_of_a_job_and_its_calls_continue_the_callers_trace(lab: Lab):
    with collector() as (address, spans):
        started = traces.start(Settings(otlp_endpoint=address), "tokenyard-worker")
        assert started is not None
        lab.parts.telemetry._traces = started
        lab.script(a=[refuses(503)], b=[answers()])
        job, _ = await carried(lab, traceparent=TRACEPARENT)
        await asyncio.to_thread(started.close)
        lab.parts.telemetry._traces = None
    by_name = {span.name: span for span in spans}
    assert {span.trace_id.hex() for span in spans} == {TRACE_ID}
    process = by_name["process standard"]
    assert process.parent_span_id.hex() == CALLER_SPAN
    assert process.kind == Span.SPAN_KIND_CONSUMER
    assert about(process)["tokenyard.rest"] == "succeeded"
    calls = [span for span in spans if span.name == "chat small"]
    assert {span.parent_span_id for span in calls} == {process.span_id}
    assert {span.kind for span in calls} == {Span.SPAN_KIND_CLIENT}
    failed, answered = sorted(map(about, calls), key=lambda found: found["gen_ai.provider.name"])
    assert failed["error.type"] == "transient"
    assert failed["http.response.status_code"] == 503
    rows = await lab.attempts(job)
    assert [failed["tokenyard.attempt.id"], answered["tokenyard.attempt.id"]] == [show("att", row.id) for row in rows]
    assert (
        answered
        | {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "b",
            "gen_ai.request.model": "small",
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 41,
            "gen_ai.usage.output_tokens": 9,
            "server.address": "127.0.0.1",
            "tokenyard.job.id": show("job", job.id),
            "tokenyard.lane": "standard",
            "tokenyard.tier": 0,
        }
        == answered
    )
    assert answered["tokenyard.cost_usd"] == pytest.approx(0.000059)
    assert b"hi " not in b"".join(span.SerializeToString() for span in spans)


async def test_a_collector_that_is_away_harms_no_job(lab: Lab):
    started = traces.start(Settings(otlp_endpoint="http://127.0.0.1:1"), "tokenyard-worker")
    assert started is not None
    lab.parts.telemetry._traces = started
    lab.script(a=[answers()])
    _, word = await carried(lab)
    assert word == "succeeded"


def test_without_an_address_there_are_no_traces_and_no_sdk(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(traces.ENDPOINT_VARIABLE, raising=False)
    assert traces.start(Settings(), "tokenyard-worker") is None
    monkeypatch.setenv(traces.ENDPOINT_VARIABLE, "http://collector:4318/")
    assert traces.endpoint(Settings()) == "http://collector:4318/v1/traces"
    assert traces.endpoint(Settings(otlp_endpoint="http://mine:1")) == "http://mine:1/v1/traces"


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("gpt-4o", True),
        ("gpt-4o-2024-08-06", True),
        ("gpt-4o-latest", True),
        ("gpt-4o I lost my card", False),
        ("the prompt", False),
        ("", False),
    ],
)
def test_a_provider_s_word_for_its_model_is_told_only_if_it_is_a_version_of_what_was_asked(named: str, told: bool):
    answer = Answer(json.dumps({"model": named}).encode(), "x", "stop")
    assert _model_of(answer, "openai/gpt-4o") == (named if told else None)
