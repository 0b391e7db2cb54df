"""A submit's span continues its caller's trace and travels with the job."""

from collections.abc import AsyncIterator

import httpx2
import msgspec
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from sqlalchemy import text

from api.app import create_with, lifespan
from jobs import ids, traces
from jobs.settings import Settings, Telemetry
from jobs.store.session import Database
from tests.api.caller import JOB, until
from tests.api.conftest import make_key
from tests.collector import collector

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER_SPAN = "00f067aa0ba902b7"


@pytest.fixture
async def spans() -> AsyncIterator[tuple[str, list[Span]]]:
    with collector() as (address, found):
        yield address, found


async def submitted(settings: Settings, database: Database, traceparent: str | None) -> tuple[str, str]:
    """A job submitted to a fresh API: its id and what travels with it. The spans are sent when the API has closed."""
    app = create_with(settings)
    async with lifespan(settings)(app):
        transport = httpx2.ASGITransport(app=app)
        headers = {"authorization": f"Bearer {await make_key(database, 'default')}"}
        headers |= {"traceparent": traceparent} if traceparent else {}
        async with httpx2.AsyncClient(transport=transport, base_url="http://yard", headers=headers) as client:
            response = await client.post("/v1/jobs", content=msgspec.json.encode(JOB))
        assert response.status_code == 202
        name: str = response.json()["id"]
        async with database.statement() as connection:
            statement = text("select coalesce(traceparent, '') from jobs where id = :id")
            travels: str = (await connection.execute(statement, {"id": ids.read("job", name)})).scalar_one()
    return name, travels


async def test_a_submit_continues_its_callers_trace(settings: Settings, database: Database, spans):
    address, found = spans
    traced = msgspec.structs.replace(settings, telemetry=Telemetry(otlp_endpoint=address))
    name, travels = await submitted(traced, database, f"00-{TRACE_ID}-{CALLER_SPAN}-01")
    await until(lambda: bool(found))
    (span,) = found
    assert (span.name, span.kind) == ("send standard", Span.SPAN_KIND_PRODUCER)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE_ID, CALLER_SPAN)
    assert travels == f"00-{TRACE_ID}-{span.span_id.hex()}-01"
    assert {pair.key: pair.value.string_value for pair in span.attributes}["tokenyard.job.id"] == name


async def test_a_submit_without_a_trace_begins_one(settings: Settings, database: Database, spans):
    address, found = spans
    traced = msgspec.structs.replace(settings, telemetry=Telemetry(otlp_endpoint=address))
    _, travels = await submitted(traced, database, None)
    await until(lambda: bool(found))
    # The flags say "sampled", and of a trace begun here also "its id is random" (Trace Context, level 2).
    assert travels == f"00-{found[0].trace_id.hex()}-{found[0].span_id.hex()}-03"
    assert found[0].parent_span_id == b""


async def test_without_a_collector_the_callers_traceparent_travels_as_it_is(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv(traces.ENDPOINT_VARIABLE, raising=False)
    given = f"00-{TRACE_ID}-{CALLER_SPAN}-01"
    assert (await submitted(settings, database, given))[1] == given
    assert (await submitted(settings, database, "00-nonsense"))[1] == ""
