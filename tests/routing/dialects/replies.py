"""What providers of the OpenAI wire answer, each in its own way: bodies and chunks, written after recorded ones.

Sources: the recordings that wire-formats 2.2, 2.6 and 2.7 tell of (groq, mistral, deepseek, openrouter, google), the
vendors' API references for the rest. Texts and numbers are ours.
"""

from typing import Any

from tests.routing.dialects.wire import chunk, completion

CALL = {"id": "35bC59XSm", "function": {"name": "f", "arguments": '{"a": 1.0}'}}

REPLIES: dict[str, dict[str, Any]] = {
    "groq": completion(
        service_tier="on_demand",
        x_groq={"id": "req_1", "seed": 7},
        usage_breakdown=None,
        usage={
            "queue_time": 0.02,
            "prompt_tokens": 41,
            "prompt_time": 0.001,
            "completion_tokens": 9,
            "completion_time": 0.01,
            "total_tokens": 50,
            "total_time": 0.011,
            "completion_tokens_details": {"reasoning_tokens": 4},
        },
        message={"reasoning": "Count."},
    ),
    "mistral": completion(
        message={
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
                {"type": "text", "text": "Hi!"},
            ],
            "tool_calls": [{**CALL, "index": 0}],
            "prefix": False,
        },
        choice={"finish_reason": "tool_calls"},
        usage={"prompt_tokens": 41, "completion_tokens": 9, "total_tokens": 50, "num_cached_tokens": 16},
    ),
    "deepseek": completion(
        message={"reasoning_content": "Hm."},
        usage={
            "prompt_tokens": 41,
            "completion_tokens": 9,
            "total_tokens": 50,
            "prompt_cache_hit_tokens": 32,
            "prompt_cache_miss_tokens": 9,
            "prompt_tokens_details": {"cached_tokens": 32},
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
    ),
    "openrouter": completion(
        provider="Anthropic",
        message={
            "reasoning": "Hm.",
            "reasoning_details": [
                {
                    "type": "reasoning.text",
                    "text": "Hm.",
                    "signature": "c2ln",
                    "format": "anthropic-claude-v1",
                    "index": 0,
                }
            ],
        },
        choice={"native_finish_reason": "end_turn"},
        usage={
            "prompt_tokens": 41,
            "completion_tokens": 9,
            "total_tokens": 50,
            "cost": 0.00015,
            "is_byok": False,
            "cost_details": {"upstream_inference_cost": None},
            "prompt_tokens_details": {"cached_tokens": 7, "cache_write_tokens": 3, "video_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 6, "image_tokens": 0},
        },
    ),
    "google": completion(
        message={
            "content": None,
            "tool_calls": [
                {**CALL, "type": "function", "extra_content": {"google": {"thought_signature": "c2lnbmF0dXJl"}}}
            ],
        },
        choice={"finish_reason": "tool_calls"},
        usage={"prompt_tokens": 41, "completion_tokens": 9, "total_tokens": 150},
    ),
    "azure": completion(
        prompt_filter_results=[{"prompt_index": 0, "content_filter_results": {}}],
        choice={"content_filter_results": {"hate": {"filtered": False}}},
    ),
    "together": completion(
        choice={
            "finish_reason": "eos",
            "seed": 5,
            "logprobs": {"tokens": ["Hi", "!"], "token_logprobs": [-0.25, -1.5], "token_ids": [1, 2]},
        },
        prompt=[],
    ),
    "perplexity": completion(
        citations=["https://example.com"],
        search_results=[{"title": "x", "url": "https://example.com"}],
        choice={"delta": {"role": "assistant", "content": ""}},
        usage={"prompt_tokens": 41, "completion_tokens": 9, "total_tokens": 50, "search_context_size": "low"},
    ),
    "vllm": completion(
        choice={"stop_reason": None, "token_ids": None},
        message={"reasoning": "Hm.", "tool_calls": []},
        prompt_logprobs=None,
        kv_transfer_params=None,
        usage={"prompt_tokens": 41, "completion_tokens": 9, "total_tokens": 50, "prompt_tokens_details": None},
    ),
    "ollama": completion(
        message={"content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
        system_fingerprint="fp_ollama",
    ),
    "search": completion(message={"annotations": [{"type": "file_citation", "file": "x"}]}),
}
"""By provider: a whole reply."""

STREAMS: dict[str, list[dict[str, Any]]] = {
    "groq": [
        chunk({"role": "assistant", "content": None}, x_groq={"id": "req_1"}),
        chunk({"reasoning": "Hm."}),
        chunk({"content": "Hi!"}),
        chunk(
            {},
            choice={"finish_reason": "stop"},
            x_groq={"id": "req_1", "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
        ),
    ],
    "mistral": [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]}),
        chunk({"content": "Hi!"}),
        chunk(
            {"content": "", "tool_calls": [{**CALL, "index": 0}]},
            choice={"finish_reason": "tool_calls"},
            usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        ),
    ],
    "openrouter": [
        chunk({"role": "assistant", "content": "", "reasoning": "H"}, provider="Anthropic"),
        chunk({"content": "", "reasoning_details": [{"type": "reasoning.text", "text": "H", "index": 0}]}),
        chunk(
            {
                "content": "",
                "reasoning_details": [{"type": "reasoning.text", "text": "m.", "index": 0}],
                "reasoning": "m.",
            }
        ),
        chunk({"reasoning_details": [{"type": "reasoning.text", "signature": "c2ln", "index": 0}]}),
        chunk({"content": "Hi!"}, choice={"native_finish_reason": None}),
        chunk({"content": ""}, choice={"finish_reason": "stop", "native_finish_reason": "end_turn"}),
        chunk(usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cost": 0.1}),
    ],
    "google": [
        chunk(
            {
                "role": "assistant",
                "tool_calls": [
                    {**CALL, "type": "function", "extra_content": {"google": {"thought_signature": "c2ln"}}}
                ],
            }
        ),
        chunk(
            {
                "role": "assistant",
                "tool_calls": [{"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}],
            }
        ),
        chunk(
            {"role": "assistant"},
            choice={"finish_reason": "stop"},
            usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 9},
        ),
    ],
    "azure": [
        {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": []},
        chunk({"role": "assistant", "content": "Hi!"}, choice={"content_filter_results": {}}),
        chunk({}, choice={"finish_reason": "stop"}),
    ],
    "same index": [
        chunk(
            {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
        ),
        chunk(
            {"tool_calls": [{"index": 0, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}]}
        ),
        chunk({}, choice={"finish_reason": "tool_calls"}),
    ],
}
"""By provider: the chunks of one streamed reply."""
