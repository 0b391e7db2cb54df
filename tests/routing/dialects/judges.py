"""The official client's own accumulator as a judge of the chunks that we show."""

import warnings
from collections.abc import Iterable
from typing import Any

from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from routing.dialects.base import Delta

BESIDE = ("provider_fields",)
"""Fields on top of chunks that the accumulator takes from the first chunk only."""


def added_up(deltas: Iterable[Delta]) -> dict[str, Any]:
    """The chat.completion that openai's `.stream()` makes of the chunks, and our fields beside it.

    Absent and null are one, as in OpenAI's answers; `tool_calls[].index` is of chunks only.
    """
    state: ChatCompletionStreamState[Any] = ChatCompletionStreamState()
    beside: dict[str, Any] = {}
    for delta in deltas:
        chunk = ChatCompletionChunk.model_validate_json(delta.chunk)
        beside |= {name: part for name in BESIDE if (part := (chunk.model_extra or {}).get(name)) is not None}
        list(state.handle_chunk(chunk))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydantic's, for our fields beside the official ones
        whole: dict[str, Any] = state.current_completion_snapshot.model_dump()
    for choice in whole["choices"]:
        message = choice["message"]
        for call in message.get("tool_calls") or ():
            call.pop("index", None)
            call.get("function", {}).pop("parsed_arguments", None)
        message.pop("parsed", None)
    added: dict[str, Any] = normal({**whole, **beside})
    return added


def normal(value: Any) -> Any:
    """Without what is null, in objects of any depth."""
    if isinstance(value, dict):
        return {name: normal(part) for name, part in value.items() if part is not None}
    return [normal(part) for part in value] if isinstance(value, list) else value
