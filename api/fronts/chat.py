"""POST /v1/chat/completions: a job of the interactive lane whose caller waits for its answer, streamed or whole.

Durable, routed and in the ledger like every job. A client that hangs up, a deadline, a resend: docs/openai.md.
"""

import asyncio
import datetime as dt
import hashlib
from contextlib import AbstractContextManager

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from api import show
from api.admission import Defaults
from api.auth import Submitter
from api.bodies import read_body
from api.contract import CHAT, CHAT_ROUTE
from api.front import Front, front_of
from api.fronts.asked import as_openai, read_asked, wants_usage
from api.fronts.exchange import Exchange, Ticket, headers_of
from api.fronts.failures import failed, refusal
from api.fronts.relay import Relay
from api.once import Once, once_of
from api.presence import Presence, present
from api.problems import Code, Problem
from api.schemas import Wish
from api.sse import Outlet
from api.submit import OFF_LOOP_BYTES, admitted, record, traced
from api.vigil import Vigil
from jobs import ids
from jobs.job import Submission
from jobs.lanes import Lane
from jobs.policy import Policy
from jobs.states import State
from jobs.store.accounts import Key
from jobs.store.idempotency import InFlight, Reply
from jobs.tokens import Place
from routing.plan import policy_for

router = APIRouter(tags=["openai"])
RESENT = "x-stainless-retry-count"
"""OpenAI's SDKs count their resends in it."""
HUNG_UP = 499
"""nginx's status for it: nobody hears it, the metrics count it."""


class Record(msgspec.Struct, frozen=True):
    """A job that is written once somebody waits for it, in its span."""

    submission: Submission
    span: AbstractContextManager[object]


@router.post(CHAT_ROUTE, openapi_extra=CHAT)
async def complete(request: Request, key: Submitter) -> Response:
    """Answer a chat completion: OpenAI's body and answer, with our routing fields in the body or in headers."""
    front = front_of(request)
    raw = await read_body(request, front.settings.api.max_request_bytes)
    wish = await _read(raw, request)
    once = once_of(request, key, CHAT_ROUTE)
    digest = hashlib.sha256(raw).digest() if once is not None else b""
    if once is not None and (kept := await once.answered(front.database)) is not None:
        return await _join(request, key, wish, kept.reply_to(digest))
    try:
        submission = await admitted(front, key, wish, _defaults(front))
    except Problem as problem:
        raise as_openai(problem) from problem
    submission, span = traced(front, submission, request.headers.get("traceparent", ""))
    ticket = _ticket(front, submission, wish, once)
    if once is None:
        return Conversation(front, ticket, Record(submission, span), is_stream=wish.request.wants_stream)
    with span:
        before = await record(front, submission, once.claim(digest), msgspec.json.encode(show.accepted(submission)))
    if before is not None:  # sent twice at once: the other one was first
        return await _join(request, key, wish, before)
    return Conversation(front, ticket, None, is_stream=wish.request.wants_stream)


async def _read(raw: bytes, request: Request) -> Wish:
    """A large body in a thread: walking its tree would hold up the other requests."""
    if len(raw) > OFF_LOOP_BYTES:
        return await asyncio.to_thread(read_asked, raw, request.headers)
    return read_asked(raw, request.headers)


def _defaults(front: Front) -> Defaults:
    deadline = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=front.settings.api.chat_deadline_s)
    return Defaults(lane=Lane.INTERACTIVE, deadline=deadline)


def _ticket(front: Front, submission: Submission, wish: Wish, once: Once | None) -> Ticket:
    """A job with an Idempotency-Key is not called off when its client goes: the key says that it may come again."""
    policy = policy_for(wish.request.model, submission.policy, front.policies, front.yard.catalog)
    return Ticket(
        tenant_id=submission.tenant_id,
        job_id=submission.id,
        wait_s=(submission.deadline_at - ids.moment_of(submission.id)).total_seconds(),
        is_joined=once is not None,
        cancels=once is None and isinstance(policy, Policy) and policy.on_disconnect == "cancel",
        wants_usage=wants_usage(wish),
    )


async def _join(request: Request, key: Key, wish: Wish, before: Reply) -> Response:
    """The answer of the job that the same request made before; while it runs, only a resend by an SDK waits for it."""
    front, job_id = front_of(request), ids.read("job", msgspec.json.decode(before.body)["id"])
    found = await front.endings.look(key.tenant_id, job_id)
    if found is None:
        raise Problem(Code.PURGED, "the job that this Idempotency-Key made is not in the record any more")
    if not found.state.is_terminal and request.headers.get(RESENT, "0") == "0":
        raise InFlight
    ticket = Ticket(
        tenant_id=key.tenant_id,
        job_id=job_id,
        wait_s=front.settings.api.chat_deadline_s,
        is_joined=True,
        cancels=False,
        wants_usage=wants_usage(wish),
    )
    return Conversation(front, ticket, None, is_stream=wish.request.wants_stream)


class Conversation(Response):
    """The response of a chat completion: its caller is watched, its job written if it is not, its end awaited."""

    def __init__(self, front: Front, ticket: Ticket, record_: Record | None, *, is_stream: bool) -> None:
        super().__init__()
        self._front = front
        self._ticket = ticket
        self._record = record_
        self._is_stream = is_stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Subscribe first, then write the job: what comes then cannot be missed."""
        vigil = Vigil(self._front.endings, self._ticket.tenant_id, self._ticket.job_id)
        with self._front.signals.waiting(vigil.job_id, vigil.hear), present(receive, vigil.wake) as caller:
            if self._record is not None:
                with self._record.span:
                    await record(self._front, self._record.submission, None, b"")
            exchange = Exchange(self._front, self._ticket, vigil)
            answer = self._stream(exchange, caller, send) if self._is_stream else self._whole(exchange, caller)
            if (response := await answer) is not None:
                await response(scope, receive, send)

    async def _whole(self, exchange: Exchange, caller: Presence) -> Response:
        """The job's answer, as it is stored: the provider's own bytes where its dialect is OpenAI's."""
        ending = await exchange.vigil.end(caller)
        if ending is None and caller.is_gone:
            await exchange.hang_up()
            return Response(status_code=HUNG_UP)
        job_id = self._ticket.job_id
        headers = headers_of(job_id, ending.deployment if ending is not None else None, ending)
        if ending is None or ending.state is not State.SUCCEEDED or ending.answer is None:
            return refusal(failed(ending), job_id, headers)
        return Response(ending.answer, 200, headers, media_type="application/json")

    async def _stream(self, exchange: Exchange, caller: Presence, send: Send) -> Response | None:
        """None: the stream was the response."""
        outlet = Outlet(send)
        async with self._front.tokens.following(self._ticket.job_id, Place(), exchange.vigil.wake) as follower:
            failure = await Relay(exchange, follower, outlet, caller).run()
        if outlet.is_begun:
            return None
        if failure is None:
            return Response(status_code=HUNG_UP)
        return refusal(failure, self._ticket.job_id, headers_of(self._ticket.job_id, None))
