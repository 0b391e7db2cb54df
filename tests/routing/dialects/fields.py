"""Values for the fields of a chat-completions body: every one that the official types name, and vendors' extensions."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

texts: SearchStrategy[str] = st.one_of(
    st.sampled_from(
        ["", " ", "\n\t ", "Hi", "caf\u00e9 \U0001f600", "line\u2028end", "ends in space ", '{"json": "inside"}']
    ),
    st.text(min_size=1, max_size=8),
)
"""Also empty, blank, with line separators of Unicode, beyond the basic plane."""

tool_names: SearchStrategy[str] = st.sampled_from(
    ["get_weather", "search-web", "f", "Get_Time2", "9lives", "a" * 64, "_private"]
)
_NAMED: list[dict[str, str]] = [{}, {}, {}, {"name": "alice"}]
PARTICIPANTS = st.sampled_from(_NAMED)

_NESTED: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 1, "description": "Where"},
        "days": {"type": ["integer", "null"], "exclusiveMinimum": 0, "maximum": 14},
        "unit": {"enum": ["c", "f"]},
        "place": {"type": "object", "properties": {"lat": {"type": "number"}}, "required": ["lat"]},
        "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$"}, "uniqueItems": True},
    },
    "required": ["city"],
    "additionalProperties": False,
}
_REFERRING: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {"at": {"$ref": "#/$defs/point"}, "kind": {"const": "point"}},
    "$defs": {"point": {"type": "object", "properties": {"x": {"type": "number", "multipleOf": 0.5}}}},
}
_RECURSIVE: dict[str, Any] = {
    "type": "object",
    "properties": {"root": {"$ref": "#/$defs/node"}},
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
        }
    },
}
_UNION: dict[str, Any] = {
    "type": "object",
    "properties": {
        "x": {"oneOf": [{"type": "string", "format": "date-time"}, {"type": "integer"}]},
        "y": {"allOf": [{"type": "object"}, {"properties": {"z": {"type": "boolean"}}}]},
        "w": {"anyOf": [{"type": "null"}, {"type": "string"}], "default": None},
    },
}
_ROOT_UNION: dict[str, Any] = {
    "anyOf": [{"type": "object", "properties": {"a": {"type": "string"}}}, {"type": "object"}]
}
json_schemas: SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {"type": "object"}, {"type": "object", "properties": {}}, _NESTED, _REFERRING, _RECURSIVE, _UNION, _ROOT_UNION]
)
"""Nested, referring, recursive, with keywords that this or that vendor refuses, and none at all."""

_formats: SearchStrategy[Any] = st.one_of(
    st.sampled_from([{"type": "text"}, {"type": "json_object"}]),
    st.builds(
        lambda schema, more: {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, **more}},
        st.sampled_from([_NESTED, _REFERRING, _RECURSIVE, _UNION]),
        st.fixed_dictionaries({}, optional={"strict": st.booleans(), "description": st.just("The answer")}),
    ),
)

_efforts = st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh"])
_penalties = st.sampled_from([0, 0.0, -2.0, 0.5, 2])
_tokens = st.sampled_from([1, 16, 4096, 200_000])

OFFICIAL_FIELDS: dict[str, SearchStrategy[Any]] = {
    "audio": st.just({"format": "mp3", "voice": "alloy"}),
    "frequency_penalty": _penalties,
    "logit_bias": st.sampled_from([{}, {"50256": -100}]),
    "logprobs": st.booleans(),
    "max_completion_tokens": _tokens,
    "max_tokens": _tokens,
    "metadata": st.sampled_from([{}, {"ticket": "42"}]),
    "modalities": st.sampled_from([["text"], ["text", "audio"]]),
    "moderation": st.just({"model": "omni-moderation-latest"}),
    "n": st.sampled_from([1, 1, 2, 3]),
    "parallel_tool_calls": st.booleans(),
    "prediction": st.just({"type": "content", "content": "def f():"}),
    "presence_penalty": _penalties,
    "prompt_cache_key": st.just("tenant-7"),
    "prompt_cache_options": st.just({"mode": "explicit"}),
    "prompt_cache_retention": st.sampled_from(["in_memory", "24h"]),
    "reasoning_effort": _efforts,
    "response_format": _formats,
    "safety_identifier": st.just("u-1f"),
    "seed": st.sampled_from([0, 42, 2**40]),
    "service_tier": st.sampled_from(["auto", "default", "flex", "priority"]),
    "stop": st.sampled_from(["\n", "END", " ", ["END"], ["a", "b", "c", "d"], ["1", "2", "3", "4", "5", "6"], []]),
    "store": st.booleans(),
    "stream": st.booleans(),
    "stream_options": st.sampled_from(
        [{}, {"include_usage": True}, {"include_usage": False, "include_obfuscation": False}]
    ),
    "temperature": st.sampled_from([0, 0.0, 0.2, 1, 1.0, 1.7, 2]),
    "top_logprobs": st.sampled_from([0, 5, 20]),
    "top_p": st.sampled_from([0.1, 1, 1.0]),
    "user": st.just("user-1"),
    "verbosity": st.sampled_from(["low", "medium", "high"]),
    "web_search_options": st.sampled_from(
        [{}, {"search_context_size": "low", "user_location": {"type": "approximate", "approximate": {"city": "Bonn"}}}]
    ),
}
"""All of `CompletionCreateParams` but what depends on the tools (`tools`, `tool_choice`, the legacy functions)."""

EXTENSION_FIELDS: dict[str, SearchStrategy[Any]] = {
    "top_k": st.just(40),
    "min_p": st.just(0.05),
    "repetition_penalty": st.just(1.1),
    "reasoning": st.sampled_from([{"effort": "high"}, {"max_tokens": 2000}, {"exclude": True}]),
    "thinking": st.sampled_from([{"type": "enabled", "budget_tokens": 2048}, {"type": "disabled"}]),
    "enable_thinking": st.booleans(),
    "chat_template_kwargs": st.just({"enable_thinking": False}),
    "safe_prompt": st.just(True),
    "provider": st.just({"order": ["x"]}),
    "cache_control": st.sampled_from([{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}]),
    "an_extension": st.just({"kept": True}),
}
"""What vendors take beside OpenAI's own fields, and one that nobody knows."""

FUNCTIONS: SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"functions": st.just([{"name": "old_function", "parameters": {"type": "object", "properties": {}}}])},
    optional={"function_call": st.sampled_from(["auto", "none", {"name": "old_function"}])},
)
"""The form that tools replaced."""
