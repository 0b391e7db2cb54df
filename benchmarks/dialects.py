"""What a translation costs: encoding a request and decoding its answer, by dialect, in CPU time of one process."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from benchmarks.bars import Bar
from jobs.chat import Answer, ChatRequest
from routing.catalog import Deployment, Model, Target
from routing.dialects.base import Asking, Dialect, WireReply, WireRequest
from routing.dialects.registry import ACCENTED, DIALECTS

MOST_US = 200.0
ROUNDS, TIMES = 15, 400
"""The median of the rounds is told: a round is short enough that the machine's other work hits only some."""
VOICES: Mapping[str, Dialect] = {**DIALECTS, "openai, mistral's accent": ACCENTED["openai"]["mistral"]}
"""Each dialect, and of OpenAI's the accent that changes most."""

_PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "Where"},
        "days": {"type": "integer", "minimum": 1, "maximum": 14},
        "units": {"type": "string", "enum": ["metric", "imperial"]},
    },
    "required": ["city"],
    "additionalProperties": False,
}
_ARGUMENTS = '{"city": "Bonn", "days": 3, "units": "metric"}'
_WEATHER = "Sunny, 24 degrees, light wind from the west. " * 6


class Cost(msgspec.Struct, frozen=True):
    """One dialect's, for one request and one answer of 10 messages with tools, in microseconds."""

    dialect: str
    encode_us: float
    decode_us: float

    @property
    def total_us(self) -> float:
        """Both ways."""
        return self.encode_us + self.decode_us


def costs() -> list[Cost]:
    """Measure every dialect."""
    request = ChatRequest.parse(msgspec.json.encode(conversation()))
    return [_cost(name, voice, request) for name, voice in VOICES.items()]


def bars(found: list[Cost]) -> list[Bar]:
    """A line a dialect."""
    return [
        Bar(
            f"encode and decode, {cost.dialect}",
            f"{cost.total_us:.0f} us ({cost.encode_us:.0f} + {cost.decode_us:.0f})",
            f"at most {MOST_US:.0f} us",
            cost.total_us <= MOST_US,
        )
        for cost in found
    ]


def conversation() -> dict[str, Any]:
    """Ten messages: instructions, three questions, two rounds of parallel calls with their results."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": "You are a travel assistant. Be brief. " * 10}]
    for turn in (1, 2):
        messages.append({"role": "user", "content": f"What will the weather be in these places, part {turn}? " * 4})
        calls = [_call(f"call_{turn}{letter}", _ARGUMENTS) for letter in "ab"]
        messages.append({"role": "assistant", "content": None, "tool_calls": calls})
        messages += [{"role": "tool", "tool_call_id": call["id"], "content": _WEATHER} for call in calls]
    messages.append({"role": "user", "content": "And where should I go?"})
    tools = [
        {"type": "function", "function": {"name": name, "description": "Tells it.", "parameters": _PARAMETERS}}
        for name in ("get_weather", "get_prices", "get_trains")
    ]
    return {"model": "auto", "messages": messages, "tools": tools, "temperature": 0.2, "max_tokens": 500}


def _call(call_id: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "get_weather", "arguments": arguments}}


def _cost(name: str, voice: Dialect, request: ChatRequest) -> Cost:
    model = Model("maker/model", max_output_tokens=8192)
    target = Target(Deployment(model=model.id, provider="provider", upstream="model-1"), model)
    reply = WireReply(200, {}, msgspec.json.encode(REPLIES[name.partition(",")[0]]))
    if not isinstance(voice.encode(request, target, Asking()), WireRequest) or not isinstance(
        voice.decode(reply), Answer
    ):
        raise TypeError(f"{name}: the conversation can't be carried, so there is nothing to measure")
    return Cost(
        name,
        encode_us=_timed(lambda: voice.encode(request, target, Asking())),
        decode_us=_timed(lambda: voice.decode(reply)),
    )


def _timed(work: Callable[[], object]) -> float:
    """CPU microseconds of one call: the median of the rounds, with the collector as a worker has it (seldom)."""
    rounds = []
    gc.disable()
    try:
        for _ in range(ROUNDS):
            began = time.process_time_ns()
            for _ in range(TIMES):
                work()
            rounds.append((time.process_time_ns() - began) / TIMES / 1000)
    finally:
        gc.enable()
    return statistics.median(rounds)


REPLIES: Mapping[str, dict[str, Any]] = {
    "openai": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "model-1",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Let me look. " * 10,
                    "refusal": None,
                    "tool_calls": [_call("call_3a", _ARGUMENTS), _call("call_3b", _ARGUMENTS)],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 812,
            "completion_tokens": 64,
            "total_tokens": 876,
            "prompt_tokens_details": {"cached_tokens": 512, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
    },
    "anthropic": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "model-1",
        "content": [
            {"type": "text", "text": "Let me look. " * 10},
            {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Bonn", "days": 3}},
            {"type": "tool_use", "id": "toolu_2", "name": "get_weather", "input": {"city": "Ulm", "days": 3}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 300,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 512,
            "output_tokens": 64,
        },
    },
    "gemini": {
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [
                        {"text": "Let me look. " * 10},
                        {"functionCall": {"name": "get_weather", "args": {"city": "Bonn", "days": 3}}},
                        {"functionCall": {"name": "get_weather", "args": {"city": "Ulm", "days": 3}}},
                    ],
                },
                "finishReason": "STOP",
                "index": 0,
            }
        ],
        "usageMetadata": {"promptTokenCount": 812, "candidatesTokenCount": 64, "totalTokenCount": 876},
        "modelVersion": "model-1",
        "responseId": "r1",
    },
}
"""By dialect: an answer with text and two calls."""
