"""The seam between the yard and a provider's wire: what every dialect takes and gives."""

from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec

from jobs.chat import Adaptation, Answer, ChatRequest
from jobs.failures import Failure
from routing.catalog import Target


class Asking(msgspec.Struct, frozen=True):
    """What the yard needs of an answer beyond what the caller asked for."""

    needs_logprobs: bool = False
    """The policy judges by confidence."""


class WireRequest(msgspec.Struct, frozen=True):
    """A call, ready for the transport: where to, with which headers (the key is added at the door), and the bytes."""

    path: str
    """Below the provider's base URL, beginning with a slash."""
    headers: Mapping[str, str]
    body: bytes
    is_stream: bool = False
    is_json_told: bool = False
    """The model is asked for JSON in words, so the answer may stand in a code fence (`routing.dialects.fences`)."""
    adaptations: tuple[Adaptation, ...] = ()


class Unsupported(msgspec.Struct, frozen=True):
    """The wire or the model cannot carry the request, and leaving the part out would change what was asked.

    Nothing was sent. Another candidate may be able to.
    """

    field: str
    """Path in the request: `messages[2].content[0]`."""
    reason: str


class WireReply(msgspec.Struct, frozen=True):
    """A whole reply as it came."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


class Delta(msgspec.Struct, frozen=True):
    """A piece of a streamed answer, normalised to one OpenAI chunk."""

    chunk: bytes
    """JSON of a chat.completion.chunk."""
    has_content: bool
    """Carries text or tool arguments: moves the token clock. Keep-alives and role chunks do not."""


class StreamDecoder(Protocol):
    """Bytes in, deltas out; no I/O. One per call."""

    def feed(self, data: bytes) -> Iterable[Delta]:
        """Take bytes as they came, cut anywhere. Never raises for what a provider may send."""

    def end(self) -> Iterable[Delta]:
        """The body ended: the chunks that end the answer (finish reasons, usage); none when it is not whole."""

    def finish(self) -> Answer | Failure:
        """The body ended: the whole answer, or a failure (truncated without the terminal marker, an in-band error)."""


class Dialect(Protocol):
    """Four verbs. `key_headers` is how this wire carries a key."""

    def key_headers(self, key: str) -> Mapping[str, str]:
        """Headers that authenticate."""

    def encode(self, request: ChatRequest, target: Target, asking: Asking) -> WireRequest | Unsupported:
        """The request for this target; what is changed on the way stands in `adaptations`. Never raises."""

    def decode(self, reply: WireReply) -> Answer | Failure:
        """A whole reply of any status; never raises for what a provider may send."""

    def decode_stream(self) -> StreamDecoder:
        """A fresh decoder for one streamed call whose status was 200."""

    def classify(self, reply: WireReply) -> Failure:
        """The failure that an error reply means. Never raises; nothing of the provider's prose is in it."""
