"""The parts of a GenerateContentResponse that decisions need, read leniently: extras kept apart, nonsense unknown."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

import msgspec

from jobs.failures import Failure, FailureKind
from routing.dialects.completions import TokenLogprob, encrypted_detail, text_detail
from routing.dialects.endings import end_fault, told_end
from routing.dialects.errors import failure
from routing.dialects.gemini_media import Sound, media_of
from routing.dialects.gemini_parts import THOUGHTS, signed
from routing.dialects.names import unescaped
from routing.dialects.stream_writer import Body, Choice


class FunctionCall(msgspec.Struct, frozen=True):
    """A call; the arguments as the provider's bytes have them."""

    name: str | None = None
    id: str | None = None
    args: msgspec.Raw = msgspec.Raw(b"{}")


class Part(msgspec.Struct, frozen=True, rename="camel"):
    """A part of the answer, of any kind."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None
    inline_data: Any = None
    file_data: Any = None


class Content(msgspec.Struct, frozen=True):
    """What a candidate says; without parts when all tokens went into thoughts."""

    parts: list[msgspec.Raw] | None = None


class Candidate(msgspec.Struct, frozen=True, rename="camel"):
    """One answer, or a piece of one."""

    index: int | None = None
    content: Content | None = None
    finish_reason: str | None = None
    logprobs_result: Any = None


class PromptFeedback(msgspec.Struct, frozen=True, rename="camel"):
    """Why the prompt got no answer."""

    block_reason: str | None = None


class Response(msgspec.Struct, frozen=True, rename="camel"):
    """A whole reply, or one event of a stream."""

    candidates: list[msgspec.Raw] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: dict[str, Any] | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: Any = None


READ = frozenset({"candidates", "promptFeedback", "usageMetadata", "modelVersion", "responseId", "error"})
"""Fields of a response that are read; others are kept for `provider_fields`."""
READ_OF_CANDIDATE = frozenset({"index", "content", "finishReason", "logprobsResult"})
READ_OF_PART = frozenset({"text", "thought", "thoughtSignature", "functionCall", "inlineData", "fileData"})

_response = msgspec.json.Decoder(Response)
_candidate = msgspec.json.Decoder(Candidate)
_part = msgspec.json.Decoder(Part)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_response(body: bytes) -> Response:
    """Raises one of `errors.UNREADABLE` when the body is no response in UTF-8."""
    body.decode()  # msgspec does not check the UTF-8 of fields that it skips
    return _response.decode(body)


def read_candidate(raw: msgspec.Raw) -> Candidate:
    """Raises one of `errors.UNREADABLE` for what is no candidate."""
    return _candidate.decode(raw)


def strange(raw: bytes | msgspec.Raw, read: frozenset[str]) -> Body:
    """The fields of an object that nothing here reads, for `provider_fields`. Raises one of `errors.UNREADABLE`."""
    return {name: msgspec.json.decode(part) for name, part in _fields.decode(raw).items() if name not in read}


class CandidateReader:
    """Reads the parts of one candidate into what is written of it."""

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self.finish: str | None = None
        self.strange_parts: list[Any] = []
        """Parts of kinds that OpenAI's shape has no place for: code that ran, its results, other media."""
        self.has_all_logprobs = True
        self.logprobs: list[float] = []
        self._sound = Sound()

    def add(self, raw: msgspec.Raw, response_id: str) -> Body:
        """Take a part; what it adds to the message, as a delta. Raises `errors.UNREADABLE`, stream_writer.TooMany."""
        part = _part.decode(raw)
        if part.function_call is not None:
            return self._call(part.function_call, part.thought_signature, response_id)
        delta: Body = {}
        if part.text:
            delta |= self.choice.say("reasoning_content" if part.thought else "content", part.text)
        if part.thought_signature:
            detail = self._signature(part.thought_signature, part.text if part.thought else None)
            self.choice.keep("reasoning_details", [detail])
        if part.inline_data is not None or part.file_data is not None:
            delta |= self._media(part, raw, response_id)
        elif rest := strange(raw, READ_OF_PART):
            self.strange_parts.append(rest)
        return delta

    def take_logprobs(self, result: Any) -> Body | None:
        """Take a `logprobsResult`; its tokens in OpenAI's shape, None when it holds none."""
        if result is None:
            return None
        read = read_logprobs(result)
        self.has_all_logprobs &= read is not None
        if not read:
            return None
        shown = [token.shown() for token in read]
        self.logprobs += [token.logprob for token in read]
        self.choice.tokens.setdefault("content", []).extend(shown)
        return {"content": shown, "refusal": None}

    @property
    def fault(self) -> Failure | None:
        """Why this is no answer; None when it is one."""
        if broken := end_fault(self.finish):
            return broken
        if any(not call.name for call in self.choice.calls):
            return failure(FailureKind.MALFORMED, "tool_call_without_name")
        return None

    def settle(self) -> str | None:
        """End the choice; the provider's word for how it ended, where OpenAI's says less."""
        if sound := self._sound.rest():
            self.choice.late = self.choice.hear({"data": sound})
        word = self.finish or ""
        ended = told_end(word, is_blank=self.choice.says_nothing())
        # The wire says STOP also where functions are called.
        self.choice.end = "tool_calls" if ended.official == "stop" and self.choice.calls else ended.official
        return ended.own

    def _signature(self, signature: str, thought: str | None) -> Body:
        index = len(self.choice.lists.get("reasoning_details", ()))
        if thought is None:
            return encrypted_detail(signature, THOUGHTS, index)
        return text_detail(thought, signature, THOUGHTS, index)

    def _call(self, function: FunctionCall, signature: str | None, response_id: str) -> Body:
        call = self.choice.open_call()
        # Models before 3 give no ids; callers need one that no other answer uses.
        named = function.id or f"call_{response_id or 'gemini'}_{self.choice.index}_{call.place}"
        extra = signed(signature) if signature else None
        arguments = bytes(function.args).decode()
        return {"tool_calls": [call.piece(named, unescaped(function.name or ""), arguments, extra)]}

    def _media(self, part: Part, raw: msgspec.Raw, response_id: str) -> Body:
        """A picture, a sound, or what is kept because it is neither."""
        found = media_of(part.inline_data, part.file_data)
        if found.image is not None:
            self.choice.keep("images", [found.image])
            return {}
        if found.sound is None or not self._sound.takes(found.sound):
            self.strange_parts.append(msgspec.json.decode(raw))
            return {}
        data = self._sound.add(found.sound)
        about = {"id": f"audio_{response_id or 'gemini'}_{self.choice.index}", "mime_type": found.sound.mime}
        return self.choice.hear({**about, "expires_at": 0, "transcript": "", "data": data})


def read_logprobs(result: Any) -> tuple[TokenLogprob, ...] | None:
    """The tokens of a `logprobsResult`; None for another shape."""
    chosen = result.get("chosenCandidates") if isinstance(result, Mapping) else None
    tops = result.get("topCandidates") if isinstance(result, Mapping) else None
    if not isinstance(chosen, list):
        return None
    others = [top.get("candidates") if isinstance(top, Mapping) else None for top in tops] if _is_list(tops) else []
    read: list[TokenLogprob] = []
    for place, candidate in enumerate(chosen):
        found = _token(candidate)
        if found is None:
            return None
        listed = others[place] if place < len(others) else None
        read.append(TokenLogprob(*found, tuple(_tokens(listed if _is_list(listed) else ()))))
    return tuple(read)


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _tokens(candidates: Iterable[Any]) -> Iterable[tuple[str, float]]:
    return (found for candidate in candidates if (found := _token(candidate)) is not None)


def _token(candidate: Any) -> tuple[str, float] | None:
    """Token and natural log; a log of 0, a sure token, is left out by the wire."""
    if not isinstance(candidate, Mapping):
        return None
    token, log = candidate.get("token", ""), candidate.get("logProbability", 0.0)
    if not isinstance(token, str) or not isinstance(log, int | float) or isinstance(log, bool) or log > 0:
        return None
    return token, float(log)
