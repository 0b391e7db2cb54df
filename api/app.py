"""The API process: `uvicorn api.app:create --factory`. Chooses the real things and hangs the routes together."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Connection

from api import (
    accounts,
    batches,
    budgets,
    bulk,
    docs,
    events,
    health,
    jobs,
    ledger,
    measure,
    metrics,
    models,
    openapi,
    problems,
    providers,
    rerate,
    submit,
    webhooks,
)
from api.admission import Admission
from api.allowance import Allowance
from api.auth import known_query
from api.contract import CHAT_ROUTE
from api.endings import Endings
from api.figures import Figures
from api.front import Front
from api.fronts import batches as batch_door
from api.fronts import chat
from api.fronts import files as file_door
from api.keys import Keyring
from api.page import routes as page
from api.page.watch import Watch
from api.quota import Quota
from api.ring import Ring
from api.straight import Hot, Straight
from jobs import logs, meters, traces
from jobs.broker import Bells, make_app
from jobs.collector import calm_the_collector
from jobs.configuration import load, load_catalog, providers_on
from jobs.health import HealthReader
from jobs.job import Submission
from jobs.lessons import Lessons
from jobs.resolver import Names
from jobs.settings import Settings
from jobs.signals import Signals
from jobs.store.accounts import Scope
from jobs.store.direct import Direct
from jobs.store.flush import Flush
from jobs.store.session import ANSWER_TIMEOUT_S, Database
from jobs.store.submit import insert
from jobs.streams import TokenHub
from migrations.run import head
from routing.addresses import rules_of
from routing.plan import Yard

log = logging.getLogger(__name__)
POOL_SIZE = 10
STOP_AGAIN_S = 0.5
VERSION = "0.1.0"
ROUTERS = (
    submit,
    bulk,
    jobs,
    events,
    chat,
    batch_door,
    batches,
    file_door,
    ledger,
    rerate,
    models,
    providers,
    accounts,
    budgets,
    webhooks,
    health,
    metrics,
    docs,
    page,
)

HOT = {submit.ROUTE: Hot(submit.submit, Scope.SUBMIT), CHAT_ROUTE: Hot(chat.complete, Scope.SUBMIT)}


def create() -> FastAPI:
    """The app with the settings of this process' files and environment. Raises SettingsError."""
    settings = load()
    logs.setup(settings.telemetry)
    calm_the_collector()
    return create_with(settings)


def create_with(settings: Settings) -> FastAPI:
    """The app with these settings; its lifespan opens and closes the connections."""
    app = FastAPI(
        title="Tokenyard",
        version=VERSION,
        description="A job queue for LLM work: durable, routed by intent, with an honest ledger.",
        lifespan=lifespan(settings),
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(known_query)],
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    for module in ROUTERS:
        app.include_router(module.router)
    problems.install(app)
    openapi.describe(app)
    app.add_middleware(Straight, routes=HOT)
    app.add_middleware(RequestId)
    return app


def lifespan(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """What opens the front of an app and closes it."""

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[None]:
        try:
            front = build(settings)
        except Exception:  # told here: uvicorn tells it as a text, which the log leaves out
            log.exception("the API could not start")
            raise
        app.state.front = front
        always = (
            front.ring.work(),
            front.signals.hear_endings(),
            front.tokens.hear(),
            front.lessons.work(),
            meters.watch_loop(),
        )
        background = [asyncio.create_task(work) for work in always]
        try:
            yield
        finally:
            await stop(background)
            front.ring.close()
            await front.watch.close()
            await front.quota.close()
            if front.traces is not None:
                await asyncio.to_thread(front.traces.close)
            await front.tokens.aclose()
            await front.signals.close()
            await front.health.aclose()
            await front.lines.close()
            await front.database.close()

    return opened


async def stop(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: a client library that is just cleaning up may swallow one cancellation."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=STOP_AGAIN_S)


def build(settings: Settings) -> Front:
    """Choose the real things. Nothing connects yet."""
    database = Database(settings.database_url, pool_size=POOL_SIZE, answer_timeout_s=ANSWER_TIMEOUT_S)
    signals = Signals(settings.redis_url)
    reader = HealthReader(settings.redis_url)
    catalog = load_catalog(settings)
    lessons = Lessons(database)
    enabled, version = providers_on(settings), settings.policies_version
    yard = Yard(catalog, enabled, version, providers=settings.providers, fits=lessons.fits)
    lines = Direct(settings.database_url, answer_timeout_s=ANSWER_TIMEOUT_S)
    submissions: Flush[Submission, UUID] = Flush(
        lines, insert, lambda row: row.id, window_s=0.0, patience_s=(), told=meters.flushed("submissions")
    )
    return Front(
        settings=settings,
        database=database,
        lines=lines,
        signals=signals,
        tokens=TokenHub(settings.redis_url),
        endings=Endings(lines),
        health=reader,
        lessons=lessons,
        ring=Ring(Bells(make_app(settings.redis_url)), signals),
        submissions=submissions,
        keys=Keyring(database),
        quota=Quota(database),
        allowance=Allowance(database),
        admission=Admission(yard, settings.policies, settings.retention.days),
        yard=yard,
        policies=settings.policies,
        watch=Watch(database, reader, settings, yard),
        migration_head=head(),
        figures=Figures(database, reader, settings.providers),
        traces=traces.start(settings.telemetry, "tokenyard-api"),
        resolve=Names(),
        webhook_rules=rules_of(settings),
    )


class RequestId:
    """Gives each response an `x-request-id`, under which the log has what went wrong, and measures it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Pass on, adding the header."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = b"req_" + uuid4().hex.encode()
        scope[problems.REQUEST_ID] = name.decode()

        status, began_s = 500, time.perf_counter()

        async def stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", name)]
            await send(message)

        try:
            await self._app(scope, receive, stamped)
        finally:
            measure.answered(scope, status, time.perf_counter() - began_s)
