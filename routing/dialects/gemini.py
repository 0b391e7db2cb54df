"""Gemini's generateContent wire: a request as `POST /models/{model}:generateContent`, its response as a completion."""

from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from jobs.chat import Answer, ChatRequest
from jobs.failures import Failure, FailureKind
from routing.catalog import Target
from routing.dialects.base import Asking, StreamDecoder, Unsupported, WireReply, WireRequest
from routing.dialects.errors import UNREADABLE, failure
from routing.dialects.gemini_errors import classify, classify_in_band
from routing.dialects.gemini_request import HANDLED, build
from routing.dialects.gemini_shape import read_response
from routing.dialects.gemini_stream import Gathering, GeminiStreamDecoder
from routing.dialects.parts import CannotCarry
from routing.dialects.reading import understood
from routing.dialects.stream_writer import TooMany

HEADERS = {"content-type": "application/json", "accept": "application/json"}
STREAM_HEADERS = {**HEADERS, "accept": "text/event-stream"}


RESOURCES = ("models/", "tunedModels/")
"""What an upstream's name may begin with by itself."""


class GeminiDialect:
    """Implements `routing.dialects.base.Dialect`; it has no state, so one serves all calls.

    >>> GeminiDialect().key_headers("AIza")
    {'x-goog-api-key': 'AIza'}
    """

    def key_headers(self, key: str) -> Mapping[str, str]:
        """Headers that authenticate."""
        return {"x-goog-api-key": key}

    def encode(self, request: ChatRequest, target: Target, asking: Asking) -> WireRequest | Unsupported:
        """The request as a generateContent body; never raises."""
        asked = understood(request, HANDLED)
        if isinstance(asked, Unsupported):
            return asked
        conversation, toolkit, rest = asked
        try:
            built = build(request, conversation, toolkit, target, asking)
        except CannotCarry as stop:
            return stop.unsupported
        is_stream = request.wants_stream
        return WireRequest(
            path=path_of(target.deployment.upstream, is_stream=is_stream),
            headers=STREAM_HEADERS if is_stream else HEADERS,
            body=msgspec.json.encode(built.body),
            is_stream=is_stream,
            is_json_told=built.is_json_told,
            adaptations=(*toolkit.adaptations, *built.adaptations, *rest),
        )

    def decode(self, reply: WireReply) -> Answer | Failure:
        """A whole reply of any status; never raises for what a provider may send."""
        if reply.status != 200:
            return classify(reply)
        try:
            response = read_response(reply.body)
            if response.error is not None:
                return classify_in_band(response.error)
            if response.candidates is None and response.prompt_feedback is None:
                return classify(reply)
            gathering = Gathering()
            gathering.add(response, reply.body)
        except UNREADABLE:
            return classify(reply)
        except TooMany:
            return failure(FailureKind.MALFORMED, "too_many_parts")
        return gathering.answer(FailureKind.MALFORMED)

    def decode_stream(self) -> StreamDecoder:
        """A fresh decoder for one streamed call whose status was 200."""
        return GeminiStreamDecoder(self.decode)

    def classify(self, reply: WireReply) -> Failure:
        """The failure that an error reply means, by the reason in its details, status word and status."""
        return classify(reply)


def path_of(upstream: str, *, is_stream: bool) -> str:
    """Where a model's requests go; a name without a resource is one of `models/`.

    >>> path_of("gemini-2.5-flash", is_stream=True)
    '/models/gemini-2.5-flash:streamGenerateContent?alt=sse'
    """
    name = quote(upstream if upstream.startswith(RESOURCES) else f"models/{upstream}", safe="/@:.-_~")
    return f"/{name}:streamGenerateContent?alt=sse" if is_stream else f"/{name}:generateContent"
