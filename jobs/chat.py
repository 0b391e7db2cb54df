"""The lingua franca: a request is an OpenAI chat-completions body, an answer is a chat.completion."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


class InvalidRequest(ValueError):
    """The body is not a chat-completions request. `param` names the field, as in OpenAI's errors."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class ChatRequest(msgspec.Struct, frozen=True):
    """An OpenAI chat-completions body, whole.

    `raw` is what the caller sent, byte for byte; `body` is the same, parsed. Nothing here is ever edited:
    a dialect builds a new body and lists what it changed.

    >>> ChatRequest.parse(b'{"model": "auto", "messages": [{"role": "user", "content": "hi"}]}').model
    'auto'
    """

    raw: bytes
    body: Mapping[str, Any]

    @classmethod
    def parse(cls, raw: bytes) -> "ChatRequest":
        """Read a stored or received body. Raises InvalidRequest with the field and what it should be."""
        try:
            body = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidRequest(f"request is not valid JSON: {error}") from error
        return cls.of(raw, body)

    @classmethod
    def of(cls, raw: bytes, body: object) -> "ChatRequest":
        """The same for a body that is parsed already."""
        if not isinstance(body, dict):
            raise InvalidRequest("request must be an object: an OpenAI chat-completions body")
        check_body(body)
        return cls(raw=raw, body=body)

    @property
    def model(self) -> str:
        """A model, a deployment, a policy, or `auto`."""
        return str(self.body.get("model") or "auto")

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        """The conversation, in order."""
        messages: Sequence[Mapping[str, Any]] = self.body["messages"]
        return messages

    @property
    def wants_stream(self) -> bool:
        """The caller asked for tokens as they come."""
        return bool(self.body.get("stream"))

    @property
    def wants_logprobs(self) -> bool:
        """The caller asked for log-probabilities."""
        return bool(self.body.get("logprobs"))

    @property
    def max_output_tokens(self) -> int | None:
        """The caller's cap on the answer; None when there is none."""
        caps = (self.body.get("max_completion_tokens"), self.body.get("max_tokens"))
        return next((int(cap) for cap in caps if cap is not None), None)

    @property
    def choices(self) -> int:
        """How many answers are asked for (`n`); each is billed."""
        return int(self.body.get("n") or 1)


MAX_COUNT = 10_000_000
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})


def check_body(body: Mapping[str, Any]) -> None:
    """Refuse what no provider would take. Raises InvalidRequest; the finer points are left to the provider."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("messages must be a list with at least one message", "messages")
    for index, message in enumerate(messages):
        _check_message(message, f"messages[{index}]")
    model = body.get("model")
    if model is not None and not isinstance(model, str):
        raise InvalidRequest("model must be a string: a model, a deployment, a policy, or auto", "model")
    _check_switches(body)
    _check_counts(body)


def _check_switches(body: Mapping[str, Any]) -> None:
    for name in ("stream", "logprobs"):
        if not isinstance(body.get(name, False), bool | None):
            raise InvalidRequest(f"{name} must be true or false", name)


def _check_counts(body: Mapping[str, Any]) -> None:
    for name in ("max_tokens", "max_completion_tokens", "n"):
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_COUNT:
            raise InvalidRequest(f"{name} must be a whole number from 1 to {MAX_COUNT:,}", name)


def _check_message(message: object, where: str) -> None:
    if not isinstance(message, dict):
        raise InvalidRequest(f"{where} must be an object with role and content", where)
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise InvalidRequest(f"{where}.role must be one of {', '.join(sorted(ROLES))}", f"{where}.role")
    content = message.get("content")
    if content is not None and not isinstance(content, str | list):
        raise InvalidRequest(f"{where}.content must be a string, a list of parts, or null", f"{where}.content")


class Usage(msgspec.Struct, frozen=True):
    """What a provider counted. The two totals hold every kind of token but `citation_tokens`, which are billed beside.

    None is a total that the provider did not tell: what it did tell is kept, and the cost is unknown.
    """

    input_tokens: int | None
    """All of the prompt: what was read from a cache and what was written to one included."""
    output_tokens: int | None
    """All that the model made: reasoning, sound and pictures included."""
    cached_tokens: int = 0
    """Of the input, read from a prompt cache."""
    cache_write_tokens: int = 0
    """Of the input, written to a prompt cache of the provider's usual life (Anthropic: 5 minutes)."""
    cache_write_1h_tokens: int = 0
    """Of the input, written to a cache that lives an hour; not among `cache_write_tokens`."""
    reasoning_tokens: int = 0
    """Of the output, thoughts."""
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    citation_tokens: int = 0
    """Read by the provider's own searches and billed beside the prompt (Perplexity's deep research)."""
    searches: int = 0
    """Searches that the provider made for this call and bills one by one."""

    @property
    def total_tokens(self) -> int | None:
        """Input and output; None when one of them is unknown."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens + self.output_tokens


USAGE_KINDS = Usage.__struct_fields__[2:]
"""The names of the kinds, which the ledger's columns have, too; the totals are not among them."""


class Answer(msgspec.Struct, frozen=True):
    """What came back, normalised: `body` is the chat.completion to hand out, the rest is what decisions need."""

    body: bytes
    """JSON of an OpenAI chat.completion; the provider's own bytes where its dialect is OpenAI's."""
    text: str
    """Content of the first choice; empty when it only calls tools."""
    finish_reason: str
    """OpenAI's: stop, length, content_filter, tool_calls. A refusal is content_filter, whatever its body says."""
    usage: Usage | None = None
    """None when the provider reported none, or counts that fit no known way of counting: unknown is never 0."""
    logprobs: tuple[float, ...] | None = None
    """Natural log of each answer token's probability; None when the provider gives none."""
    has_tool_calls: bool = False
    has_refusal: bool = False
    has_sound: bool = False
    """It is spoken; its text may stand in the transcript alone."""
    has_images: bool = False
    """It shows pictures (`message.images`)."""
    has_odd_usage: bool = False
    """The provider reported counts that do not tell the bill; the body keeps them under `provider_fields`."""

    @property
    def is_empty(self) -> bool:
        """A normal finish with neither text nor tool call nor refusal nor sound nor picture."""
        says = self.text.strip() or self.has_tool_calls or self.has_refusal
        blank = not (says or self.has_sound or self.has_images)
        return blank and self.finish_reason in {"stop", "tool_calls"}


class Adaptation(msgspec.Struct, frozen=True):
    """One thing that left differently from how it came in."""

    field: str
    action: str
    """added, changed, dropped or cut."""
    reason: str

    @property
    def is_lossy(self) -> bool:
        """Something of what was asked did not leave as it came; `strict` refuses that."""
        return self.action != "added"
