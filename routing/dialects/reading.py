"""What every wire but OpenAI's own needs of a request before it is built: turns, tools, and what has no place there."""

from collections.abc import Collection
from typing import NamedTuple

from jobs.chat import Adaptation, ChatRequest
from routing.dialects.base import Unsupported
from routing.dialects.fields import leftovers
from routing.dialects.toolkit import Toolkit, read_toolkit
from routing.dialects.turns import Conversation, read


class Understood(NamedTuple):
    """A request, read."""

    conversation: Conversation
    toolkit: Toolkit
    rest: tuple[Adaptation, ...]
    """Notes of the fields that the wire has no place for."""


def understood(request: ChatRequest, handled: Collection[str]) -> Understood | Unsupported:
    """The request for a wire that answers for the fields `handled`; Unsupported with the first thing in the way."""
    conversation = read(request)
    if isinstance(conversation, Unsupported):
        return conversation
    toolkit = read_toolkit(request)
    if isinstance(toolkit, Unsupported):
        return toolkit
    rest = leftovers(request.body, handled)
    if isinstance(rest, Unsupported):
        return rest
    return Understood(conversation, toolkit, rest)
