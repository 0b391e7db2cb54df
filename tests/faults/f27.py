"""F27: prompts, answers, keys and passwords sing in every process, whatever fails; nobody may hear them outside."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx2
import redis.asyncio as redis
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from cli import processes
from cli.processes import SMALL
from cli.yard import next_free_port
from jobs import ids
from jobs.signals import ENDED
from jobs.streams import BASE, KEEP_S
from tests.collector import collector
from tests.faults.canaries import Flock, canary
from tests.faults.echo import DEEDS, POISON, upstream
from tests.faults.harness import HOST, Ground, Yard, until
from tests.faults.harness_load import Report
from tests.faults.harness_oracles import verdict

SETTINGS = """\
keys = [{{ env = "LAB_API_KEY" }}]
[telemetry]
log_format = "json"
log_level = "debug"
worker_metrics_port = {metrics_port}
otlp_endpoint = "{collector}"
[webhooks]
allow_networks = ["127.0.0.1/32"]
[policies.canary]
tiers = [["{model}"]]
attempts_per_deployment = 2
timeout_s = 10
"""
STREAMS = BASE.encode()
ENDINGS = f'"{ENDED}"'.encode()
ALLOWED = {
    "payloads": {"prompt", "system", "tool", "answer"},
    "jobs": {"metadata"},
    "webhooks": {"webhook_url", "webhook_secret"},
}
"""Which canaries a table may hold: requests, answers, what its owner noted on a job, an endpoint."""

WITH_ANSWERS = ("token_streams", "endings")
"""Places in Redis where answers pass, and nothing else of a job's."""


@asynccontextmanager
async def listening(redis_url: str) -> AsyncIterator[bytearray]:
    """All that anybody tells Redis while this is open: bells, signals, Celery's events, counters."""
    heard = bytearray()
    reader, writer = await asyncio.open_unix_connection(urlsplit(redis_url).path)
    writer.write(b"MONITOR\r\n")
    assert (await reader.readline()).startswith(b"+OK")

    async def listen() -> None:
        while piece := await reader.read(65_536):
            heard.extend(piece)

    task = asyncio.create_task(listen())
    try:
        yield heard
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        writer.close()


def apart(told: bytes) -> tuple[bytes, bytes, bytes]:
    """What Redis was told: all else, the token streams, the endings; these two hold answers that somebody waits for."""
    heard: dict[bytes, list[bytes]] = {b"": [], STREAMS: [], ENDINGS: []}
    for line in told.split(b"\r\n"):
        heard[next((name for name in (STREAMS, ENDINGS) if name in line), b"")].append(line)
    rest, streams, endings = (b"\r\n".join(lines) for lines in heard.values())
    return rest, streams, endings


async def dump_of(redis_url: str) -> tuple[bytes, bytes]:
    """Every key of Redis with its value, as Redis would save it; the token streams apart, which must not stay."""
    client: Any = redis.Redis.from_url(redis_url)
    try:
        found: list[bytes] = []
        streams: list[bytes] = []
        async for key in client.scan_iter():
            shelf = streams if key.startswith(STREAMS) else found
            shelf += [key, await client.dump(key) or b""]
            if await client.type(key) == b"list":  # a dumped list is packed
                shelf += await client.lrange(key, 0, -1)
            if shelf is streams:
                shelf += [repr(await client.xrange(key)).encode()]
                assert 0 < await client.ttl(key) <= KEEP_S
        return b"\n".join(found), b"\n".join(streams)
    finally:
        await client.aclose()


@dataclass(frozen=True)
class Case:
    """What was heard, and whether there was anything to hear."""

    heard: tuple[str, ...]
    vain: tuple[str, ...]
    """What should have happened and did not: then the silence proves nothing."""
    searched: dict[str, int]
    """Bytes by place."""

    @property
    def faults(self) -> list[str]:
        return [*self.heard, *self.vain]

    def line(self) -> str:
        sizes = " ".join(f"{place}={size}" for place, size in self.searched.items())
        return f"F27 canaries_found_outside={len(self.heard)} bytes_searched: {sizes} {verdict(self.faults)}"


class Singers:
    """The canaries of one run and the requests that carry them."""

    def __init__(self, key: str) -> None:
        names = (
            "prompt",
            "system",
            "tool",
            "metadata",
            "answer",
            "provider_key",
            "password",
            "wrong_key",
            "flower",
            "webhook_url",
        )
        self.words = {name: canary(name) for name in names} | {"api_key": key.rpartition("_")[2]}
        self.flock = Flock(self.words)

    def job(self, deed: str, **changes: Any) -> dict[str, Any]:
        words = self.words
        call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": f'{{"a": "{words["tool"]}"}}'}}
        messages = [
            {"role": "system", "content": words["system"]},
            {"role": "user", "content": f"{words['prompt']} do={deed}"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": words["tool"]},
        ]
        # First, because Postgres quotes only the beginning of a row's fields.
        request: dict[str, Any] = {"user": words["prompt"], "model": "canary", "messages": messages}
        if deed == "stream":
            request["stream"] = True
        return {"request": request, "lane": "interactive", "metadata": {"note": words["metadata"]}} | changes

    def wrong(self) -> list[bytes]:
        """Bodies that the API refuses, each for another reason, all of them singing."""
        words = self.words
        job = self.job("answer")
        bad_tools = job["request"] | {"tools": [{"type": "function", "function": {"name": words["tool"]}}]}
        return [
            b"{" + words["prompt"].encode(),
            json.dumps(job | {words["prompt"]: 1}).encode(),
            json.dumps(job | {"lane": words["prompt"]}).encode(),
            json.dumps(job | {"request": bad_tools}).encode(),
            json.dumps(job | {"policy": words["prompt"]}).encode(),
            json.dumps(self.job("answer") | {"deadline": words["prompt"]}).encode(),
            json.dumps(self.job(f"answer {POISON}")).encode(),
        ]


async def run(ground: Ground, report: Report, *, limit_s: float) -> Case:
    """Let everything succeed and fail at log level debug, then search."""
    metrics_port = next_free_port(HOST, 9500)
    answer = canary("answer")
    with upstream(answer) as url, collector() as (collected_at, spans):
        extra = SETTINGS.format(metrics_port=metrics_port, collector=collected_at, model=SMALL)
        async with Yard.opened(replace(ground, provider_url=url), provider=extra) as yard:
            singers = Singers(yard.key)
            singers.words["answer"] = answer
            singers.flock = Flock(singers.words)
            await _prepare(yard, singers.words)
            async with listening(yard.redis_url) as told:
                flower = await _start(yard, singers.words)
                states = await _drive(yard, singers, limit_s)
                pages = await _pages(yard, flower, singers, metrics_port)
                await until(
                    lambda: bool(_whole_ways(spans)), "a trace leads from a submit over its job to a call", limit_s
                )
                traffic, streamed, endings = apart(bytes(told))
                dump, kept = await dump_of(yard.redis_url)
                places = {
                    "logs": yard.logs(),
                    "redis_traffic": traffic,
                    "redis_dump": dump,
                    "token_streams": streamed + kept,
                    "endings": endings,
                    "pages": pages,
                    "spans": b"".join(span.SerializeToString() for span in spans),
                    "command_lines": yard.command_lines(),
                }
            case = await _case(yard, singers.flock, places, states)
    report(case.line())
    return case


def _whole_ways(spans: Sequence[Span]) -> set[bytes]:
    """Traces in which a call's span hangs on its job's, and that on its submit's: over three processes."""
    parent = {span.span_id: (span.parent_span_id, span.name.partition(" ")[0]) for span in spans}
    return {
        span.trace_id
        for span in spans
        if span.name.startswith("chat")
        and parent.get(span.parent_span_id, (b"", ""))[1] == "process"
        and parent.get(parent[span.parent_span_id][0], (b"", ""))[1] == "send"
    }


async def _prepare(yard: Yard, words: dict[str, str]) -> None:
    """A database that refuses poison, and processes that know every secret."""
    await yard.connection.execute(
        "alter table payloads add constraint no_poison check (position('POISON'::bytea in body) = 0)"
    )
    yard.set_environment(
        TOKENYARD_DATABASE_URL=re.sub(
            r"//([^:@/]*):?[^@/]*@", rf"//\1:{words['password']}@", yard.database_url, count=1
        ),
        LAB_API_KEY=f"sk-{words['provider_key']}",
    )


async def _start(yard: Yard, words: dict[str, str]) -> str:
    """Everything there is; returns Flower's address."""
    port = next_free_port(HOST, 9600)
    yard.start(processes.flower(HOST, port, words["flower"]))
    yard.start_dispatcher()
    yard.start(processes.webhooks())
    yard.start_worker(die_at="answered_before_commit:3")
    yard.start_worker()
    await yard.start_api()
    return f"http://{HOST}:{port}"


async def _drive(yard: Yard, singers: Singers, limit_s: float) -> dict[str, set[str]]:
    """Every deed, some in two lanes, and everything that is refused; returns the states by deed."""
    headers = {"authorization": f"Bearer {yard.key}"}
    jobs: dict[str, list[Any]] = {}
    async with httpx2.AsyncClient(base_url=yard.url, headers=headers, timeout=30) as client:
        hook = await _hook(client, yard, singers)
        for deed in DEEDS:
            for lane in ("interactive", "bulk") if deed in {"answer", "refuse", "poison"} else ("standard",):
                response = await client.post("/v1/jobs", json=singers.job(deed, lane=lane, webhook=hook))
                assert response.status_code == 202, response.text
                jobs.setdefault(deed, []).append(ids.read("job", response.json()["id"]))
        *wrong, poison = singers.wrong()
        assert {(await client.post("/v1/jobs", content=body)).status_code for body in wrong} == {400, 422}
        lines = b"\n".join(wrong)
        assert (await client.post("/v1/jobs/bulk", content=lines)).status_code == 400
        wrong_key = f"Bearer ty_abc_{singers.words['wrong_key']}"
        assert (await client.get("/v1/jobs", headers={"authorization": wrong_key})).status_code == 401
        assert (await client.get(f"/v1/jobs/{singers.words['prompt']}")).status_code == 404
        assert (await client.post("/v1/jobs", content=poison)).status_code == 500, "the database takes poison"
    await until(partial(_is_tried, yard), "a webhook is tried", limit_s)
    await yard.ended([job_id for some in jobs.values() for job_id in some], limit_s)
    statement = "select id, state from jobs where id = any(%(ids)s)"
    state_of = dict(await yard.rows(statement, ids=[job_id for some in jobs.values() for job_id in some]))
    return {deed: {state_of[job_id] for job_id in some} for deed, some in jobs.items()}


async def _hook(client: httpx2.AsyncClient, yard: Yard, singers: Singers) -> str:
    """An endpoint at the provider's own door, with a token in its address; its secret becomes a canary, too."""
    url = f"{yard.ground.provider_url}/hook/{singers.words['webhook_url']}?token={singers.words['webhook_url']}"
    response = await client.post("/v1/webhooks", json={"url": url, "name": "app"})
    assert response.status_code == 201, response.text
    singers.words["webhook_secret"] = response.json()["secret"].rstrip("=")
    singers.flock = Flock(singers.words)
    name: str = response.json()["id"]
    return name


async def _is_tried(yard: Yard) -> bool:
    return bool(await yard.rows("select from webhook_tries limit 1"))


async def _pages(yard: Yard, flower: str, singers: Singers, metrics_port: int) -> bytes:
    """What anybody with a browser can see: metrics of all processes, Flower, and the jobs' own errors and receipts."""
    pages = []
    async with httpx2.AsyncClient(timeout=10) as client:
        pages.append((await client.get(f"{yard.url}/metrics")).content)
        for port in range(metrics_port, metrics_port + 4):
            with suppress(httpx2.TransportError):
                pages.append((await client.get(f"http://{HOST}:{port}/metrics")).content)
        assert sum(b"tokenyard_calls_total" in page for page in pages) >= 1, "no worker told its metrics"
        auth = ("tokenyard", singers.words["flower"])

        async def has_tasks() -> bool:
            with suppress(httpx2.TransportError):
                reply = await client.get(f"{flower}/api/tasks", auth=auth)
                return reply.status_code == 200 and b"tokenyard." in reply.content
            return False

        await until(has_tasks, "Flower shows tasks")
        shown = ("/api/tasks", "/api/workers", "/workers", "/tasks", "/broker")
        pages += [(await client.get(flower + path, auth=auth)).content for path in shown]
        headers = {"authorization": f"Bearer {yard.key}"}
        listed = (await client.get(f"{yard.url}/v1/jobs?limit=100", headers=headers)).json()["data"]
        for job in listed:
            whole = (await client.get(f"{yard.url}/v1/jobs/{job['id']}", headers=headers)).json()
            pages.append(
                json.dumps({name: whole[name] for name in ("error", "receipt", "attempts", "adaptations")}).encode()
            )
    return b"\n".join(pages)


async def _case(yard: Yard, flock: Flock, places: dict[str, bytes], states: dict[str, set[str]]) -> Case:
    heard = [
        sentence
        for place, haystack in places.items()
        for sentence in flock.heard(place, haystack, {"answer"} if place in WITH_ANSWERS else ())
    ]
    tables = await yard.rows("select tablename from pg_tables where schemaname = 'public'")
    sizes = {place: len(haystack) for place, haystack in places.items()}
    payloads = b""
    for (table,) in tables:
        minus = " - 'metadata'" if table == "jobs" else ""
        rows = await yard.rows(f"select (to_jsonb(t){minus})::text from {table} t")
        text = "\n".join(row[0] for row in rows).encode()
        kind = "payloads" if table.startswith("payloads") else table
        payloads += text if kind == "payloads" else b""
        heard += flock.heard(f"table {table}", text, ALLOWED.get(kind, ()))
        sizes["tables"] = sizes.get("tables", 0) + len(text)
    vain = [f"{deed} ended as {states[deed]}" for deed, state in DEEDS.items() if states[deed] != {state}]
    vain += [f"{place} hold no answer" for place in WITH_ANSWERS if not flock.stands_in("answer", places[place])]
    vain += [f"payloads do not hold {name}" for name in ALLOWED["payloads"] if not flock.stands_in(name, payloads)]
    for sign in (b'"level":"debug"', b'"job_id":"job_', b'"attempt_id":"att_', b"CheckViolation", b"a defect of ours"):
        vain += [] if sign in places["logs"] else [f"the logs do not say {sign.decode()}"]
    for sign in (b"interactive", b"celeryev"):
        vain += [] if sign in places["redis_traffic"] else [f"nobody told Redis {sign.decode()}"]
    deaths = await yard.rows("select count(*) from attempts where outcome in ('unknown', 'orphaned')")
    vain += [] if deaths[0][0] else ["no worker died in the middle of a call"]
    return Case(tuple(heard), tuple(vain), sizes)
