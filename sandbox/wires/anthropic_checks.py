"""What Anthropic's API refuses although its types allow it: pairs of calls and results, order, bounds, clashes."""

import re
from collections.abc import Iterator
from typing import Any

from sandbox.speech import Refusal
from sandbox.wires.anthropic_request import (
    Block,
    Message,
    MessagesCall,
    RedactedBlock,
    TextBlock,
    ThinkingBlock,
    ToolChoice,
    ToolResultBlock,
    ToolUseBlock,
)
from sandbox.wires.base import wrong

TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
CALL_ID = re.compile(r"[a-zA-Z0-9_-]+")
LEAST_BUDGET_TOKENS = 1024
"""Of thoughts (SDK: ThinkingConfigEnabledParam.budget_tokens)."""
MOST_MARKS = 4
"""Cache breakpoints in one request."""


def check(call: MessagesCall) -> None:
    """Raises Refusal (400) in the API's words for the first thing that is wrong."""
    for complaint in _complaints(call):
        raise Refusal(400, complaint)


def turns_of(call: MessagesCall) -> list[tuple[str, list[Block]]]:
    """The conversation with neighbours of the same role made one, as the API reads it."""
    found: list[tuple[str, list[Block]]] = []
    for message in call.messages:
        if found and found[-1][0] == message.role:
            found[-1][1].extend(message.blocks)
        else:
            found.append((message.role, list(message.blocks)))
    return found


def _complaints(call: MessagesCall) -> Iterator[str]:
    yield from wrong(
        (call.max_tokens < 1, "max_tokens: Input should be greater than or equal to 1"),
        (not call.messages, "messages: at least one message is required"),
    )
    for place, message in enumerate(call.messages):
        yield from _of_message(message, f"messages.{place}", is_last=place == len(call.messages) - 1)
    for part in (_of_ends, _of_pairs, _of_sampling, _of_thinking, _of_tools, _of_output):
        yield from part(call)


def _of_message(message: Message, where: str, *, is_last: bool) -> Iterator[str]:
    may_be_empty = is_last and message.role == "assistant"
    if not message.content and not may_be_empty:
        yield f"{where}: all messages must have non-empty content except for the optional final assistant message"
    alien = ToolResultBlock if message.role == "assistant" else (ToolUseBlock, ThinkingBlock, RedactedBlock)
    for at, block in enumerate(message.blocks):
        if isinstance(block, TextBlock) and not block.text.strip() and not may_be_empty:
            yield f"{where}.content.{at}: text content blocks must contain non-whitespace text"
        if isinstance(block, alien):
            yield f"{where}.content.{at}: blocks of this type cannot be in `{message.role}` messages"


def _of_ends(call: MessagesCall) -> Iterator[str]:
    """The first and the last message, and what stands before them."""
    last = call.messages[-1]
    end = last.blocks[-1] if last.role == "assistant" and last.blocks else None
    systems = call.system if isinstance(call.system, list) else []
    marked: list[Any] = [*(call.tools or ()), *systems, *(block for m in call.messages for block in m.blocks)]
    marks = sum(getattr(block, "cache_control", None) is not None for block in marked)
    yield from wrong(
        (call.messages[0].role != "user", 'messages: first message must use the "user" role'),
        (
            isinstance(end, TextBlock) and end.text != end.text.rstrip(),
            "messages: final assistant content cannot end with trailing whitespace",
        ),
        (
            any(not block.text.strip() for block in systems),
            "system: text content blocks must contain non-whitespace text",
        ),
        (
            marks > MOST_MARKS,
            f"A maximum of {MOST_MARKS} blocks with cache_control may be provided. Found {marks}.",
        ),
    )


def _of_pairs(call: MessagesCall) -> Iterator[str]:
    """Each call is answered in the next message, before anything else there; no result is without its call."""
    waiting: list[str] = []
    for place, (_, blocks) in enumerate(turns_of(call)):
        results = [block.tool_use_id for block in blocks if isinstance(block, ToolResultBlock)]
        yield from _of_results(waiting, results, f"messages.{place}")
        late = any(not isinstance(block, ToolResultBlock) for block in blocks[: len(results)])
        waiting = [block.id for block in blocks if isinstance(block, ToolUseBlock)]
        odd = [call_id for call_id in waiting if CALL_ID.fullmatch(call_id) is None]
        yield from wrong(
            (late, f"messages.{place}: `tool_result` blocks must come first in a message"),
            (odd, f"messages.{place}.content.tool_use.id: String should match pattern '^{CALL_ID.pattern}$': {odd}"),
            (len(set(waiting)) < len(waiting), f"messages.{place}: `tool_use` ids must be unique"),
        )
    yield from _of_results(waiting, [], "messages")


def _of_results(waiting: list[str], results: list[str], where: str) -> Iterator[str]:
    strangers = ", ".join(result for result in results if result not in waiting)
    missing = ", ".join(call_id for call_id in waiting if call_id not in results)
    yield from wrong(
        (
            strangers,
            f"{where}: `tool_result` blocks without a `tool_use` block in the previous message: {strangers}",
        ),
        (
            missing,
            f"{where}: `tool_use` ids were found without `tool_result` blocks immediately after: {missing}",
        ),
        (len(set(results)) < len(results), f"{where}: each `tool_use` must have a single result"),
    )


def _of_sampling(call: MessagesCall) -> Iterator[str]:
    yield from wrong(
        (not 0 <= (call.temperature or 0) <= 1, "temperature: range: 0..1"),
        (not 0 <= (call.top_p or 0) <= 1, "top_p: range: 0..1"),
        (
            call.temperature is not None and call.top_p is not None,
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
        ),
        (
            any(not stop.strip() for stop in call.stop_sequences or ()),
            "stop_sequences: each stop sequence must contain non-whitespace",
        ),
    )


def _of_thinking(call: MessagesCall) -> Iterator[str]:
    thinking = call.thinking
    if thinking is None:
        return
    budget = thinking.budget_tokens
    yield from wrong(
        (
            (thinking.type == "enabled") != (budget is not None),
            "thinking.enabled.budget_tokens: Field required with `enabled`, and with nothing else",
        ),
        (
            budget is not None and budget < LEAST_BUDGET_TOKENS,
            f"thinking.enabled.budget_tokens: Input should be greater than or equal to {LEAST_BUDGET_TOKENS}",
        ),
        (
            budget is not None and budget >= call.max_tokens,
            "`max_tokens` must be greater than `thinking.budget_tokens`.",
        ),
    )
    if call.thinks:
        yield from _of_thoughts(call)


def _of_thoughts(call: MessagesCall) -> Iterator[str]:
    """What does not go together with thinking."""
    turns = turns_of(call)
    is_loop = any(isinstance(block, ToolResultBlock) for block in turns[-1][1])
    yield from wrong(
        (call.is_forced, "Thinking may not be enabled when tool_choice forces tool use."),
        (
            call.temperature not in (None, 1.0) or call.top_k is not None,
            "`temperature` may only be set to 1, and `top_k` not at all, when thinking is enabled.",
        ),
        (turns[-1][0] == "assistant", "An answer cannot be begun for the model when thinking is enabled."),
        (
            is_loop and not isinstance(turns[-2][1][0], ThinkingBlock | RedactedBlock),
            "messages: When `thinking` is enabled, a final `assistant` message must start with a thinking block.",
        ),
    )


def _of_tools(call: MessagesCall) -> Iterator[str]:
    names = [tool.name for tool in call.tools or ()]
    for place, tool in enumerate(call.tools or ()):
        yield from wrong(
            (
                TOOL_NAME.fullmatch(tool.name) is None,
                f"tools.{place}.custom.name: String should match pattern '^{TOOL_NAME.pattern}$'",
            ),
            (
                tool.input_schema.get("type") != "object",
                f"tools.{place}.custom.input_schema.type: Input should be 'object'",
            ),
        )
    used = ToolUseBlock | ToolResultBlock
    has_used = any(isinstance(block, used) for message in call.messages for block in message.blocks)
    yield from wrong(
        (len(set(names)) < len(names), "tools: Tool names must be unique."),
        (
            has_used and not names,
            "Requests which have `tool_use` or `tool_result` blocks in `messages` must define tools.",
        ),
        (
            call.tool_choice is not None and not names,
            "tool_choice: tool_choice may only be specified while providing tools.",
        ),
    )
    if call.tool_choice is not None:
        yield from _of_choice(call.tool_choice, names)


def _of_choice(choice: ToolChoice, names: list[str]) -> Iterator[str]:
    yield from wrong(
        (
            (choice.type == "tool") != (choice.name is not None),
            "tool_choice.tool.name: Field required with `tool`, and with nothing else",
        ),
        (
            choice.name is not None and choice.name not in names,
            f"tool_choice: Tool '{choice.name}' not found in provided tools",
        ),
        (
            choice.type == "none" and choice.disable_parallel_tool_use,
            "tool_choice.none.disable_parallel_tool_use: Extra inputs are not permitted",
        ),
    )


def _of_output(call: MessagesCall) -> Iterator[str]:
    asked = call.output_config.format if call.output_config is not None else None
    if asked is None:
        return
    yield from wrong(
        (
            call.messages[-1].role == "assistant",
            "output_config.format: cannot be used with an answer that is begun for the model",
        ),
        (
            any(schema.get("additionalProperties") is not False for schema in _objects(asked.schema)),
            "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false",
        ),
    )


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Every object schema inside a schema."""
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object":
        yield schema
    inner: list[Any] = [schema.get("items"), *(schema.get("anyOf") or ()), *(schema.get("allOf") or ())]
    for key in ("properties", "$defs", "definitions"):
        inner += (schema.get(key) or {}).values()
    for one in inner:
        yield from _objects(one)
