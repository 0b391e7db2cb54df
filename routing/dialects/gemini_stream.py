"""Reads a streamed Gemini answer: OpenAI chunks as it goes, and the whole answer at its end.

Each event is a GenerateContentResponse with more parts, whole calls among them. The finish reason of every candidate is
the terminal marker: without it the answer is truncated. Usage is cumulative: each event's replaces the one before.
"""

from collections.abc import Callable

import msgspec

from jobs.chat import Answer
from jobs.failures import Failure, FailureKind
from routing.dialects.base import Delta, WireReply
from routing.dialects.completions import shown_usage
from routing.dialects.counts import Report, latest
from routing.dialects.errors import UNREADABLE, failure
from routing.dialects.gemini_errors import classify_in_band
from routing.dialects.gemini_shape import (
    READ,
    READ_OF_CANDIDATE,
    CandidateReader,
    PromptFeedback,
    Response,
    read_candidate,
    read_response,
    strange,
)
from routing.dialects.gemini_usage import is_odd, read_usage
from routing.dialects.sse import Event, EventReader, Oversized
from routing.dialects.stream_writer import Body, StreamWriter, TooMany


class GeminiStreamDecoder:
    """One streamed call: `feed` bytes as they come, `end` and `finish` once. Never raises for what a provider may send.

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
        self._late: list[Delta] = []
        """Chunks of an event that only the end of the body completed."""
        self._outcome: Answer | Failure | None = None

    def feed(self, data: bytes) -> list[Delta]:
        """The chunks that these bytes complete. What is told once at the end is held back for `end`."""
        if not self._is_settled and (start := data.lstrip()):
            self._is_settled = True
            self._plain = [] if start.startswith((b"{", b"[")) else None
        if self._plain is not None:
            self._plain.append(data)
            return []
        return [delta for event in self._reader.feed(data) for delta in self._take(event)]

    def end(self) -> list[Delta]:
        """The body ended: the chunks that end the answer; none when it is not whole."""
        outcome = self.finish()
        if self._plain is not None or isinstance(outcome, Failure):
            return []
        return [*self._late, *self._gathering.writer.closing(shown_usage(outcome.usage))]

    def finish(self) -> Answer | Failure:
        """The whole answer, or a failure (truncated without a finish reason, an in-band error)."""
        if self._outcome is None:
            self._outcome = self._judge()
        return self._outcome

    def _judge(self) -> Answer | Failure:
        if self._plain is not None:
            return self._decode_whole(WireReply(status=200, headers={}, body=b"".join(self._plain)))
        last = self._reader.flush()
        if last is not None:
            self._late = self._take(last)
        return self._failure or self._gathering.answer(FailureKind.TRUNCATED)

    def _take(self, event: Event | Oversized) -> list[Delta]:
        if self._failure is not None:
            return []
        if isinstance(event, Oversized):
            self._failure = failure(FailureKind.MALFORMED, "event_too_large")
            return []
        try:
            response = read_response(event.data)
            if response.error is not None:
                self._failure = classify_in_band(response.error)
                return []
            return self._gathering.add(response, event.data)
        except UNREADABLE:
            self._failure = failure(FailureKind.MALFORMED, "bad_event")
        except TooMany:
            self._failure = failure(FailureKind.MALFORMED, "too_many_parts")
        return []


class Gathering:
    """Responses put together: the events of a stream, or the only one of a whole reply."""

    def __init__(self) -> None:
        self.writer = StreamWriter()
        self._readers: list[CandidateReader] = []
        self._usage: Report | None = None
        self._feedback: PromptFeedback | None = None

    def add(self, response: Response, raw: bytes) -> list[Delta]:
        """Take a response; what it adds, as chunks. Raises one of `errors.UNREADABLE`, stream_writer.TooMany."""
        self._usage = latest(self._usage, response.usage_metadata)
        if response.prompt_feedback is not None and response.prompt_feedback.block_reason is not None:
            self._feedback = response.prompt_feedback
        if not self.writer.is_begun:
            self._take_head(response)
        self.writer.note(strange(raw, READ))
        return [delta for candidate in response.candidates or () for delta in self._said(candidate)]

    def answer(self, when_empty: FailureKind) -> Answer | Failure:
        """All of it; the failure `when_empty` when there was neither an answer nor a reason for none."""
        if not self._readers and self._feedback is None:
            return failure(when_empty, "no_candidates")
        if not self._readers:
            self._block()
        fault = next((reader.fault for reader in self._readers if reader.fault is not None), None)
        if fault is not None:
            return fault
        unsaid = [word for reader in self._readers if (word := reader.settle()) is not None]
        for reader in self._readers:
            self.writer.note_choice(
                reader.choice.index, {"parts": reader.strange_parts} if reader.strange_parts else {}
            )
        if unsaid:
            self.writer.note({"finish_reason": unsaid[0] if len(unsaid) == 1 else unsaid})
        if self._feedback is not None:
            self.writer.note({"block_reason": self._feedback.block_reason})
        return self._whole()

    def _whole(self) -> Answer:
        usage = read_usage(self._usage)
        odd = is_odd(self._usage, usage)
        if odd:
            self.writer.note({"usageMetadata": self._usage})
        answer = self.writer.answer(usage, shown_usage(usage), is_odd=odd)
        first = self._readers[0]
        known = tuple(first.logprobs) if first.logprobs and first.has_all_logprobs else None
        return msgspec.structs.replace(answer, logprobs=known)

    def _take_head(self, response: Response) -> None:
        told = {"id": response.response_id or "", "created": 0, "model": response.model_version or ""}
        self.writer.head = {name: self.writer.head.get(name) or part for name, part in told.items()}

    def _said(self, raw: msgspec.Raw) -> list[Delta]:
        candidate = read_candidate(raw)
        index = candidate.index if candidate.index is not None and candidate.index >= 0 else 0
        choice = self.writer.choice(index)
        while len(self._readers) < len(self.writer.choices):
            self._readers.append(CandidateReader(self.writer.choices[len(self._readers)]))
        reader = self._readers[index]
        tokens = reader.take_logprobs(candidate.logprobs_result)
        deltas: list[Delta] = []
        for part in (candidate.content.parts if candidate.content is not None else None) or ():
            delta = reader.add(part, self.writer.head["id"])
            # Log-probabilities stand beside the text that they are of.
            beside = tokens if "content" in delta else None
            deltas += self._written(choice.index, delta, beside)
            tokens = None if beside is not None else tokens
        if tokens is not None:
            deltas += self._written(choice.index, {}, tokens)
        if candidate.finish_reason and reader.finish is None:
            reader.finish = candidate.finish_reason
        self.writer.note_choice(index, strange(raw, READ_OF_CANDIDATE))
        return deltas

    def _written(self, index: int, delta: Body, tokens: Body | None) -> list[Delta]:
        if not delta and tokens is None:
            return []
        return self.writer.write(self.writer.choices[index], delta, tokens, has_content=bool(delta))

    def _block(self) -> None:
        """The prompt was refused, which OpenAI says as an empty answer that was filtered."""
        reader = CandidateReader(self.writer.choice(0))
        reader.finish = "content_filter"
        self._readers.append(reader)
