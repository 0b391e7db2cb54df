"""Streams of every wire, and what may happen to their events on the way: repeated, emptied, moved, split, merged, lost.

Each stream is a list of events as a provider sends them; a mutated stream need not be one that any provider sends.
"""

import copy
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st

from routing.dialects.anthropic import AnthropicDialect
from routing.dialects.base import Delta, Dialect
from routing.dialects.gemini import GeminiDialect
from routing.dialects.openai import OpenAIDialect
from tests.routing.dialects import test_anthropic_stream, test_gemini_stream
from tests.routing.dialects.replies import STREAMS
from tests.routing.dialects.wire import LOGPROBS, USAGE, chunk

Events = list[dict[str, Any]]


class Wire(NamedTuple):
    """A dialect, streams of it, and how its events are sent."""

    dialect: Dialect
    streams: list[Events]
    frame: Callable[[Events], bytes]


def call(
    index: int | None, arguments: str | None, name: str | None = None, call_id: str | None = None
) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    tool = {"index": index, "id": call_id, "type": "function", "function": function}
    return chunk({"role": "assistant", "tool_calls": [{key: part for key, part in tool.items() if part is not None}]})


RICH: Events = [
    chunk({"role": "assistant", "content": "", "refusal": None}, system_fingerprint="fp"),
    chunk({"role": "assistant", "content": "H"}, choice={"logprobs": {**LOGPROBS, "content": LOGPROBS["content"][:1]}}),
    chunk({"content": "i"}, choice={"logprobs": None, "finish_reason": ""}),
    chunk({"reasoning_content": "Hm"}, service_tier="default"),
    call(0, '{"pa', "read_file", "c1"),
    call(0, 'th":1}', "read_file", "c1"),
    call(0, '{"city":"Riga"}', "weather"),
    call(0, '{"city":"Oslo"}', "news"),
    chunk({"audio": {"id": "a", "data": "AA"}}),
    chunk({"audio": {"id": "a", "transcript": "x", "expires_at": 5}}),
    chunk({"images": [{"type": "image_url", "image_url": {"url": "data:,"}, "index": 0}]}),
    chunk({"content": "b"}, choice={"index": 1}),
    chunk(
        {},
        choice={"finish_reason": "tool_calls"},
        usage={"prompt_tokens": 41, "completion_tokens": 1, "total_tokens": 42},
    ),
    chunk({}, choice={"index": 1, "finish_reason": "max_tokens"}),
    chunk(usage=USAGE),
    chunk(usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
]


def _openai(events: Events) -> bytes:
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode() + b"data: [DONE]\n\n"


def _named(events: Events) -> bytes:
    return "".join(f"event: {event.get('type')}\ndata: {json.dumps(event)}\n\n" for event in events).encode()


def _plain(events: Events) -> bytes:
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()


WIRES: dict[str, Wire] = {
    "openai": Wire(OpenAIDialect(), [RICH, *STREAMS.values()], _openai),
    "anthropic": Wire(AnthropicDialect(), [test_anthropic_stream.RICH], _named),
    "gemini": Wire(GeminiDialect(), [test_gemini_stream.EVENTS], _plain),
}


def chunks_of(wire: Wire, raw: bytes) -> tuple[list[Delta], Any]:
    """The chunks that are shown of a stream, and the answer or failure at its end."""
    decoder = wire.dialect.decode_stream()
    deltas = [*decoder.feed(raw), *decoder.end()]
    return deltas, decoder.finish()


@st.composite
def mutated(draw: st.DrawFn, wire: Wire) -> bytes:
    """A stream of the wire after up to four accidents."""
    events = copy.deepcopy(draw(st.sampled_from(wire.streams)))
    for _ in range(draw(st.integers(0, 4))):
        if events:
            accident = draw(st.sampled_from(ACCIDENTS))
            accident(draw, events, draw(st.integers(0, len(events) - 1)))
    return wire.frame(events)


def _repeat(draw: st.DrawFn, events: Events, at: int) -> None:
    events.insert(draw(st.integers(0, len(events))), copy.deepcopy(events[at]))


def _lose(draw: st.DrawFn, events: Events, at: int) -> None:
    del events[at]


def _move(draw: st.DrawFn, events: Events, at: int) -> None:
    events.insert(draw(st.integers(0, len(events))), events.pop(at))


def _empty(draw: st.DrawFn, events: Events, at: int) -> None:
    holder, name = draw(st.sampled_from(_leaves(events[at])))
    holder[name] = draw(st.sampled_from(["", None]))


def _drop(draw: st.DrawFn, events: Events, at: int) -> None:
    holder, name = draw(st.sampled_from(_leaves(events[at])))
    if isinstance(holder, dict):
        holder.pop(name, None)


def _split(draw: st.DrawFn, events: Events, at: int) -> None:
    """One text of the event in two pieces, the rest of it told twice."""
    texts = [(holder, name) for holder, name in _leaves(events[at]) if isinstance(holder[name], str)]
    if not texts:
        return
    place = draw(st.integers(0, len(texts) - 1))
    second = copy.deepcopy(events[at])
    holder, name = texts[place]
    text = holder[name]
    cut = draw(st.integers(0, len(text)))
    other = [(held, key) for held, key in _leaves(second) if isinstance(held[key], str)][place]
    holder[name], other[0][other[1]] = text[:cut], text[cut:]
    events.insert(at + 1, second)


def _merge(draw: st.DrawFn, events: Events, at: int) -> None:
    """What two neighbours list (choices, parts) in one event."""
    if at + 1 >= len(events):
        return
    first, second = events[at], events[at + 1]
    for name in ("choices", "candidates"):
        if isinstance(first.get(name), list) and isinstance(second.get(name), list):
            first[name] = [*first[name], *second[name]]
            del events[at + 1]
            return


ACCIDENTS = (_repeat, _lose, _move, _empty, _drop, _split, _merge)


def _leaves(value: Any) -> list[tuple[Any, Any]]:
    """Where the leaves of an event are held, and by what name."""
    found: list[tuple[Any, Any]] = []
    names = list(value) if isinstance(value, dict) else range(len(value))
    for name in names:
        part = value[name]
        if isinstance(part, dict | list) and part:
            found += _leaves(part)
        else:
            found.append((value, name))
    return found or [({"": ""}, "")]
