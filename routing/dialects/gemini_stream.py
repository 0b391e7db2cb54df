"""Reads a streamed Gemini answer: OpenAI chunks as it goes, and the whole answer at its end.

Each event is a GenerateContentResponse with more parts, whole calls among them. The finish reason of every candidate is
the terminal marker: without it the answer is truncated. Usage is cumulative: each event's replaces the one before.
"""

from collections.abc import Callable
from typing import Any

from jobs.chat import Answer
from jobs.failures import Failure, FailureKind
from routing.dialects.base import Delta, WireReply
from routing.dialects.completions import (
    Head,
    TokenLogprob,
    chunk,
    completion,
    first_chunk,
    last_chunk,
    usage_chunk,
)
from routing.dialects.errors import UNREADABLE, failure
from routing.dialects.gemini_errors import classify_in_band
from routing.dialects.gemini_shape import (
    BROKEN,
    Candidate,
    Gathered,
    PromptFeedback,
    Response,
    kept_fields,
    read_response,
    read_usage,
)
from routing.dialects.sse import Event, EventReader, Oversized

BLOCKED = "BLOCKED"
"""Stands for the finish reason of an answer that a prompt's block left without candidates."""


class GeminiStreamDecoder:
    """One streamed call: `feed` bytes as they come, then `finish` once. Never raises for what a provider may send.

    A provider that ignores `alt=sse` and answers with one JSON body is read as such (`decode_whole`).
    """

    def __init__(self, decode_whole: Callable[[WireReply], Answer | Failure]) -> None:
        self._decode_whole = decode_whole
        self._reader = EventReader()
        self._plain: list[bytes] | None = None
        self._is_settled = False
        """Whether the first byte that is no blank has told a stream from a plain body."""
        self._gathering = Gathering()
        self._failure: Failure | None = None

    def feed(self, data: bytes) -> list[Delta]:
        """The chunks that these bytes complete."""
        if not self._is_settled and (start := data.lstrip()):
            self._is_settled = True
            self._plain = [] if start.startswith((b"{", b"[")) else None
        if self._plain is not None:
            self._plain.append(data)
            return []
        return [delta for event in self._reader.feed(data) for delta in self._take(event)]

    def finish(self) -> Answer | Failure:
        """The body ended: the whole answer, or a failure (truncated without a finish reason, an in-band error)."""
        if self._plain is not None:
            return self._decode_whole(WireReply(status=200, headers={}, body=b"".join(self._plain)))
        last = self._reader.flush()
        if last is not None:
            self._take(last)
        return self._failure or self._gathering.answer(FailureKind.TRUNCATED)

    def _take(self, event: Event | Oversized) -> list[Delta]:
        if self._failure is not None:
            return []
        if isinstance(event, Oversized):
            self._failure = failure(FailureKind.MALFORMED, "event_too_large")
            return []
        try:
            response = read_response(event.data)
        except UNREADABLE:
            self._failure = failure(FailureKind.MALFORMED, "bad_event")
            return []
        if response.error is not None:
            self._failure = classify_in_band(response.error)
            return []
        return self._gathering.add(response)


class Gathering:
    """Responses put together: the events of a stream, or the only one of a whole reply."""

    def __init__(self) -> None:
        self._head: Head | None = None
        self._candidates: dict[int, Gathered] = {}
        self._usage: dict[str, Any] | None = None
        self._feedback: PromptFeedback | None = None

    def add(self, response: Response) -> list[Delta]:
        """Take a response; what it adds, as chunks."""
        self._usage = response.usage_metadata or self._usage
        if response.prompt_feedback is not None and response.prompt_feedback.block_reason is not None:
            self._feedback = response.prompt_feedback
        if self._head is None:
            self._head = Head(response.response_id or "", response.model_version or "")
        head = self._head
        deltas = [delta for candidate in response.candidates or () for delta in self._said(head, candidate)]
        if self._feedback is not None and not self._candidates:
            deltas += self._blocked(head)
        usage = (
            read_usage(self._usage) if any(candidate.finish_reason for candidate in response.candidates or ()) else None
        )
        return deltas if usage is None else [*deltas, usage_chunk(head, usage)]

    def answer(self, when_empty: FailureKind) -> Answer | Failure:
        """All of it; the failure `when_empty` when there was neither an answer nor a reason for none."""
        gathered = [self._candidates[index] for index in sorted(self._candidates)]
        if self._head is None or not gathered:
            return failure(when_empty, "no_candidates")
        fault = next((candidate.fault for candidate in gathered if candidate.fault is not None), None)
        if fault is not None:
            return fault
        return completion(
            self._head,
            tuple(candidate.said for candidate in gathered),
            tuple("content_filter" if c.finish == BLOCKED else c.finish_reason for c in gathered),
            read_usage(self._usage),
            kept_fields((c for c in gathered if c.finish != BLOCKED), self._feedback),
        )

    def _said(self, head: Head, candidate: Candidate) -> list[Delta]:
        index = candidate.index if candidate.index is not None and candidate.index >= 0 else 0
        gathered = self._candidates.get(index)
        deltas: list[Delta] = []
        if gathered is None:
            gathered = self._candidates[index] = Gathered(index)
            deltas.append(first_chunk(head, index))
        logprobs = gathered.add_logprobs(candidate.logprobs_result)
        for part in (candidate.content.parts if candidate.content is not None else None) or ():
            delta = gathered.add(part, head.id)
            if delta is not None:
                has_text = delta.keys() != {"reasoning_details"}
                deltas.append(chunk(head, delta, index, has_content=has_text, logprobs=_with_text(delta, logprobs)))
                logprobs = None if "content" in delta else logprobs
        if candidate.finish_reason and gathered.finish is None:
            gathered.finish = candidate.finish_reason
            if candidate.finish_reason not in BROKEN:
                deltas.append(last_chunk(head, gathered.finish_reason, index))
        return deltas

    def _blocked(self, head: Head) -> list[Delta]:
        """The prompt was refused, which OpenAI says as an empty answer that was filtered."""
        self._candidates[0] = Gathered(0)
        self._candidates[0].finish = BLOCKED
        return [first_chunk(head), last_chunk(head, "content_filter")]


def _with_text(delta: dict[str, Any], logprobs: tuple[TokenLogprob, ...] | None) -> tuple[TokenLogprob, ...] | None:
    """Log-probabilities stand beside the text that they are of."""
    return logprobs if "content" in delta else None
