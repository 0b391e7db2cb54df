"""How messages begin where a provider gives no code of its own for what it means: one table, each row with its source.

A phrase is looked for at the beginning of the message only, in replies of 4xx, where no code tells more. Where it fails
the status decides, as without it. Nothing of a message is ever shown.
"""

from jobs.failures import FailureKind as Kind
from jobs.failures import Scope
from routing.dialects.error_facts import Fact

REFUSED = frozenset({400, 402, 403, 429})
"""Statuses with which providers say that an account is at fault."""

WINDOWS = (
    Fact(
        kind=Kind.CONTEXT_TOO_LONG,
        phrases=(
            r"(?:this|the) (?:model|endpoint)'s maximum (?:context|prompt) length is [\d,]+",
            r"'max_tokens' or 'max_completion_tokens' is too large: \d+\. this model's maximum context length",
            r"the prompt is \d+ tokens, which exceeds the model's maximum context length",
            r"the (?:decoder )?prompt \((?:total )?length \d+\) is longer than the maximum model length",
        ),
        source="DeepSeek, OpenRouter, xAI and older OpenAI replies, recorded; vllm-project/vllm, renderers and serving",
    ),
    Fact(
        kind=Kind.CONTEXT_TOO_LONG,
        phrases=(
            r"the input \([\d,]+ tokens\) is longer than the model's context length",
            r"requested token count exceeds the model's maximum context length",
            r"input length \(?\d+(?: tokens)?\)? exceeds the (?:model's )?maximum",
        ),
        source="sgl-project/sglang, tokenizer manager; Together, recorded",
    ),
    Fact(
        kind=Kind.CONTEXT_TOO_LONG,
        phrases=(
            r"(?:the )?request (?:\(\d+ tokens\) )?exceeds the available context size",
            r"prompt too long; exceeded (?:max )?context length",
            r"the input length exceeds the (?:maximum )?context length",
            r"trying to keep the first \d+ tokens when ",
            r"the number of tokens to keep from the initial prompt is greater than the context length",
        ),
        source="ggml-org/llama.cpp, ollama/ollama and LM Studio, recorded replies",
    ),
    Fact(
        kind=Kind.CONTEXT_TOO_LONG,
        phrases=(
            r"(?:the )?prompt is too long",
            r"input length and `max_tokens` exceed context limit",
            r"input is too long for requested model",
        ),
        source="Anthropic, Fireworks and Bedrock, recorded replies; badlogic/pi-mono, utils/overflow.ts",
    ),
    Fact(
        kind=Kind.CONTEXT_TOO_LONG,
        phrases=(
            r"please reduce the length of the messages or completion",
            r"your input exceeds the context window of this model",
            r"prompt token count of \d+ exceeds the limit of \d+",
            r"invalid params, context window exceeds limit",
        ),
        source="Groq and Cerebras, OpenAI, GitHub Copilot, MiniMax: badlogic/pi-mono, utils/overflow.ts",
    ),
    Fact(
        kind=Kind.CONTEXT_TOO_LONG,
        phrases=(
            r"prompt contains \d+ tokens.{0,60} too large for model",
            r"your request exceeded model token limit",
            r"input token length too long",
            r"range of input length should be \[1, ?\d+\]",
            r"prompt exceeds max length",
        ),
        source="Mistral, recorded; platform.kimi.ai/docs/api/errors; QwenLM/qwen-code#98; z.ai, recorded",
    ),
    Fact(
        kind=Kind.CONTEXT_TOO_LONG,
        phrases=(
            r"`?inputs`?(?: tokens \+ `?max_new_tokens`?)? must (?:have less than|be <=) \d+",
            r"too many tokens: ",
            r"user input tokens exceeds \d+ tokens",
            r"litellm\.contextwindowexceedederror",
            r"(?:unable to submit request because )?(?:the )?input token count",
        ),
        source="huggingface/text-generation-inference; Cohere, Perplexity, Google, recorded; BerriAI/litellm",
    ),
)
MONEY = (
    Fact(
        kind=Kind.OVER_LIMIT,
        phrases=(
            r"this request requires more credits, or fewer max_tokens",
            r"prompt tokens limit exceeded: \d+ > \d+",
        ),
        statuses=frozenset({200, 402}),
        source="OpenRouter, recorded; can1357/oh-my-pi#9569: less max_tokens, or another request, is still paid for",
    ),
    Fact(
        kind=Kind.NO_CREDIT,
        phrases=(r"key limit exceeded \(",),
        statuses=frozenset({200, 403}),
        source="OpenRouter, recorded: the key's own spend limit is reached",
    ),
    Fact(
        kind=Kind.NO_CREDIT,
        phrases=(
            r"your credit balance is too low",
            r"you have reached your specified (?:workspace )?api usage limits",
            r"you(?:'re| are) out of (?:extra )?usage",
            r"third-party apps now draw from your extra usage",
        ),
        statuses=REFUSED,
        source="Anthropic, recorded; anthropics/claude-code#2127, #38035 (usage limits), #45035 (extra usage)",
    ),
    Fact(
        kind=Kind.NO_CREDIT,
        phrases=(
            r"your team \S{1,60} has either used all available credits",
            r"your team has either used all available credits",
            r"your newly created teams? doesn't have any credits",
            r"you have run out of credits",
        ),
        statuses=REFUSED,
        source="xAI, recorded with 403 and 429: continuedev/continue#10373, #12670; Anantys-oss/koan#2412",
    ),
    Fact(
        kind=Kind.NO_CREDIT,
        phrases=(r"account \S{1,80} is suspended, possibly due to reaching the monthly spending limit",),
        statuses=REFUSED | {412},
        source="Fireworks, recorded with 412",
    ),
    Fact(
        kind=Kind.NO_CREDIT,
        phrases=(r"your prepayment credits are depleted",),
        statuses=REFUSED,
        source="Gemini API, recorded with 429 RESOURCE_EXHAUSTED",
    ),
    Fact(
        kind=Kind.NO_CREDIT,
        phrases=(
            r"you've reached your usage limit for this (?:billing cycle|period)",
            r"your account .{0,80}is suspended due to insufficient balance",
            r"you have exceeded your monthly included credits",
            r"insufficient balance",
            r"sorry, your account balance is insufficient",
        ),
        statuses=REFUSED,
        source="kimi.com/code/docs, error reference; Moonshot, Hugging Face, z.ai, SiliconFlow (403), recorded",
    ),
)
ACCOUNTS = (
    Fact(
        kind=Kind.BAD_KEY,
        phrases=(
            r"this organization has been disabled",
            r"this credential is only authorized for use with claude code",
            r"oauth authentication is currently not (?:allowed|supported)",
        ),
        statuses=REFUSED,
        scope=Scope.ACCOUNT,
        source="Anthropic, recorded with 400 and 403",
    ),
    Fact(
        kind=Kind.BAD_KEY,
        phrases=(r"(?:your )?access to .{1,80} not allowed for this account",),
        statuses=REFUSED,
        scope=Scope.ACCOUNT,
        source="Bedrock, recorded: ValidationException, Error 002, whatever the model",
    ),
    Fact(
        kind=Kind.BAD_KEY,
        phrases=(r"incorrect api key provided", r"api key not valid", r"(?:invalid|missing) api[- ]key"),
        statuses=frozenset({400, 403}),
        scope=Scope.ACCOUNT,
        source="xAI answers 400 for a wrong key, recorded; Gemini's OpenAI face, recorded",
    ),
    Fact(
        kind=Kind.MODEL_NOT_FOUND,
        phrases=(r"model not exist", r"[\w./:-]{1,100} is not a valid model id"),
        statuses=frozenset({400}),
        source="DeepSeek and OpenRouter, recorded",
    ),
    Fact(
        kind=Kind.MODEL_DENIED,
        phrases=(r"you don't have access to the model", r"project `?\S{1,80} does not have access to model"),
        statuses=REFUSED,
        source="Bedrock (AccessDeniedException) and OpenAI, recorded with 403",
    ),
    Fact(
        kind=Kind.MODEL_DENIED,
        phrases=(r"access to model denied", r"free allocated quota exceeded"),
        statuses=REFUSED,
        source="help.aliyun.com/en/model-studio/error-code",
    ),
)
LIMITS = (
    Fact(
        kind=Kind.OVER_LIMIT,
        phrases=(r"request too large for ", r"request body too large for "),
        statuses=frozenset({413, 429}),
        source="OpenAI (429), Groq (413), GitHub Models (413), recorded: `Limit 8000, Requested 8391`",
    ),
    Fact(
        kind=Kind.OVER_LIMIT,
        phrases=(
            r"extra usage is required for long context requests",
            r"usage credits are required for long context requests",
            r"the long context beta is not yet available for this subscription",
        ),
        source="anthropics/claude-code#29584, #64982: this account takes shorter prompts only",
    ),
    Fact(
        kind=Kind.RATE_LIMITED,
        phrases=(r"this request would exceed your account's rate limit",),
        statuses=frozenset({429}),
        scope=Scope.ACCOUNT,
        source="anthropics/claude-code#71670; the organisation's limits are by model, the account's is not",
    ),
)
CONTENT = (
    Fact(
        kind=Kind.CONTENT_FILTER,
        phrases=(r"content violates usage guidelines", r"generated image rejected by content moderation"),
        source="xAI, recorded with 400 and 403",
    ),
    Fact(
        kind=Kind.CONTENT_FILTER,
        phrases=(r"content exists risk", r"invalid prompt: your prompt was flagged"),
        source="DeepSeek and OpenAI (invalid_prompt), recorded with 400",
    ),
    Fact(
        kind=Kind.CONTENT_FILTER,
        phrases=(r"output blocked by content filtering policy",),
        source="Anthropic, recorded with 400",
    ),
    Fact(
        kind=Kind.CONTENT_FILTER,
        phrases=(r"(?:input|output) (?:data )?(?:or output data )?may contain inappropriate content",),
        source="help.aliyun.com/en/model-studio/error-code",
    ),
    Fact(
        kind=Kind.CONTENT_FILTER,
        phrases=(r"the request was rejected because it was considered high risk",),
        source="platform.kimi.ai/docs/api/errors",
    ),
)
PHRASES = (*WINDOWS, *MONEY, *ACCOUNTS, *LIMITS, *CONTENT)
"""All rows."""
