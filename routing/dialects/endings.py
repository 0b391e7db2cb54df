"""How answers end: every maker's word for it, and OpenAI's word for the same. One table for all wires.

OpenAI knows `stop`, `length`, `content_filter`, `tool_calls` (and the older `function_call`). A cut answer must never
be told as `stop`, since whoever reads `stop` takes the answer for whole.
"""

from collections.abc import Mapping
from typing import NamedTuple

from jobs.failures import Failure, FailureKind
from routing.dialects.errors import failure

OPENAI = "platform.openai.com/docs/api-reference/chat/object, openai 3.54 types"
ANTHROPIC = "anthropic 2.12 types: StopReason, BetaStopReason"
GEMINI = "google-genai 3.4 types: FinishReason"
MISTRAL = "docs.mistral.ai/api, FinishReasonEnum"
ZAI = "docs.z.ai/api-reference/llm/chat-completion"
DEEPSEEK = "api-docs.deepseek.com/api/create-chat-completion"
VLLM = "vllm v1/engine FinishReason; sglang io_struct finish types"
OPENROUTER = "openrouter.ai/docs/api-reference/overview"
COHERE = "docs.cohere.com/v2/reference/chat, ChatFinishReason"
TGI = "huggingface text-generation-inference, FinishReason"
BEDROCK = "docs.aws.amazon.com/bedrock Converse, StopReason"
WATSONX = "cloud.ibm.com/apidocs/watsonx-ai, stop_reason"


class Word(NamedTuple):
    """What a maker's word means."""

    official: str | None
    """OpenAI's word; None: there is no answer, see `fault`."""
    source: str
    fault: FailureKind | None = None
    says_all: bool = True
    """OpenAI's word tells as much; otherwise the maker's own is kept beside it."""
    is_sure: bool = True
    """The word tells whether the answer is whole."""


WORDS: Mapping[str, Word] = {
    "stop": Word("stop", OPENAI),
    "length": Word("length", OPENAI),
    "content_filter": Word("content_filter", OPENAI),
    "tool_calls": Word("tool_calls", OPENAI),
    "function_call": Word("function_call", OPENAI),
    "end_turn": Word("stop", ANTHROPIC),
    "stop_sequence": Word("stop", ANTHROPIC, says_all=False),
    # The provider paused its own tools; what it said until then is all there is, and it is not the end.
    "pause_turn": Word("length", ANTHROPIC, says_all=False),
    "compaction": Word("length", ANTHROPIC, says_all=False),
    "max_tokens": Word("length", ANTHROPIC),
    "model_context_window_exceeded": Word("length", ANTHROPIC, says_all=False),
    "tool_use": Word("tool_calls", ANTHROPIC),
    "refusal": Word("content_filter", ANTHROPIC),
    "safety": Word("content_filter", GEMINI, says_all=False),
    "recitation": Word("content_filter", GEMINI, says_all=False),
    "language": Word("content_filter", GEMINI, says_all=False),
    "blocklist": Word("content_filter", GEMINI, says_all=False),
    "prohibited_content": Word("content_filter", GEMINI, says_all=False),
    "spii": Word("content_filter", GEMINI, says_all=False),
    "model_armor": Word("content_filter", GEMINI, says_all=False),
    "escalation": Word("content_filter", GEMINI, says_all=False),
    "pup_limited_disabled": Word("content_filter", GEMINI, says_all=False),
    "image_safety": Word("content_filter", GEMINI, says_all=False),
    "image_prohibited_content": Word("content_filter", GEMINI, says_all=False),
    "image_recitation": Word("content_filter", GEMINI, says_all=False),
    "continuation": Word("length", GEMINI, says_all=False),
    "other": Word("length", GEMINI, says_all=False, is_sure=False),
    "image_other": Word("length", GEMINI, says_all=False, is_sure=False),
    "no_image": Word("length", GEMINI, says_all=False, is_sure=False),
    "finish_reason_unspecified": Word("length", GEMINI, says_all=False, is_sure=False),
    "malformed_function_call": Word(None, GEMINI, FailureKind.INVALID_ANSWER),
    "unexpected_tool_call": Word(None, GEMINI, FailureKind.INVALID_ANSWER),
    "too_many_tool_calls": Word(None, GEMINI, FailureKind.INVALID_ANSWER),
    "malformed_response": Word(None, GEMINI, FailureKind.MALFORMED),
    "missing_thought_signature": Word(None, GEMINI, FailureKind.BAD_REQUEST),
    "model_length": Word("length", MISTRAL, says_all=False),
    "sensitive": Word("content_filter", ZAI, says_all=False),
    "network_error": Word(None, ZAI, FailureKind.TRANSIENT),
    "insufficient_system_resource": Word(None, DEEPSEEK, FailureKind.OVERLOADED),
    "abort": Word(None, VLLM, FailureKind.TRANSIENT),
    "error": Word(None, OPENROUTER, FailureKind.TRANSIENT),
    "complete": Word("stop", COHERE),
    "error_toxic": Word("content_filter", COHERE, says_all=False),
    "error_limit": Word("length", COHERE, says_all=False),
    "user_cancel": Word(None, COHERE, FailureKind.TRANSIENT),
    "timeout": Word(None, COHERE, FailureKind.TRANSIENT),
    "tool_call": Word("tool_calls", COHERE),
    "eos_token": Word("stop", TGI),
    "eos": Word("stop", "docs.together.ai/reference/chat-completions-1"),
    "guardrail_intervened": Word("content_filter", BEDROCK, says_all=False),
    "content_filtered": Word("content_filter", BEDROCK, says_all=False),
    "malformed_model_output": Word(None, BEDROCK, FailureKind.MALFORMED),
    "malformed_tool_use": Word(None, BEDROCK, FailureKind.INVALID_ANSWER),
    "not_finished": Word("length", WATSONX, says_all=False),
    "token_limit": Word("length", WATSONX, says_all=False),
    "time_limit": Word("length", WATSONX, says_all=False),
    "cancelled": Word(None, WATSONX, FailureKind.TRANSIENT),
    "max_length": Word("length", "replicate.com and predibase, finish_reason"),
    "incomplete": Word("length", "platform.openai.com/docs/api-reference/responses, status", says_all=False),
    "max_output_tokens": Word("length", "the same, incomplete_details.reason"),
}
"""By the word in lower case: `MAX_TOKENS` (Gemini) and `max_tokens` (Claude) differ in their case alone."""

UNKNOWN = Word("length", "no table has it: nobody knows whether the answer is whole", says_all=False, is_sure=False)
_SILENT = frozenset({"", "null", "none"})
"""What some servers write in place of null, in the pieces before the last (xAI, some gateways)."""


def spoken(word: object) -> str | None:
    """The word as the table has it; None for what says that the answer goes on."""
    if not isinstance(word, str):
        return None
    lower = word.strip().lower()
    return None if lower in _SILENT else lower


def meaning(word: str) -> Word:
    """What a word means; a word that no table has never hides that an answer may be cut.

    >>> meaning("MAX_TOKENS").official, meaning("so long").official
    ('length', 'length')
    """
    return WORDS.get(word.strip().lower(), UNKNOWN)


class End(NamedTuple):
    """How an answer is told to have ended."""

    official: str
    """OpenAI's word."""
    own: str | None
    """The maker's word, where OpenAI's says less."""


def told_end(word: str, *, is_blank: bool = False) -> End:
    """How an answer that is one (`end_fault`) is told to have ended.

    One that says nothing, ended by a word of which nobody knows what it means, is an empty answer and not a cut one.

    >>> told_end("MAX_TOKENS"), told_end("OTHER", is_blank=True)
    (End(official='length', own=None), End(official='stop', own='OTHER'))
    """
    known = meaning(word)
    own = None if known.says_all else word
    if is_blank and not known.is_sure:
        return End("stop", own)
    return End(known.official or "stop", own)


def end_fault(word: object) -> Failure | None:
    """The failure that an ending means; None for an answer. An answer without any is truncated."""
    said = spoken(word)
    if said is None:
        return failure(FailureKind.TRUNCATED, "no_finish_reason")
    kind = meaning(said).fault
    return None if kind is None else failure(kind, said if said in WORDS else None)
