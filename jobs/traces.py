"""OpenTelemetry traces, when a collector's address is set: a submit, its job, its calls; else nothing is even imported.

The trace travels with the job as the `traceparent` of its submit's span. A job's span is that one's child, not only
linked to it: each job is processed alone, and OpenTelemetry's messaging conventions allow the creation context as the
parent then. One trace tells a job's whole way, over the wait in the queue and over every worker that had it.

Spans are batched in a thread (at most 4096 wait; more are dropped) and sent with a time-out of 2 s: a collector that
hangs or is away costs spans, never jobs. No span holds a prompt, an answer or a key.
"""

import os
import threading
from collections.abc import Mapping
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from jobs.settings import Telemetry

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanKind

ENDPOINT_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
SPANS_PATH = "/v1/traces"
MOST_WAITING = 4096
BATCH = 512
SEND_EVERY_MS = 1000
SEND_TIMEOUT_S = 2.0
CLOSE_S = 3.0
Attributes = Mapping[str, str | int | float | bool | list[str]]


def endpoint(telemetry: Telemetry) -> str:
    """Where spans are sent; empty: there are no traces."""
    base = telemetry.otlp_endpoint or os.environ.get(ENDPOINT_VARIABLE, "")
    return base.rstrip("/") + SPANS_PATH if base else ""


def start(telemetry: Telemetry, service: str) -> "Traces | None":
    """The traces of this process; None when nobody collects them. `service` is the process's `service.name`."""
    address = endpoint(telemetry)
    return Traces(address, service) if address else None


class Traces:
    """Makes spans and sends them. One per process; `close` sends what waits."""

    def __init__(self, address: str, service: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 -- see top
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        self._provider: TracerProvider = TracerProvider(resource=Resource.create({"service.name": service}))
        self._provider.add_span_processor(
            BatchSpanProcessor(
                OTLPSpanExporter(endpoint=address, timeout=SEND_TIMEOUT_S),
                max_queue_size=MOST_WAITING,
                max_export_batch_size=BATCH,
                schedule_delay_millis=SEND_EVERY_MS,
            )
        )
        self._tracer = self._provider.get_tracer("tokenyard")

    def submitting(self, lane: str, job_id: str, traceparent: str | None) -> "Traced":
        """The span of a submit, a child of the caller's; its `traceparent` goes with the job."""
        from opentelemetry.trace import SpanKind  # noqa: PLC0415 -- the SDK is loaded by now

        return self._begin(f"send {lane}", SpanKind.PRODUCER, _messaging("send", lane, job_id), _parent(traceparent))

    def carrying(self, lane: str, job_id: str, traceparent: str | None) -> "Traced":
        """The span of a job in one worker's hands, a child of its submit's."""
        from opentelemetry.trace import SpanKind  # noqa: PLC0415

        about = _messaging("process", lane, job_id)
        return self._begin(f"process {lane}", SpanKind.CONSUMER, about, _parent(traceparent))

    def calling(self, model: str, about: Attributes) -> "Traced":
        """The span of a provider call, a child of the span around it."""
        from opentelemetry.trace import SpanKind  # noqa: PLC0415

        return self._begin(f"chat {model}", SpanKind.CLIENT, {"gen_ai.operation.name": "chat", **about}, None)

    def _begin(self, name: str, kind: "SpanKind", about: Attributes, parent: "Context | None") -> "Traced":
        return Traced(self._tracer.start_span(name, context=parent, kind=kind, attributes=dict(about)))

    def close(self) -> None:
        """Send what waits, for a few seconds at most: a collector that hangs must not hold up a stop."""
        last = threading.Thread(target=self._provider.shutdown, name="tokenyard-traces-close", daemon=True)
        last.start()
        last.join(CLOSE_S)


class Traced:
    """A span under way: `with` makes it the parent of those begun inside, and ends it."""

    def __init__(self, span: "Span") -> None:
        self._span = span
        self._token: Token[Context] | None = None

    @property
    def traceparent(self) -> str:
        """W3C Trace Context's header of this span."""
        at = self._span.get_span_context()
        return f"00-{at.trace_id:032x}-{at.span_id:016x}-{at.trace_flags:02x}"

    def tell(self, about: Attributes, error_type: str | None = None) -> None:
        """Add what became of it; `error_type` marks the span as failed."""
        self._span.set_attributes(dict(about))
        if error_type is not None:
            from opentelemetry.trace import StatusCode  # noqa: PLC0415

            self._span.set_attribute("error.type", error_type)
            self._span.set_status(StatusCode.ERROR)

    def __enter__(self) -> Self:
        from opentelemetry import context, trace  # noqa: PLC0415

        self._token = context.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """An exception's type is told, its message never is."""
        from opentelemetry import context  # noqa: PLC0415

        if self._token is not None:
            context.detach(self._token)
        if kind is not None:
            self.tell({}, kind.__qualname__)
        self._span.end()


def _messaging(operation: str, lane: str, job_id: str) -> Attributes:
    return {
        "messaging.system": "tokenyard",
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
        "messaging.destination.name": lane,
        "messaging.message.id": job_id,
        "tokenyard.job.id": job_id,
        "tokenyard.lane": lane,
    }


def _parent(traceparent: str | None) -> "Context":
    """A root when there is none."""
    from opentelemetry.context import Context  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    carrier: dict[str, Any] = {"traceparent": traceparent} if traceparent else {}
    return TraceContextTextMapPropagator().extract(carrier, context=Context())
