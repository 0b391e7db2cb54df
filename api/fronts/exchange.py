"""A chat completion between its submit and its answer: the job, who waits for it, and what the headers say of it."""

import uuid
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from api.front import Front
from api.jobs import call_off
from api.vigil import Vigil
from jobs import ids
from jobs.ending import Ending

GRACE_S = 3.0
"""After its deadline a job has this long to be written off, so that its caller hears how it ended."""
HEADER = "x-tokenyard-"


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """A job that somebody waits for."""

    tenant_id: uuid.UUID
    job_id: uuid.UUID
    wait_s: float
    """To its deadline."""
    is_joined: bool
    """It was submitted before, with the same Idempotency-Key."""
    cancels: bool
    """Its client's hanging up calls it off."""
    wants_usage: bool


class Exchange:
    """One wait: what a chat completion and its stream have in common."""

    def __init__(self, front: Front, ticket: Ticket, vigil: Vigil) -> None:
        self.front = front
        self.ticket = ticket
        self.vigil = vigil
        vigil.begin(ticket.wait_s + min(GRACE_S, ticket.wait_s), look_now=ticket.is_joined)

    async def hang_up(self) -> None:
        """The client has gone: the job is called off, or goes on to be fetched."""
        if self.ticket.cancels:
            await call_off(self.front, self.ticket.tenant_id, self.ticket.job_id)


def headers_of(job_id: uuid.UUID, deployment: str | None, ending: Ending | None = None) -> dict[str, str]:
    """What is known: the job, the model and provider of its answer; at its end the calls made and what they cost.

    An unknown cost has no header: it is never 0.
    """
    headers = {f"{HEADER}job": ids.show("job", job_id)}
    if deployment:
        model, _, provider = deployment.partition("@")
        headers |= {f"{HEADER}model": _plain(model), f"{HEADER}provider": _plain(provider)}
    if ending is not None:
        headers |= {f"{HEADER}attempts": str(ending.calls), f"{HEADER}adaptations": str(ending.adaptations)}
        if ending.cost.usd is not None and ending.cost.is_complete:
            headers[f"{HEADER}cost-usd"] = f"{ending.cost.usd:.12f}"
    return headers


def raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as a server takes them."""
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def _plain(text: str) -> str:
    """A name that a header can carry."""
    return quote(text, safe="/:@.,+-_~ ")
