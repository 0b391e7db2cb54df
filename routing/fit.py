"""Cuts a conversation down to a window, where the policy allows it: the oldest history, or a system prompt's middle.

What is cut is told. What must stay stays: tools, the last question, the newest exchange, pairs of call and result.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from jobs.chat import Adaptation, ChatRequest
from routing.tokens import text_size

Cuttable = Literal["history", "system"]
Count = Callable[[ChatRequest], int]
"""Input tokens that a request will hardly exceed."""
SYSTEM_ROLES = frozenset({"system", "developer"})
LEAST_SYSTEM_TOKENS = 64
"""Less of a system prompt is not worth sending."""
HEAD_SHARE = 0.6
"""Of what is left of a system prompt: its beginning says who the model is, its end what matters most."""
MESSAGE_BYTES = 32
"""Of a message beside its text, for sharing an estimate out."""
ROUNDS = 6


class Room(NamedTuple):
    """What a model takes, in input tokens; None is no limit."""

    input_tokens: int | None
    system_tokens: int | None = None


class Cut(msgspec.Struct, frozen=True):
    """A request that fits, and what was taken from it."""

    request: ChatRequest
    adaptations: tuple[Adaptation, ...] = ()


class _Unit(NamedTuple):
    """Messages that go or stay together."""

    first: int
    last: int
    """Inclusive."""
    is_question: bool
    is_fixed: bool


def fit(request: ChatRequest, room: Room, allowed: Collection[Cuttable], count: Count) -> Cut | None:
    """The request cut to fit; None when what may be cut is not enough. Never raises.

    `count` must not grow when messages go or get shorter.
    """
    found = _fit_system(request, room.system_tokens, allowed)
    if found is None or room.input_tokens is None or count(found.request) <= room.input_tokens:
        return found
    for part in allowed:
        found = (_without_history if part == "history" else _shorter_system)(found, room.input_tokens, count)
        if count(found.request) <= room.input_tokens:
            return found
    return None


def fitted(
    request: ChatRequest, room: Room | None, allowed: Collection[Cuttable], count: Count
) -> tuple[ChatRequest, tuple[Adaptation, ...]]:
    """The request as it leaves: cut where a plan has found that it must be and can be."""
    found = fit(request, room, allowed, count) if room is not None else None
    return (request, ()) if found is None else (found.request, found.adaptations)


def _fit_system(request: ChatRequest, most: int | None, allowed: Collection[Cuttable]) -> Cut | None:
    if most is None:
        return Cut(request)
    tokens = system_tokens(request)
    if tokens <= most:
        return Cut(request)
    return (
        _cut_system(Cut(request), tokens - most, "the model's limit on system prompts") if "system" in allowed else None
    )


def system_tokens(request: ChatRequest) -> int:
    """Tokens of the system prompts: a rough count that errs upwards, three bytes a token."""
    return sum(_bytes(message) for message in request.messages if message.get("role") in SYSTEM_ROLES) // 3


def _bytes(message: Mapping[str, Any]) -> int:
    return text_size(message) + MESSAGE_BYTES


def _without_history(cut: Cut, most: int, count: Count) -> Cut:
    """Let the oldest units go until it fits, or nothing more may go."""
    request = cut.request
    units = [unit for unit in _units(request.messages) if not unit.is_fixed]
    sizes = [_bytes(message) for message in request.messages]
    gone: set[int] = set()
    for _ in range(ROUNDS):
        tokens = count(_without(request, gone))
        if tokens <= most or not units:
            break
        per_byte = tokens / max(1, sum(size for index, size in enumerate(sizes) if index not in gone))
        excess = (tokens - most) / per_byte
        orphan = -1  # what follows a question that went would answer nothing
        while units and (excess > 0 or (units[0].first == orphan and not units[0].is_question)):
            unit = units.pop(0)
            going = range(unit.first, unit.last + 1)
            orphan = unit.last + 1 if unit.is_question or unit.first == orphan else -1
            gone.update(going)
            excess -= sum(sizes[index] for index in going)
    if not gone:
        return cut
    freed = count(request) - count(_without(request, gone))
    reason = f"{len(gone)} messages of the history, about {freed} tokens, to fit a window of {most} input tokens"
    told = Adaptation(f"messages[{min(gone)}..{max(gone)}]", "cut", reason)
    return Cut(_without(request, gone), (*cut.adaptations, told))


def _units(messages: Sequence[Mapping[str, Any]]) -> list[_Unit]:
    """The conversation in units: a call and its results are one; what must stay is fixed."""
    found: list[_Unit] = []
    questions = [index for index, message in enumerate(messages) if message.get("role") == "user"]
    last_question = questions[-1] if questions else len(messages) - 1
    index = 0
    while index < len(messages):
        first, role = index, messages[index].get("role")
        if role == "assistant":
            while index + 1 < len(messages) and messages[index + 1].get("role") in ("tool", "function"):
                index += 1
        is_fixed = role in SYSTEM_ROLES or first <= last_question <= index or index == len(messages) - 1
        found.append(_Unit(first, index, role == "user", is_fixed))
        index += 1
    return found


def _without(request: ChatRequest, gone: Collection[int]) -> ChatRequest:
    if not gone:
        return request
    return _with([message for index, message in enumerate(request.messages) if index not in gone], request)


def _with(messages: Sequence[Mapping[str, Any]], request: ChatRequest) -> ChatRequest:
    body = {**request.body, "messages": list(messages)}
    return ChatRequest(msgspec.json.encode(body), body)


def _shorter_system(cut: Cut, most: int, count: Count) -> Cut:
    """Take from the middle of the longest system prompt what is too much."""
    found, excess = cut, 0
    for _ in range(ROUNDS):
        too_much = count(found.request) - most
        if too_much <= 0:
            break
        excess += too_much
        shorter = _cut_system(cut, excess, f"a window of {most} input tokens")
        if shorter is None:
            break
        found = shorter
    return found


def _cut_system(cut: Cut, excess: int, why: str) -> Cut | None:
    """Take about so many tokens from the longest system prompt; None when too little would be left of it."""
    messages = cut.request.messages
    systems = [
        (text_size(message["content"]), index)
        for index, message in enumerate(messages)
        if message.get("role") in SYSTEM_ROLES and isinstance(message.get("content"), str)
    ]
    size, index = max(systems, default=(0, 0))
    if not size:
        return None
    text = str(messages[index]["content"])
    marker = f"\n[... about {excess} tokens were cut here ...]\n"
    share = (size / 3 - excess - 16) * 3 / size  # a sixteen for the marker
    kept = int(len(text) * share)
    if share <= 0 or size * share / 3 < LEAST_SYSTEM_TOKENS:
        return None
    head = int(kept * HEAD_SHARE)
    shorter = {**messages[index], "content": text[:head] + marker + text[len(text) - (kept - head) :]}
    told = Adaptation(f"messages[{index}].content", "cut", f"the middle, about {excess} tokens, to fit {why}")
    rest = [shorter if at == index else message for at, message in enumerate(messages)]
    return Cut(_with(rest, cut.request), (*cut.adaptations, told))
