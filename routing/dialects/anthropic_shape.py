"""The parts of an Anthropic message that decisions need, read leniently: extras are kept apart, nonsense is unknown."""

from collections.abc import Mapping
from typing import Any

import msgspec

from routing.dialects.anthropic_blocks import THOUGHTS
from routing.dialects.anthropic_tools import ANSWER_TOOL
from routing.dialects.completions import encrypted_detail, text_detail
from routing.dialects.endings import told_end
from routing.dialects.names import unescaped
from routing.dialects.stream_writer import Body, Call, Choice, StreamWriter


class ContentBlock(msgspec.Struct, frozen=True):
    """A block of the answer, of any type."""

    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw(b"{}")
    citations: list[Any] | None = None


class StopDetails(msgspec.Struct, frozen=True):
    """Why the model refused."""

    category: str | None = None
    explanation: str | None = None


class Message(msgspec.Struct, frozen=True):
    """A whole reply, or the head of a streamed one."""

    type: str | None = None
    id: str | None = None
    model: str | None = None
    content: list[msgspec.Raw] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: StopDetails | None = None
    usage: dict[str, Any] | None = None
    container: Any = None
    context_management: Any = None
    error: Any = None


_message = msgspec.json.Decoder(Message)
_block = msgspec.json.Decoder(ContentBlock)


def read_message(body: bytes) -> Message:
    """Raises one of `errors.UNREADABLE` when the body is no message in UTF-8."""
    body.decode()  # msgspec does not check the UTF-8 of fields that it skips
    return _message.decode(body)


def read_block(raw: msgspec.Raw) -> "Block":
    """Raises one of `errors.UNREADABLE` for what is no block."""
    return Block(_block.decode(raw), raw)


class Block:
    """One block of the answer, whole or growing, and what it is in OpenAI's shape.

    Text becomes content, thoughts become reasoning, calls of the caller's tools become tool calls, and a call of the
    answer tool becomes content. Blocks of other types (the provider's own tools and their results) are kept.
    Deltas that do not belong to the type of their block are passed over, as in Anthropic's own client.
    """

    def __init__(self, block: ContentBlock, raw: msgspec.Raw) -> None:
        self.block = block
        self.call: Call | None = None
        self.citations: list[Any] = list(block.citations or ())
        self.is_closed = False
        self._raw = raw
        self._texts: list[str] = []
        self._signature: list[str] = [block.signature or ""]
        self._inputs: list[str] = []

    @property
    def is_answer(self) -> bool:
        """It calls the tool whose arguments are the answer."""
        return self.block.type == "tool_use" and self.block.name == ANSWER_TOOL

    @property
    def is_nameless(self) -> bool:
        """It calls nobody knows what."""
        return self.block.type == "tool_use" and not self.block.name

    def open(self, choice: Choice) -> Body:
        """What its beginning says, as a delta. Raises stream_writer.TooMany."""
        match self.block.type:
            case "text":
                return self._say(choice, "content", self.block.text)
            case "thinking":
                return self._say(choice, "reasoning_content", self.block.thinking)
            case "tool_use" if not self.is_answer:
                self.call = choice.open_call()
                named = unescaped(self.block.name or "")
                return {"tool_calls": [self.call.piece(self.block.id or "", named, "")]}
            case "redacted_thinking":
                self._detail(choice, encrypted_detail(self.block.data or "", THOUGHTS, _details(choice)))
        return {}

    def add_text(self, choice: Choice, text: str) -> Body:
        """A `text_delta`."""
        return self._say(choice, "content", text) if self.block.type == "text" else {}

    def add_thinking(self, choice: Choice, text: str) -> Body:
        """A `thinking_delta`."""
        return self._say(choice, "reasoning_content", text) if self.block.type == "thinking" else {}

    def add_signature(self, signature: str) -> None:
        """A `signature_delta`."""
        self._signature.append(signature)

    def add_input(self, choice: Choice, text: str) -> Body:
        """An `input_json_delta`."""
        if not text:
            return {}  # the first piece is empty
        self._inputs.append(text)
        if self.call is not None:
            return {"tool_calls": [self.call.piece("", "", text)]}
        return choice.say("content", text) if self.is_answer else {}

    def close(self, choice: Choice) -> Body:
        """What only its end tells: arguments that came with its beginning, and signed thoughts, kept for the end."""
        if self.is_closed:
            return {}
        self.is_closed = True
        if self.block.type == "thinking":
            thought, signature = "".join(self._texts), "".join(self._signature)
            self._detail(choice, text_detail(thought, signature or None, THOUGHTS, _details(choice)))
        if self.block.type == "tool_use" and not self._inputs:
            return self.add_input(choice, bytes(self.block.input).decode())
        return {}

    def kept(self) -> Any:
        """The block as the provider had it, where OpenAI's shape has no place for it; else None."""
        if self.block.type in {"text", "thinking", "redacted_thinking", "tool_use"}:
            return None
        whole = msgspec.json.decode(self._raw)
        if self._inputs:
            whole["input"] = _json_or_text("".join(self._inputs))
        return whole

    def _say(self, choice: Choice, field: str, text: str | None) -> Body:
        if not text:
            return {}
        self._texts.append(text)
        return choice.say(field, text)

    def _detail(self, choice: Choice, detail: Body) -> None:
        choice.keep("reasoning_details", [detail])


def _details(choice: Choice) -> int:
    return len(choice.lists.get("reasoning_details", ()))


def _json_or_text(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def settle(writer: StreamWriter, message: Message, blocks: list[Block]) -> None:
    """End the only choice, and keep what OpenAI's words leave unsaid under `provider_fields`."""
    choice = writer.choice(0)
    word = message.stop_reason or ""
    ended = told_end(word, is_blank=choice.says_nothing())
    # A call of the answer tool alone is an answer, so it ends with `stop`.
    choice.end = "stop" if ended.official == "tool_calls" and not choice.calls else ended.official
    fields = kept_fields(message)
    if ended.own is not None:
        fields["finish_reason"] = word
    if kept := [block for each in blocks if (block := each.kept()) is not None]:
        fields["content"] = kept
    if cited := [each.citations for each in blocks if each.citations]:
        fields["citations"] = [citation for citations in cited for citation in citations]
    writer.note(fields)


def kept_fields(message: Message) -> Body:
    """For `provider_fields`: what the message says beside its content."""
    usage = message.usage or {}
    details = message.stop_details
    used, tier = usage.get("server_tool_use"), usage.get("service_tier")
    fields: Body = {
        "stop_sequence": message.stop_sequence,
        "refusal_category": None if details is None else details.category,
        "server_tool_use": used if isinstance(used, Mapping) and any(used.values()) else None,
        "service_tier": tier if tier != "standard" else None,
        "container": message.container,
        "context_management": message.context_management,
    }
    return {name: part for name, part in fields.items() if part is not None}
