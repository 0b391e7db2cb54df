"""The parts of a GenerateContentResponse that decisions need, read leniently: extras ignored, nonsense unknown."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

import msgspec

from jobs.chat import Usage
from jobs.failures import Failure, FailureKind
from routing.dialects.completions import RAW_FINISH, Said, SaidCall, TokenLogprob, encrypted_detail, text_detail
from routing.dialects.errors import failure
from routing.dialects.gemini_parts import THOUGHTS, signed
from routing.dialects.names import unescaped

MAX_TOKENS = 2_000_000_000
"""More than any call can hold; a larger count is nonsense and would not fit the ledger's integers."""

FINISH = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
"""OpenAI's word for the SDK's `FinishReason`; an unknown one counts as `stop`, and its word is kept."""
BROKEN: dict[str, FailureKind] = {
    "MALFORMED_FUNCTION_CALL": FailureKind.INVALID_ANSWER,
    "UNEXPECTED_TOOL_CALL": FailureKind.INVALID_ANSWER,
    "TOO_MANY_TOOL_CALLS": FailureKind.INVALID_ANSWER,
    "MALFORMED_RESPONSE": FailureKind.MALFORMED,
    "MISSING_THOUGHT_SIGNATURE": FailureKind.BAD_REQUEST,
}
"""Finish reasons that say there is no answer."""
_SAYS_ALL = frozenset({"STOP", "MAX_TOKENS"})
"""Reasons that OpenAI's word tells in full."""


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


class Content(msgspec.Struct, frozen=True):
    """What a candidate says; without parts when all tokens went into thoughts."""

    parts: list[Part] | None = None


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

    candidates: list[Candidate] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: dict[str, Any] | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: Any = None


_response = msgspec.json.Decoder(Response)


def read_response(body: bytes) -> Response:
    """Raises one of `errors.UNREADABLE` when the body is no response in UTF-8."""
    body.decode()  # msgspec does not check the UTF-8 of fields that it skips
    return _response.decode(body)


def read_usage(usage: Mapping[str, Any] | None) -> Usage | None:
    """Tokens as billed; None when missing, negative, or no whole numbers.

    The wire leaves out what is 0, and its total is prompt + tools' results + candidates + thoughts (wire-formats 2.7).
    So a missing count is 0 where the total agrees, and what the total has beyond the parts counts as output.
    """
    if usage is None:
        return None
    prompt, total, said = (usage.get(f"{key}TokenCount") for key in ("prompt", "total", "candidates"))
    tools, thoughts, cached = (
        usage.get(f"{key}TokenCount", 0) for key in ("toolUsePrompt", "thoughts", "cachedContent")
    )
    if not all(_is_count(count) for count in (prompt, tools, thoughts, cached)) or (said is None and total is None):
        return None
    if not _is_count(said or 0) or not (total is None or _is_count(total)):
        return None
    read, made = prompt + tools, (said or 0) + thoughts
    if total is not None:
        made = max(made, total - read)
    return Usage(
        input_tokens=read,
        output_tokens=made,
        cached_tokens=min(cached, read),
        reasoning_tokens=min(thoughts, made),
        audio_input_tokens=min(_sound(usage.get("promptTokensDetails")), read),
        audio_output_tokens=min(_sound(usage.get("candidatesTokensDetails")), made),
    )


def _sound(details: Any) -> int:
    counts = (
        detail.get("tokenCount")
        for detail in (details if isinstance(details, list) else ())
        if isinstance(detail, Mapping) and detail.get("modality") == "AUDIO"
    )
    return sum(count for count in counts if _is_count(count))


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TOKENS


class Gathered:
    """A candidate in the making: its parts and log-probabilities so far, and how it ended."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.finish: str | None = None
        self.logprobs: list[TokenLogprob] = []
        self.has_all_logprobs = True
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._details: list[dict[str, Any]] = []
        self._calls: list[SaidCall] = []

    def add(self, part: Part, response_id: str) -> dict[str, Any] | None:
        """Take a part; what it adds to the message as a delta, None when that is nothing."""
        if part.function_call is not None:
            return self._call(part.function_call, part.thought_signature, response_id)
        delta: dict[str, Any] = {}
        if part.text:
            told = self._thoughts if part.thought else self._texts
            told.append(part.text)
            delta["reasoning_content" if part.thought else "content"] = part.text
        if part.thought_signature:
            text = part.text if part.thought else None
            detail = self._signature(part.thought_signature, text)
            self._details.append(detail)
            delta["reasoning_details"] = [detail]
        return delta or None

    def _signature(self, signature: str, thought: str | None) -> dict[str, Any]:
        index = len(self._details)
        if thought is None:
            return encrypted_detail(signature, THOUGHTS, index)
        return text_detail(thought, signature, THOUGHTS, index)

    def _call(self, call: FunctionCall, signature: str | None, response_id: str) -> dict[str, Any]:
        place = len(self._calls)
        # Models before 3 give no ids; callers need one that no other answer uses.
        named = call.id or f"call_{response_id or 'gemini'}_{self.index}_{place}"
        extra = signed(signature) if signature else None
        said = SaidCall(named, unescaped(call.name or ""), bytes(call.args).decode(), extra)
        self._calls.append(said)
        return {"tool_calls": [{"index": place, **said.shown()}]}

    def add_logprobs(self, result: Any) -> tuple[TokenLogprob, ...] | None:
        """Take a `logprobsResult`; what it holds, None when it holds none."""
        if result is None:
            return None
        read = read_logprobs(result)
        self.has_all_logprobs &= read is not None
        self.logprobs += read or ()
        return read

    @property
    def fault(self) -> Failure | None:
        """Why this is no answer; None when it is one."""
        if self.finish is None:
            return failure(FailureKind.TRUNCATED, "no_finish_reason")
        if self.finish in BROKEN:
            return failure(BROKEN[self.finish], self.finish.lower())
        if any(not call.name for call in self._calls):
            return failure(FailureKind.MALFORMED, "tool_call_without_name")
        return None

    @property
    def said(self) -> Said:
        """The message."""
        return Said(
            text="".join(self._texts),
            calls=tuple(self._calls),
            reasoning="".join(self._thoughts),
            details=tuple(self._details),
            logprobs=tuple(self.logprobs) if self.logprobs and self.has_all_logprobs else None,
        )

    @property
    def finish_reason(self) -> str:
        """OpenAI's word. The wire says STOP also where functions are called."""
        word = FINISH.get(self.finish or "", "stop")
        return "tool_calls" if word == "stop" and self._calls else word


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


def kept_fields(candidates: Iterable[Gathered], feedback: PromptFeedback | None) -> dict[str, Any]:
    """For `provider_fields`: what OpenAI's words leave unsaid."""
    fields: dict[str, Any] = {}
    unsaid = [gathered.finish for gathered in candidates if gathered.finish not in _SAYS_ALL]
    if unsaid:
        fields[RAW_FINISH] = unsaid[0] if len(unsaid) == 1 else unsaid
    if feedback is not None and feedback.block_reason is not None:
        fields["block_reason"] = feedback.block_reason
    return fields
