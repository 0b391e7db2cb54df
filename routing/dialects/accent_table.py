"""Every accent of the OpenAI wire by name: the facts, each with its source.

A provider named like an accent has it; another one says `accent = "..."`. What is said here of a provider is what its
reference lists; a field that is known to be ignored in silence is not among `takes`, so that we say what it does not.
"""

import datetime as dt

from routing.dialects.accents import CORE, OFFICIAL, Accent

_READ = dt.date(2026, 11, 25)
_SAMPLING = {"frequency_penalty", "presence_penalty", "seed"}
_LOGPROBS = {"logprobs", "top_logprobs"}
_OPEN_WEIGHTS = {"top_k", "min_p", "repetition_penalty"}
_OPEN = frozenset(_SAMPLING | _LOGPROBS | _OPEN_WEIGHTS | {"n", "logit_bias", "user", "parallel_tool_calls"})
"""What servers of open weights have in common."""

OPENAI = Accent(
    source="openai 3.54, CompletionCreateParams; developers.openai.com/api/reference",
    as_of=dt.date(2026, 11, 22),
    takes=OFFICIAL - CORE,
    max_tokens_field="",
    tool_choices=frozenset({"auto", "none", "required", "named", "allowed_tools"}),
    max_stops=4,
    has_custom_tools=True,
    parts=frozenset({"image_url", "input_audio", "file"}),
    has_names=True,
    has_developer=True,
    has_refusals=True,
    has_cache_breakpoints=True,
    call_ids=".{1,40}",
)

ACCENTS: dict[str, Accent] = {
    "openai": OPENAI,
    "azure": Accent(
        source="learn.microsoft.com/azure/ai-foundry/openai/reference, API version 2024-10-21",
        takes=OFFICIAL - CORE - {"moderation", "service_tier", "verbosity", "web_search_options", "safety_identifier"},
        path="/openai/deployments/{model}/chat/completions?api-version=2024-10-21",
        key_header="api-key",
        key_prefix="",
        max_tokens_field="",
        max_stops=4,
        parts=frozenset({"image_url", "input_audio"}),
        has_names=True,
        has_developer=True,
        has_refusals=True,
        call_ids=".{1,40}",
    ),
    "mistral": Accent(
        source="docs.mistral.ai/api and LiteLLM's transformation for it; recorded traffic",
        as_of=_READ,
        takes=frozenset(
            {"frequency_penalty", "presence_penalty", "seed", "n", "parallel_tool_calls", "prediction", "metadata"}
            | {"reasoning_effort", "random_seed", "safe_prompt", "prompt_mode", "guardrails"}
        ),
        renames={"seed": "random_seed"},
        words={"tool_choice": {"required": "any"}},
        max_temperature=1.5,
        efforts=frozenset({"none", "high"}),
        parts=frozenset({"image_url", "file", "document_url"}),
        files_as_documents=True,
        thoughts="content",
        prefill="prefix",
        call_ids="[A-Za-z0-9]{9}",
    ),
    "deepseek": Accent(
        source="api-docs.deepseek.com/api/create-chat-completion, /guides/thinking_mode",
        as_of=_READ,
        takes=frozenset(
            {"frequency_penalty", "presence_penalty", "stream_options", "reasoning_effort", "thinking"} | _LOGPROBS
        ),
        max_stops=16,
        effort_fields={
            "none": {"thinking": {"type": "disabled"}},
            "high": {"thinking": {"type": "enabled"}, "reasoning_effort": "high"},
            "max": {"thinking": {"type": "enabled"}, "reasoning_effort": "max"},
        },
        efforts=frozenset({"none", "high", "max"}),
        has_json_schema=False,
        has_strict_tools=False,
        parts=frozenset(),
        has_names=True,
        thoughts="reasoning_content",
    ),
    "dashscope": Accent(
        source="alibabacloud.com/help/en/model-studio/qwen-api-via-openai-chat-completions",
        as_of=_READ,
        takes=frozenset(
            {"presence_penalty", "seed", "n", "parallel_tool_calls", "stream_options", "modalities", "audio"}
            | {"reasoning_effort", "top_k", "enable_thinking", "thinking_budget", "enable_search", "search_options"}
            | {"translation_options", "vl_high_resolution_images"}
            | _LOGPROBS
        ),
        tool_choices=frozenset({"auto", "none", "named"}),
        max_temperature=1.99,
        effort_fields={"none": {"enable_thinking": False}, "medium": {"enable_thinking": True}},
        efforts=frozenset({"none", "medium"}),
        has_strict_tools=False,
        parts=frozenset({"image_url", "input_audio", "video_url", "video"}),
        has_cache_marks=True,
        thoughts="reasoning_content",
    ),
    "together": Accent(
        source="docs.together.ai/reference/chat-completions-1",
        as_of=_READ,
        takes=frozenset(
            (_OPEN - {"user", "parallel_tool_calls"})
            | {"reasoning_effort", "reasoning", "chat_template_kwargs", "safety_model", "stream_options"}
        ),
        counts_logprobs=True,
        efforts=frozenset({"low", "medium", "high"}),
        parts=frozenset({"image_url", "video_url", "audio_url", "input_audio"}),
        has_names=True,
        thoughts="reasoning",
    ),
    "fireworks": Accent(
        source="docs.fireworks.ai/api-reference/post-chatcompletions",
        as_of=_READ,
        takes=_OPEN
        | {"reasoning_effort", "stream_options", "prompt_cache_key", "metadata", "mirostat_target", "thinking"},
        efforts=frozenset({"none", "low", "medium", "high"}),
        has_names=True,
        thoughts="reasoning_content",
    ),
    "groq": Accent(
        source="console.groq.com/docs/openai, /docs/api-reference",
        as_of=_READ,
        takes=frozenset(
            {"frequency_penalty", "presence_penalty", "seed", "user", "parallel_tool_calls", "stream_options"}
            | {"reasoning_effort", "service_tier", "functions", "function_call"}
            | {"reasoning_format", "include_reasoning", "search_settings", "compound_custom", "documents"}
        ),
        max_tokens_field="max_completion_tokens",
        words={"service_tier": {"default": "on_demand", "priority": "performance"}},
        max_stops=4,
        efforts=frozenset({"none", "low", "medium", "high"}),
        thoughts="reasoning",
    ),
    "openrouter": Accent(
        source="openrouter.ai/docs/api/reference/parameters, /docs/use-cases/reasoning-tokens",
        takes=frozenset(
            (_OPEN - {"n"})
            | {"stream_options", "prediction", "metadata", "verbosity", "modalities", "web_search_options"}
            | {"reasoning_effort", "reasoning", "include_reasoning", "provider", "models", "route", "plugins"}
            | {"transforms", "top_a", "usage", "session_id", "image_config"}
        ),
        effort_fields={
            word: {"reasoning": {"effort": word}}
            for word in ("none", "minimal", "low", "medium", "high", "xhigh", "max")
        },
        parts=frozenset({"image_url", "input_audio", "file", "video_url"}),
        has_names=True,
        has_developer=True,
        has_cache_marks=True,
        thoughts="reasoning",
        has_reasoning_details=True,
    ),
    "xai": Accent(
        source="docs.x.ai/docs/api-reference",
        takes=frozenset(
            {"frequency_penalty", "presence_penalty", "seed", "n", "user", "parallel_tool_calls", "stream_options"}
            | {"reasoning_effort", "web_search_options", "search_parameters", "deferred"}
            | _LOGPROBS
        ),
        max_tokens_field="max_completion_tokens",
        max_stops=4,
        efforts=frozenset({"none", "low", "medium", "high"}),
        has_names=True,
    ),
    "cerebras": Accent(
        source="inference-docs.cerebras.ai/resources/openai, /api-reference/chat-completions",
        as_of=_READ,
        takes=frozenset(
            {"seed", "user", "parallel_tool_calls", "prediction", "stream_options", "reasoning_effort"}
            | {"reasoning_format", "clear_thinking", "disable_reasoning"}
            | _LOGPROBS
        ),
        max_tokens_field="max_completion_tokens",
        max_stops=4,
        max_temperature=1.5,
        efforts=frozenset({"none", "low", "medium", "high"}),
        parts=frozenset(),
        thoughts="reasoning",
    ),
    "perplexity": Accent(
        source="docs.perplexity.ai/api-reference/chat-completions-post",
        as_of=_READ,
        takes=frozenset(
            {"frequency_penalty", "presence_penalty", "reasoning_effort", "web_search_options", "top_k", "search_mode"}
            | {"return_images", "return_related_questions", "search_domain_filter", "search_recency_filter"}
            | {"disable_search", "enable_search_classifier", "language_preference"}
        ),
        tool_choices=frozenset(),
        max_temperature=1.99,
        efforts=frozenset({"minimal", "low", "medium", "high"}),
        has_json_mode=False,
        parts=frozenset({"image_url", "file_url"}),
        has_done=False,
    ),
    "moonshot": Accent(
        source="platform.kimi.ai/docs/api/chat, /docs/api/models-overview",
        as_of=_READ,
        takes=frozenset(
            {"frequency_penalty", "presence_penalty", "n", "stream_options", "thinking", "prompt_cache_key"}
            | {"reasoning_effort"}
        ),
        max_tokens_field="max_completion_tokens",
        tool_choices=frozenset({"auto", "none"}),
        max_temperature=1.0,
        max_stops=5,
        effort_fields={"none": {"thinking": {"type": "disabled"}}, "medium": {"thinking": {"type": "enabled"}}},
        efforts=frozenset({"none", "medium"}),
        parts=frozenset({"image_url", "video_url"}),
        fetches_images=False,
        has_names=True,
        prefill="partial",
        thoughts="reasoning_content",
    ),
    "zai": Accent(
        source="docs.z.ai/api-reference/llm/chat-completion",
        as_of=_READ,
        takes=frozenset(
            {"thinking", "reasoning_effort", "do_sample", "request_id", "user_id", "tool_stream", "stream_options"}
        ),
        renames={"user": "user_id"},
        tool_choices=frozenset({"auto"}),
        max_temperature=1.0,
        max_stops=1,
        effort_fields={"none": {"thinking": {"type": "disabled"}}, "medium": {"thinking": {"type": "enabled"}}},
        efforts=frozenset({"none", "medium"}),
        has_json_schema=False,
        has_strict_tools=False,
        parts=frozenset({"image_url", "video_url", "file_url"}),
        thoughts="reasoning_content",
    ),
    "vllm": Accent(
        source="docs.vllm.ai/en/latest/serving/openai_compatible_server",
        takes=(_OPEN - {"user"})
        | {"stream_options", "reasoning_effort", "chat_template_kwargs", "structured_outputs", "include_reasoning"}
        | {"best_of", "use_beam_search", "length_penalty", "stop_token_ids", "ignore_eos", "min_tokens", "priority"},
        efforts=frozenset({"none", "low", "medium", "high"}),
        has_strict_tools=False,
        parts=frozenset({"image_url", "input_audio", "audio_url", "video_url"}),
        has_names=True,
        has_developer=True,
        thoughts="reasoning",
    ),
    "ollama": Accent(
        source="docs.ollama.com/api/openai-compatibility",
        as_of=_READ,
        takes=frozenset(
            {"frequency_penalty", "presence_penalty", "seed", "stream_options", "reasoning_effort"} | _LOGPROBS
        ),
        tool_choices=frozenset({"auto"}),
        efforts=frozenset({"none", "low", "medium", "high"}),
        has_strict_tools=False,
        fetches_images=False,
        thoughts="reasoning",
    ),
    "google": Accent(
        source="ai.google.dev/gemini-api/docs/openai, /docs/thought-signatures",
        takes=frozenset({"n", "stream_options", "reasoning_effort", "extra_body", "modalities"}),
        max_stops=5,
        efforts=frozenset({"none", "minimal", "low", "medium", "high"}),
        has_strict_tools=False,
        parts=frozenset({"image_url", "input_audio"}),
        has_developer=True,
        has_signatures=True,
    ),
    "anthropic": Accent(
        source="docs.anthropic.com/en/api/openai-sdk",
        as_of=_READ,
        takes=frozenset({"parallel_tool_calls", "stream_options", "functions", "function_call", "thinking"}),
        max_temperature=1.0,
        has_json_mode=False,
        has_json_schema=False,
        has_strict_tools=False,
        has_developer=True,
        call_ids="[A-Za-z0-9_-]+",
    ),
}
ACCENTS["qwen"] = ACCENTS["dashscope"]

EXTENSIONS = frozenset(field for accent in ACCENTS.values() for field in accent.takes) - OFFICIAL
"""Fields that some vendor takes beside OpenAI's: left out, and reported, where they are not known."""
