"""What is asked and what is said, whatever the wire: each wire reads its requests into `Ask` and writes `Said`."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from sandbox.pieces import Piece, prose_pieces

Role = Literal["user", "assistant", "tool"]
Finish = Literal["stop", "length", "tool_calls"]


class Refusal(Exception):
    """A request that is turned away: an HTTP status, words, and what OpenAI's wire has fields for."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code


class TooLong(Refusal):
    """The request does not fit the model's window; each wire has its own words for it."""

    def __init__(self, tokens: int, limit: int) -> None:
        message = f"This model's maximum context length is {limit} tokens; your messages have about {tokens}."
        super().__init__(400, message, param="messages", code="context_length_exceeded")
        self.tokens = tokens
        self.limit = limit


class Tool(msgspec.Struct, frozen=True):
    """A function that may be called."""

    name: str
    schema: Mapping[str, Any]
    """JSON schema of its arguments."""


class Toolbox(msgspec.Struct, frozen=True):
    """The tools on offer, and what the caller demands of their use."""

    tools: tuple[Tool, ...] = ()
    mode: Literal["auto", "none", "forced"] = "auto"
    allowed: tuple[str, ...] = ()
    """`forced`: one of these must be called; empty means any."""
    is_parallel: bool = True
    """Several calls at once are welcome."""


class Turn(msgspec.Struct, frozen=True):
    """A message, or a tool's result."""

    role: Role
    text: str
    tool: str = ""
    """`tool`: the name of the tool that gave this result."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A checked request."""

    model: str
    system: str = ""
    turns: tuple[Turn, ...] = ()
    is_stream: bool = False
    has_usage_chunk: bool = False
    """OpenAI's wire: a stream ends with a chunk that holds the usage."""
    choices: int = 1
    """How many times the answer is given (and billed)."""
    has_logprobs: bool = False
    top_logprobs: int = 0
    max_output_tokens: int | None = None
    """The caller's cap on one choice."""
    schema: Mapping[str, Any] | None = None
    """The answer must be JSON of this schema; None: any text."""
    toolbox: Toolbox = Toolbox()
    has_thoughts: bool = False
    """The caller wants to see what the model thinks."""

    @property
    def query(self) -> str:
        """The last that the user said."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user"), "")

    @property
    def results(self) -> tuple[Turn, ...]:
        """The tools' results that wait for an answer: those behind the last message of the assistant's."""
        found: list[Turn] = []
        for turn in reversed(self.turns):
            if turn.role == "assistant":
                break
            if turn.role == "tool":
                found.insert(0, turn)
        return tuple(found)

    @property
    def texts(self) -> list[str]:
        """Everything that is read, for the count of tokens: the system's words, the turns, the tools on offer."""
        tools = [msgspec.json.encode((tool.name, tool.schema)).decode() for tool in self.toolbox.tools]
        return [*([self.system] if self.system else []), *(turn.text for turn in self.turns), *tools]


class Call(msgspec.Struct, frozen=True):
    """A tool to call, as the model says it."""

    id: str
    name: str
    arguments: str
    """JSON; broken on purpose under a scripted fault."""


class Reply(msgspec.Struct, frozen=True):
    """An answer before it is put on the wire."""

    pieces: tuple[Piece, ...]
    finish_reason: Finish
    input_tokens: int
    label: str | None = None
    """None off the task."""
    probability: float | None = None
    calls: tuple[Call, ...] = ()
    thoughts: tuple[Piece, ...] = ()

    @property
    def text(self) -> str:
        """The words of one choice."""
        return "".join(piece.text for piece in self.pieces)

    def used(self, choices: int) -> "Tokens":
        """Tokens of so many choices; a tool call counts as what it would be in words."""
        spoken = sum(len(prose_pieces(call.name)) + len(prose_pieces(call.arguments)) for call in self.calls)
        visible = len(self.pieces) + spoken
        return Tokens(self.input_tokens, visible * choices, len(self.thoughts) * choices)


class Tokens(msgspec.Struct, frozen=True):
    """What a call used, all choices together; each wire has its own names and sums for it."""

    input: int
    output: int
    """Visible ones: words and tool calls."""
    thought: int = 0

    def times(self, factor: int) -> "Tokens":
        """The same, multiplied: how a provider's usage is falsified."""
        return Tokens(self.input * factor, self.output * factor, self.thought * factor)


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a wire has to write, whole or in chunks. `usage` None leaves it out (a fault)."""

    id: str
    created_s: int
    provider: str
    ask: Ask
    reply: Reply
    usage: Tokens | None
