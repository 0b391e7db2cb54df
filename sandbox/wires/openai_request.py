"""Reads and checks OpenAI's chat-completions requests. Unknown fields are let through, as most of its family do."""

import re
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from sandbox.answers import ANY_OBJECT
from sandbox.speech import Ask, Refusal, Tool, Toolbox, Turn

MAX_CHOICES = 128
MAX_TOOLS = 128
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
SYSTEMS = frozenset({"system", "developer"})


class Part(msgspec.Struct):
    """One part of a message's content; only text is read."""

    type: str
    text: str = ""


class Function(msgspec.Struct):
    """A tool, or a call of one."""

    name: str
    parameters: dict[str, Any] = {}
    arguments: str = ""


class FunctionTool(msgspec.Struct):
    """An entry of `tools`, or of a message's `tool_calls`."""

    type: Literal["function"]
    function: Function
    id: str | None = None


class Message(msgspec.Struct):
    """One message; unknown fields are let through, as OpenAI does."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    tool_calls: list[FunctionTool] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """The text, parts joined by line breaks; calls of tools as they were written."""
        if isinstance(self.content, str):
            words = [self.content]
        else:
            words = [part.text for part in self.content or () if part.type == "text"]
        told = [f"{call.function.name} {call.function.arguments}" for call in self.tool_calls or ()]
        return "\n".join((*words, *told))


class JsonSchema(msgspec.Struct):
    """What `response_format.json_schema` holds."""

    name: str
    schema: dict[str, Any] = {}


class ResponseFormat(msgspec.Struct):
    """How the answer must look."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(msgspec.Struct):
    """Extras of a stream."""

    include_usage: bool | None = None


class NamedChoice(msgspec.Struct):
    """A `tool_choice` that names its tool."""

    type: Literal["function"]
    function: Function


class ChatCall(msgspec.Struct):
    """A request. Sampling parameters and stop words are accepted and change nothing: the models only sort."""

    model: str
    messages: list[Message]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    response_format: ResponseFormat | None = None
    tools: list[FunctionTool] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedChoice | None = None
    parallel_tool_calls: bool | None = None


_decoder = msgspec.json.Decoder(ChatCall)


def parse(raw: bytes) -> Ask:
    """Read and check a request. Raises Refusal (400) naming the field."""
    try:
        call = _decoder.decode(raw)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        raise Refusal(400, f"Invalid request: {what}", param=path.strip("`.") or None) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, "We could not parse the JSON body of your request.") from error
    _check(call)
    _check_tools(call)
    return _ask(call)


def _ask(call: ChatCall) -> Ask:
    return Ask(
        model=call.model,
        system="\n".join(message.text for message in call.messages if message.role in SYSTEMS),
        turns=tuple(_turns(call.messages)),
        is_stream=bool(call.stream),
        has_usage_chunk=bool(call.stream_options and call.stream_options.include_usage),
        choices=call.n or 1,
        has_logprobs=bool(call.logprobs),
        top_logprobs=call.top_logprobs or 0,
        max_output_tokens=call.max_completion_tokens or call.max_tokens,
        schema=_schema(call.response_format),
        toolbox=_toolbox(call),
    )


def _turns(messages: list[Message]) -> Iterator[Turn]:
    """The messages that are no system's, in order. Raises Refusal (400) for results and calls that do not pair up."""
    waiting: dict[str, str] = {}
    for place, message in enumerate(messages):
        if message.role == "tool":
            name = waiting.pop(message.tool_call_id or "", None)
            if name is None:
                raise Refusal(
                    400,
                    "Invalid parameter: messages with role 'tool' must be a response to a preceding message with "
                    "'tool_calls'.",
                    param=f"messages.[{place}].role",
                )
            yield Turn("tool", message.text, name)
            continue
        if waiting:
            break
        if message.role not in SYSTEMS:
            yield Turn("assistant" if message.role == "assistant" else "user", message.text)
        waiting = {call.id or "": call.function.name for call in message.tool_calls or ()}
    if waiting:
        raise Refusal(
            400,
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(waiting)}",
            param="messages",
        )


def _schema(wanted: ResponseFormat | None) -> dict[str, Any] | None:
    if wanted is None or wanted.type == "text":
        return None
    return dict(ANY_OBJECT) if wanted.json_schema is None else wanted.json_schema.schema


def _toolbox(call: ChatCall) -> Toolbox:
    tools = tuple(Tool(tool.function.name, tool.function.parameters) for tool in call.tools or ())
    is_parallel = call.parallel_tool_calls is not False
    if isinstance(call.tool_choice, NamedChoice):
        return Toolbox(tools, "forced", (call.tool_choice.function.name,), is_parallel)
    mode: Any = {"required": "forced", "none": "none"}.get(call.tool_choice or "", "auto")
    return Toolbox(tools, mode, (), is_parallel)


def _check(call: ChatCall) -> None:
    if not call.messages:
        raise Refusal(400, "messages must not be empty", param="messages")
    for name, value, low, high in (
        ("n", call.n, 1, MAX_CHOICES),
        ("top_logprobs", call.top_logprobs, 0, 20),
        ("max_tokens", call.max_tokens, 1, None),
        ("max_completion_tokens", call.max_completion_tokens, 1, None),
    ):
        if value is not None and (value < low or (high is not None and value > high)):
            raise Refusal(400, f"{name} is out of range: {value}", param=name, code="invalid_value")
    if call.top_logprobs is not None and not call.logprobs:
        raise Refusal(400, "top_logprobs needs logprobs to be true", param="top_logprobs")
    if call.stream_options is not None and not call.stream:
        raise Refusal(400, "stream_options needs stream to be true", param="stream_options")
    wanted = call.response_format
    if wanted is not None and wanted.type == "json_schema" and wanted.json_schema is None:
        raise Refusal(400, "json_schema is missing", param="response_format.json_schema")


def _check_tools(call: ChatCall) -> None:
    if call.tools is None:
        for name, value in (("tool_choice", call.tool_choice), ("parallel_tool_calls", call.parallel_tool_calls)):
            if value is not None:
                raise Refusal(400, f"'{name}' is only allowed when 'tools' are specified.", param=name)
        return
    names = [tool.function.name for tool in call.tools]
    if not 1 <= len(names) <= MAX_TOOLS:
        raise Refusal(400, f"tools must be 1 to {MAX_TOOLS}, got {len(names)}", param="tools")
    for place, name in enumerate(names):
        if TOOL_NAME.fullmatch(name) is None:
            param = f"tools[{place}].function.name"
            raise Refusal(400, f"Invalid '{param}': it must match {TOOL_NAME.pattern}", param=param)
    choice = call.tool_choice
    if isinstance(choice, NamedChoice) and choice.function.name not in names:
        raise Refusal(400, f"Tool choice '{choice.function.name}' not found in 'tools' parameter.", param="tool_choice")
