"""Reads a streamed chat completion: chunks to show, and the whole that polling shows.

An answer is whole when each choice has told how it ended, and `data: [DONE]` or usage came behind that. Neither
official SDK notices a stream that breaks off, and gateways have sold cut answers as finished for that reason.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from jobs.chat import Answer, Usage
from jobs.failures import Failure, FailureKind
from routing.dialects.base import Delta, WireReply
from routing.dialects.counts import Report, latest
from routing.dialects.endings import end_fault, told_end
from routing.dialects.errors import UNREADABLE, failure
from routing.dialects.openai_clean import known_head, strange_parts
from routing.dialects.openai_errors import classify_in_band
from routing.dialects.openai_face import is_official_chunk
from routing.dialects.openai_parts import Added, ChoiceDelta, ChoiceReader
from routing.dialects.openai_shape import judged_finish
from routing.dialects.openai_usage import is_odd, read_usage, shown_usage, untold
from routing.dialects.sse import Event, EventReader, Oversized
from routing.dialects.stream_writer import EMPTY_HEAD, StreamWriter, TooMany

DONE = b"[DONE]"


class Chunk(msgspec.Struct, frozen=True):
    """A chat.completion.chunk, leniently."""

    id: Any = None
    created: Any = None
    model: Any = None
    system_fingerprint: Any = None
    service_tier: Any = None
    choices: list[ChoiceDelta] | None = None
    usage: Any = None
    x_groq: Any = None
    error: Any = None


_chunk = msgspec.json.Decoder(Chunk)


class OpenAIStreamDecoder:
    """One streamed call: `feed` bytes as they come, `end` and `finish` once. Never raises for what a provider may send.

    A provider that ignores `stream` and answers with one JSON body is read as such (`decode_whole`). `accent` is its
    name, whose codes of errors go first. `has_done` is False for a provider that never sends `[DONE]`: there the
    finish reasons are the end.
    """

    def __init__(
        self, decode_whole: Callable[[WireReply], Answer | Failure], *, accent: str = "", has_done: bool = True
    ) -> None:
        self._decode_whole = decode_whole
        self._accent = accent
        self._has_done = has_done
        self._reader = EventReader()
        self._plain: list[bytes] | None = None
        self._is_settled = False
        """Whether the first byte that is no blank has told a stream from a plain body."""
        self._failure: Failure | None = None
        self._is_done = False
        self._has_late_usage = False
        """Usage came with the last finish reason, or behind it."""
        self._writer = StreamWriter()
        self._readers: list[ChoiceReader] = []
        self._usage: Report | None = None
        self._late: list[Delta] = []
        """Chunks of an event that only the end of the body completed."""
        self._outcome: Answer | Failure | None = None

    def feed(self, data: bytes) -> list[Delta]:
        """The chunks that these bytes complete. What is told once at the end is held back for `end`."""
        if not self._is_settled and (start := data.lstrip()):
            self._is_settled = True
            self._plain = [] if start.startswith(b"{") else None
        if self._plain is not None:
            self._plain.append(data)
            return []
        return [delta for event in self._reader.feed(data) for delta in self._take(event)]

    def end(self) -> list[Delta]:
        """The body ended: the chunks that end the answer; none when it is not whole."""
        outcome = self.finish()
        if self._plain is not None or isinstance(outcome, Failure):
            return []
        return [*self._late, *self._writer.closing(self._shown_usage(read_usage(self._usage)))]

    def finish(self) -> Answer | Failure:
        """The whole answer, or a failure (truncated, malformed, an in-band error)."""
        if self._outcome is None:
            self._outcome = self._judge()
        return self._outcome

    def _judge(self) -> Answer | Failure:
        if self._plain is not None:
            return self._decode_whole(WireReply(status=200, headers={}, body=b"".join(self._plain)))
        last = self._reader.flush()
        if last is not None and (last.data.strip() == DONE or _read(last.data) is not None):
            self._late = self._take(last)  # whole, though the blank line behind it is missing
        broken = self._failure or self._end_fault()
        return self._answer() if broken is None else broken

    def _end_fault(self) -> Failure | None:
        if not self._readers:
            return failure(FailureKind.TRUNCATED, "no_finish_reason")
        for reader in self._readers:
            if (broken := end_fault(reader.end_word)) is not None:
                return broken
            if not reader.is_whole:
                return failure(FailureKind.MALFORMED, "tool_call_without_name")
        if self._is_done or self._has_late_usage or not self._has_done:
            return None
        return failure(FailureKind.TRUNCATED, "no_done")

    def _take(self, event: Event | Oversized) -> list[Delta]:
        if self._is_done or self._failure is not None:
            return []
        if isinstance(event, Oversized):
            self._failure = failure(FailureKind.MALFORMED, "event_too_large")
            return []
        if event.data.strip() == DONE:
            self._is_done = True
            return []
        try:
            event.data.decode()  # msgspec does not check the UTF-8 of fields that it skips
            chunk = _chunk.decode(event.data)
            if chunk.error is None and event.name != "error":
                return self._add(chunk, event.data)
            self._failure = classify_in_band(_read(event.data) if chunk.error is None else chunk.error, self._accent)
        except UNREADABLE:
            self._failure = failure(FailureKind.MALFORMED, "bad_chunk")
        except TooMany:
            self._failure = failure(FailureKind.MALFORMED, "too_many_parts")
        return []

    def _add(self, chunk: Chunk, data: bytes) -> list[Delta]:
        # An event of several data lines is JSON with line ends: legal here, but it would break the event it is sent in.
        line = msgspec.json.format(data, indent=-1) if b"\n" in data else data
        is_official = is_official_chunk(line)
        if not is_official:
            self._note_strange(line)
        self._take_head(chunk)
        added = []
        for piece in chunk.choices or ():
            if piece.error is not None:
                self._failure = classify_in_band(piece.error, self._accent)
                return []
            reader = self._reader_of(piece.index)
            is_open = self._writer.is_open(reader.choice.index)
            added.append((reader, reader.add(piece, is_open=is_open)))
        self._take_usage(chunk)
        return self._shown(added, line, is_official=is_official and self._is_plain(chunk))

    def _shown(self, added: list[tuple[ChoiceReader, Added]], line: bytes, *, is_official: bool) -> list[Delta]:
        """What was added, in the provider's own bytes where these say just that."""
        if is_official and len(added) == 1 and added[0][1].is_same:
            reader, one = added[0]
            index = reader.choice.index
            is_opened_alone = self._writer.is_next(index) and one.tokens is None
            if self._writer.is_open(index) or is_opened_alone:
                reader.written(one.delta)
                return [self._writer.passed(line, [index], has_content=moves(one.delta))]
        deltas = []
        for reader, one in added:
            if self._is_worth_showing(one):
                reader.written(one.delta)
                deltas += self._writer.write(reader.choice, one.delta, one.tokens, has_content=moves(one.delta))
        return deltas

    def _is_worth_showing(self, one: Added) -> bool:
        """Whether to write a chunk now: not for nothing, and not before the head is known while it says nothing."""
        if one.tokens is not None or (one.delta and one.delta != SAYS_NOTHING):
            return True
        return bool(one.delta and (self._writer.is_begun or self._writer.head["id"]))

    def _reader_of(self, index: Any) -> ChoiceReader:
        choice = self._writer.choice(index if isinstance(index, int) else 0)
        while len(self._readers) < len(self._writer.choices):
            self._readers.append(ChoiceReader(self._writer.choices[len(self._readers)]))
        return self._readers[choice.index]

    def _take_head(self, chunk: Chunk) -> None:
        """The head is that of the first chunk that has one; Azure's first chunk has an empty one."""
        if self._writer.is_begun:
            # Too late for the head: the chunks so far were without it.
            late = {
                name: part for name in LATE if (part := getattr(chunk, name)) and part != self._writer.head.get(name)
            }
            if late:
                self._writer.note(known_head(late))
            return
        told = known_head({name: getattr(chunk, name) for name in HEAD_FIELDS})
        self._writer.head = EMPTY_HEAD | told | {name: part for name, part in self._writer.head.items() if part}

    def _is_plain(self, chunk: Chunk) -> bool:
        """Whether the chunk has the answer's own head and no usage."""
        head = self._writer.head
        return chunk.usage is None and all(getattr(chunk, name) == head.get(name) for name in HEAD_FIELDS)

    def _take_usage(self, chunk: Chunk) -> None:
        usage = chunk.usage or (chunk.x_groq.get("usage") if isinstance(chunk.x_groq, Mapping) else None)
        if usage is not None:
            self._usage = latest(self._usage, usage)
            self._has_late_usage = bool(self._readers) and all(reader.end_word for reader in self._readers)

    def _note_strange(self, line: bytes) -> None:
        """Keep what the official types have no place for."""
        read = _read(line)
        if isinstance(read, Mapping):
            self._writer.note(strange_parts(read))

    def _answer(self) -> Answer:
        for reader in self._readers:
            reader.close()
            self._writer.note_choice(reader.choice.index, reader.strange_lists())
            word = str(reader.end_word or "")
            ended = told_end(word, is_blank=reader.choice.says_nothing())
            reader.choice.end = ended.official
            if ended.official != word:
                self._writer.note_choice(reader.choice.index, {"finish_reason": word})
        usage = read_usage(self._usage)
        first = self._readers[0]
        answer = self._writer.answer(usage, self._shown_usage(usage), is_odd=is_odd(self._usage, usage))
        return msgspec.structs.replace(
            answer,
            finish_reason=judged_finish(answer.finish_reason, has_refusal=answer.has_refusal),
            logprobs=first.token_logprobs,
        )

    def _shown_usage(self, usage: Usage | None) -> dict[str, Any] | None:
        """`usage` as it is shown; what it leaves out of the provider's report goes to `provider_fields`."""
        shown = None if usage is None or usage.total_tokens is None else shown_usage(usage, self._usage or {})
        if rest := untold(self._usage, shown):
            self._writer.extras["usage"] = rest
        return shown


HEAD_FIELDS = ("id", "created", "model", "system_fingerprint", "service_tier")
SAYS_NOTHING = {"content": ""}
"""The delta with which many streams begin."""
LATE = ("system_fingerprint", "service_tier")


def moves(delta: Mapping[str, Any]) -> bool:
    """Whether a delta brings text, thoughts, sound or a part of a call: it moves the token clock."""
    for name, part in delta.items():
        if name == "tool_calls":
            if any(_call_moves(call) for call in part):
                return True
        elif name == "audio":
            if part.get("data") or part.get("transcript"):
                return True
        elif name != "role" and part:
            return True
    return False


def _call_moves(call: Mapping[str, Any]) -> bool:
    return any(call.get("function", call.get("custom", {})).values())


def _read(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except UNREADABLE:
        return None
