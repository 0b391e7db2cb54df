"""The OpenAI chat-completions wire: what most providers speak, each with its own accent."""

from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from jobs.chat import Answer, ChatRequest, Usage
from jobs.failures import Failure, FailureKind
from routing.catalog import Target
from routing.dialects.accent_table import ACCENTS, OPENAI
from routing.dialects.accents import Accent
from routing.dialects.base import Asking, StreamDecoder, Unsupported, WireReply, WireRequest
from routing.dialects.endings import end_fault, meaning, told_end
from routing.dialects.errors import UNREADABLE, failure
from routing.dialects.openai_clean import clean
from routing.dialects.openai_draft import Draft, Refused
from routing.dialects.openai_errors import classify, classify_in_band
from routing.dialects.openai_face import read_official
from routing.dialects.openai_fields import fit_fields
from routing.dialects.openai_legacy import modernise
from routing.dialects.openai_messages import fit_messages
from routing.dialects.openai_shape import (
    Choice,
    Completion,
    Message,
    is_present,
    judged_finish,
    read_completion,
    text_of,
    token_logprobs,
)
from routing.dialects.openai_stream import OpenAIStreamDecoder
from routing.dialects.openai_tools import fit_format, fit_tools
from routing.dialects.openai_usage import is_odd, read_usage, usage_of

HEADERS = {"content-type": "application/json", "accept": "application/json"}
STREAM_HEADERS = {"content-type": "application/json", "accept": "text/event-stream"}


class OpenAIDialect:
    """Implements `routing.dialects.base.Dialect`; it has no state, so one serves all calls of an accent.

    >>> OpenAIDialect().key_headers("sk-1")
    {'authorization': 'Bearer sk-1'}
    """

    def __init__(self, accent: Accent = OPENAI, name: str = "") -> None:
        """`name` is the accent's; empty: of a provider whose accent is not known."""
        self._accent = accent
        self._name = name

    def key_headers(self, key: str) -> Mapping[str, str]:
        """Headers that authenticate."""
        return {self._accent.key_header: f"{self._accent.key_prefix}{key}"}

    def encode(self, request: ChatRequest, target: Target, asking: Asking) -> WireRequest | Unsupported:
        """The caller's body as this accent and this model take it. `target.accent`, when given, is the one spoken."""
        accent = ACCENTS.get(target.accent, self._accent)
        upstream = target.deployment.upstream
        draft = Draft({**request.body, "model": upstream}, accent, target.model)
        try:
            modernise(draft)
            fit_fields(draft, asking)
            fit_tools(draft)
            fit_messages(draft)
            fit_format(draft)
        except Refused as refused:
            return Unsupported(refused.field, refused.reason)
        return WireRequest(
            path=accent.path.replace("{model}", quote(upstream, safe="")),
            headers=STREAM_HEADERS if request.wants_stream else HEADERS,
            body=msgspec.json.encode(draft.body),
            is_stream=request.wants_stream,
            is_json_told=draft.is_json_told,
            adaptations=tuple(draft.adaptations),
        )

    def decode(self, reply: WireReply) -> Answer | Failure:
        """A whole reply of any status; never raises for what a provider may send."""
        if reply.status != 200:
            return self.classify(reply)
        try:
            return answer_or_fault(reply.body, self._name)
        except UNREADABLE:
            return self.classify(reply)  # an error in a shape of its own, or malformed

    def decode_stream(self) -> StreamDecoder:
        """A fresh decoder for one streamed call whose status was 200."""
        return OpenAIStreamDecoder(self.decode, accent=self._name, has_done=self._accent.has_done)

    def classify(self, reply: WireReply) -> Failure:
        """The failure that an error reply means: by this accent's codes first."""
        return classify(reply, self._name)


def answer_or_fault(body: bytes, accent: str) -> Answer | Failure:
    """Read a body of status 200. Raises one of UNREADABLE for what is no chat.completion."""
    completion = read_completion(body)
    broken = fault_of(completion, accent)
    if broken is not None:
        return broken
    official = read_official(body)
    if official is not None:
        return answer_of(completion, body, usage_of(official.usage))
    shown = msgspec.json.encode(clean(msgspec.json.decode(body)))
    usage = read_usage(completion.usage)  # before its quirks are gone
    answer = answer_of(read_completion(shown), shown, usage)
    return msgspec.structs.replace(answer, has_odd_usage=is_odd(completion.usage, usage))


def fault_of(completion: Completion, accent: str = "") -> Failure | None:
    """Judge a completion by its shape; None when it is an answer."""
    if completion.error is not None:
        return classify_in_band(completion.error, accent)
    if not completion.choices:
        return failure(FailureKind.MALFORMED, "no_choices")
    return next((fault for choice in completion.choices if (fault := _fault(choice, accent)) is not None), None)


def answer_of(completion: Completion, body: bytes, usage: Usage | None) -> Answer:
    """The answer of a completion that has no fault. `body` is handed out as it is."""
    assert completion.choices
    first = completion.choices[0]
    message = first.message or Message()
    ended = told_end(str(first.finish_reason or ""))
    return Answer(
        body=body,
        text=text_of(message.content),
        finish_reason=judged_finish(ended.official, has_refusal=bool(message.refusal)),
        usage=usage,
        logprobs=token_logprobs(first.logprobs),
        has_tool_calls=bool(message.tool_calls) or is_present(message.function_call),
        has_refusal=bool(message.refusal),
        has_sound=is_present(message.audio),
        has_images=bool(message.images),
    )


def _fault(choice: Choice, accent: str) -> Failure | None:
    if choice.error is not None:
        return classify_in_band(choice.error, accent)
    broken = end_fault(choice.finish_reason)
    if broken is None and choice.message is None and not _explains_silence(str(choice.finish_reason)):
        return failure(FailureKind.MALFORMED, "no_message")
    return broken


def _explains_silence(word: str) -> bool:
    """Whether an ending says why there is no message: Azure leaves out the message of what it filtered."""
    return meaning(word).official in {"content_filter", "length"} and meaning(word).is_sure
