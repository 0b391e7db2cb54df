"""GET /v1/jobs/{id}/events: a job's states and tokens as server-sent events, resumable without a gap or a double.

The pieces of a streamed answer have ids, `attempt.seq`. A job that was not streamed, or whose stream is gone, is told
from its stored answer; ids of those pieces end with an `a`. Where the client has seen an answer that is not the job's,
or a part of one whose rest is gone, it gets a `reset`: what it has is void, and the answer begins anew.
"""

import time
import uuid
from collections.abc import Sequence
from typing import Annotated

import msgspec
from fastapi import APIRouter, Header, Request, Response
from starlette.types import Receive, Scope, Send

from api import show
from api.auth import Reader
from api.contract import EVENTS
from api.front import Front, front_of
from api.paths import not_found, read_id
from api.presence import Presence, present
from api.problems import Code, Problem
from api.sse import KEEP_ALIVE, KEEP_ALIVE_S, Outlet, event
from api.vigil import Vigil
from jobs import ids
from jobs.chunks import chunks_of
from jobs.ending import Ending
from jobs.states import State
from jobs.streams import Follower
from jobs.tokens import Entry, Place

router = APIRouter(tags=["jobs"])
OVER = "end"
"""Id of the last event. A client that comes back with it has everything."""
STORED = "a"
END_PATIENCE_S = 1.0


class Seen(msgspec.Struct, frozen=True):
    """What a client says that it has: the id of the last event that it got."""

    place: Place = Place()
    is_stored: bool = False
    """Pieces told from the stored answer."""

    @classmethod
    def read(cls, text: str | None) -> "Seen":
        """From a Last-Event-ID. Raises Problem for one that we never gave."""
        if not text:
            return cls()
        place = Place.read(text.removesuffix(STORED))
        if place is None:
            message = "Last-Event-ID: must be the id of an event of this stream, like 1.17; leave it out to begin anew"
            raise Problem(Code.INVALID_VALUE, message, "Last-Event-ID")
        return cls(place, is_stored=text.endswith(STORED))


@router.get("/v1/jobs/{job_id}/events", openapi_extra=EVENTS)
async def events(
    request: Request,
    key: Reader,
    job_id: str,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """A job's states and, if it was submitted with stream = true, its answer's pieces, until it has ended."""
    front, wanted = front_of(request), read_id("job", job_id)
    found = await front.endings.look(key.tenant_id, wanted)
    if found is None:
        raise not_found("job", job_id)
    if last_event_id == OVER:
        return Response(status_code=204)  # an EventSource comes back until it hears this
    return Telling(front, key.tenant_id, wanted, Seen.read(last_event_id))


class Telling(Response):
    """The response of one stream of events."""

    def __init__(self, front: Front, tenant_id: uuid.UUID, job_id: uuid.UUID, seen: Seen) -> None:
        super().__init__()
        self._front = front
        self._tenant_id = tenant_id
        self._job_id = job_id
        self._seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Subscribe first, then tell what is there, then what comes."""
        front, outlet = self._front, Outlet(send)
        vigil = Vigil(front.endings, self._tenant_id, self._job_id)
        place = Place() if self._seen.is_stored else self._seen.place
        with front.signals.waiting(self._job_id, vigil.hear), present(receive, vigil.wake) as caller:
            async with front.tokens.following(self._job_id, place, vigil.wake) as follower:
                vigil.begin(front.settings.api.max_events_s, look_now=True)
                await outlet.begin([])
                await Teller(vigil, follower, outlet, self._seen).run(caller)
                await outlet.end()


class Teller:
    """Tells one client of one job."""

    def __init__(self, vigil: Vigil, follower: Follower, outlet: Outlet, seen: Seen) -> None:
        self._vigil = vigil
        self._follower = follower
        self._outlet = outlet
        self._seen = seen
        self._is_whole = False
        """The attempt that is being shown has come to its regular end."""
        self._state: State | None = None
        self._ending: Ending | None = None
        self._ended_at_s = 0.0
        self._wrote_at_s = time.monotonic()

    async def run(self, caller: Presence) -> None:
        """Until the job has ended and all is told, the client has gone, or the time is up."""
        while not caller.is_gone and not self._vigil.is_over:
            if self._ending is None:
                await self._look()
            if not self._seen.is_stored:
                for entry in await self._follower.read():
                    await self._show(entry)
            if self._ending is not None and self._is_settled(self._ending):
                await self._finish(self._ending)
                return
            await self._vigil.rest(END_PATIENCE_S / 4 if self._ending is not None else KEEP_ALIVE_S)
            if time.monotonic() - self._wrote_at_s >= KEEP_ALIVE_S:
                await self._write([KEEP_ALIVE])

    async def _look(self) -> None:
        found = await self._vigil.look()
        if found is None:
            return
        if found.state.is_terminal:
            self._ending, self._ended_at_s = found, time.monotonic() - found.ended_for_s
            self._follower.look_again()
        elif found.state is not self._state:
            self._state = found.state
            await self._write([event(_state(self._vigil.job_id, found), name="state")])

    def _is_settled(self, ending: Ending) -> bool:
        """Whether nothing more is to come of what the ended job shows."""
        is_streamed = ending.state is State.SUCCEEDED and self._seen.place.turn == ending.turn
        if not is_streamed or self._seen.is_stored or self._is_whole:
            return True
        return time.monotonic() - self._ended_at_s >= END_PATIENCE_S

    async def _finish(self, ending: Ending) -> None:
        """What of the answer the client has not seen, then how the job ended."""
        told: list[bytes] = []
        if ending.state is State.SUCCEEDED and ending.answer is not None and not self._is_seen(ending):
            told = self._stored(ending.turn, chunks_of(ending.answer))
        await self._write([*told, event(_state(self._vigil.job_id, ending), name="state", event_id=OVER)])

    def _is_seen(self, ending: Ending) -> bool:
        return not self._seen.is_stored and self._seen.place.turn == ending.turn and self._is_whole

    def _stored(self, turn: int, chunks: Sequence[bytes]) -> list[bytes]:
        """The stored answer from where the client is in it; all of it to who has seen another, or part of a stream."""
        place = self._seen.place
        begin = place.seq if self._seen.is_stored and place.turn == turn else 0
        told = [_reset(Place(turn), STORED)] if place.turn and not begin else []
        for seq, chunk in enumerate(chunks[begin:], begin + 1):
            told += [event(chunk, name="chunk", event_id=f"{Place(turn, seq)}{STORED}")]
        return told

    async def _show(self, entry: Entry) -> None:
        shown = []
        if self._seen.place.turn not in (0, entry.turn):
            shown.append(_reset(Place(entry.turn)))
        for offset, chunk in enumerate(entry.chunks):
            shown.append(event(chunk, name="chunk", event_id=str(Place(entry.turn, entry.first + offset))))
        self._seen = Seen(entry.last)
        self._is_whole = entry.is_end
        if shown:
            await self._write(shown)
        self._ended_at_s = time.monotonic()  # patience begins when nothing comes, however slowly the client reads

    async def _write(self, told: Sequence[bytes]) -> None:
        self._wrote_at_s = time.monotonic()
        await self._outlet.write(b"".join(told))


def _reset(place: Place, suffix: str = "") -> bytes:
    return event(b'{"reason": "another answer begins"}', name="reset", event_id=f"{place}{suffix}")


def _state(job_id: uuid.UUID, found: Ending) -> bytes:
    """A job as far as its stream tells it; `GET /v1/jobs/{id}` has the rest."""
    told: show.JsonObject = {"id": ids.show("job", job_id), "object": "job", "state": found.state}
    told["error"] = show.error(found.error)
    if found.state.is_terminal:
        told |= {"cost_usd": show.money(found.cost.usd), "cost_complete": found.cost.is_complete}
    return msgspec.json.encode(told)
