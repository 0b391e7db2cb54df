"""The accents of the OpenAI wire: what each provider is sent, told apart by data alone."""

import json
from typing import Any

import pytest

from jobs.chat import Adaptation, ChatRequest
from jobs.settings import Provider, SettingsError
from routing.catalog import Deployment, Model, Target
from routing.dialects.accent_table import ACCENTS, EXTENSIONS
from routing.dialects.accents import CORE, EFFORTS, OFFICIAL
from routing.dialects.base import Asking, WireRequest
from routing.dialects.openai_fields import nearest_effort
from routing.dialects.registry import ACCENTED, DIALECTS, accent_of, check_accents, dialect_of
from tests.routing.dialects.accented import (
    CALLED,
    FILE,
    HI,
    IMAGE,
    OTHER,
    SOUND,
    TOOL,
    UNKNOWN,
    refused,
    sent,
    spoken,
    told,
)


def test_every_accent_has_a_source_and_takes_fields_by_their_names():
    for accent in ACCENTS.values():
        assert accent.source
        assert accent.as_of
        assert accent.tried <= accent.takes | CORE
        assert not accent.takes & CORE
        assert accent.efforts <= set(EFFORTS)
        assert accent.effort_fields.keys() <= accent.efforts
    assert not EXTENSIONS & OFFICIAL


def test_a_provider_called_like_an_accent_has_it():
    groq = Provider(dialect="openai", base_url="https://api.groq.com/openai/v1")
    assert accent_of("groq", groq) == "groq"
    assert dialect_of("groq", groq) is ACCENTED["openai"]["groq"]
    named = Provider(dialect="openai", base_url="http://127.0.0.1:8000/v1", accent="vllm")
    assert dialect_of("mine", named) is ACCENTED["openai"]["vllm"]
    assert dialect_of("mine", Provider(dialect="openai", base_url="http://x")) is DIALECTS["openai"]
    assert accent_of("groq", Provider(dialect="gemini", base_url="http://x")) == ""


def test_an_unknown_accent_is_refused_with_the_nearest():
    check_accents({"mine": Provider(dialect="openai", base_url="x", accent="vllm")})
    with pytest.raises(SettingsError, match=r"providers\.mine: .* 'mistrall'; did you mean 'mistral'"):
        check_accents({"mine": Provider(dialect="openai", base_url="x", accent="mistrall")})
    with pytest.raises(SettingsError, match="known here: none"):
        check_accents({"mine": Provider(dialect="gemini", base_url="x", accent="zzz")})


def test_the_target_may_name_the_accent():
    request = ChatRequest.parse(json.dumps({"messages": [HI], "seed": 7}).encode())
    target = Target(Deployment(model="m/x", provider="p", upstream="up"), UNKNOWN, accent="mistral")
    wire = DIALECTS["openai"].encode(request, target, Asking())
    assert isinstance(wire, WireRequest)
    assert json.loads(wire.body)["random_seed"] == 7


def test_azure_has_the_deployment_in_its_path_and_a_header_of_its_own():
    wire = spoken("azure", upstream="my gpt/4o")
    assert isinstance(wire, WireRequest)
    assert wire.path == "/openai/deployments/my%20gpt%2F4o/chat/completions?api-version=2024-10-21"
    assert ACCENTED["openai"]["azure"].key_headers("k") == {"api-key": "k"}
    assert ACCENTED["openai"]["groq"].key_headers("k") == {"authorization": "Bearer k"}


@pytest.mark.parametrize(
    ("accent", "given", "left"),
    [
        ("openai", {"max_tokens": 9}, {"max_tokens": 9}),
        ("openai", {"max_completion_tokens": 9}, {"max_completion_tokens": 9}),
        ("groq", {"max_tokens": 9}, {"max_completion_tokens": 9}),
        ("deepseek", {"max_completion_tokens": 9}, {"max_tokens": 9}),
        (
            "mistral",
            {"seed": 7, "tools": [TOOL], "tool_choice": "required"},
            {"random_seed": 7, "tools": [TOOL], "tool_choice": "any"},
        ),
        ("groq", {"service_tier": "priority"}, {"service_tier": "performance"}),
        ("zai", {"user": "u"}, {"user_id": "u"}),
        ("together", {"logprobs": True, "top_logprobs": 3}, {"logprobs": 3}),
        ("together", {"logprobs": True}, {"logprobs": 1}),
        ("openrouter", {"reasoning_effort": "high"}, {"reasoning": {"effort": "high"}}),
        ("deepseek", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        ("deepseek", {"reasoning_effort": "high"}, {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}),
        ("dashscope", {"reasoning_effort": "none"}, {"enable_thinking": False}),
        ("vllm", {"top_k": 40, "min_p": 0.1}, {"top_k": 40, "min_p": 0.1}),
        ("openai", {"an_extension": 1}, {"an_extension": 1}),
        ("openai", {"user": None, "stop": None}, {}),
        ("openai", {"tools": [], "tool_choice": "none", "parallel_tool_calls": False}, {}),
        ("deepseek", {"n": 1, "parallel_tool_calls": True, "modalities": ["text"], "store": False}, {}),
        ("perplexity", {"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}),
    ],
)
def test_equal_forms_are_no_adaptation(accent, given, left):
    assert sent(accent, **given) == left
    assert told(accent, **given) == []


@pytest.mark.parametrize(
    ("accent", "given", "left", "adaptations"),
    [
        ("openai", {"top_k": 40}, {}, [("top_k", "dropped")]),
        ("deepseek", {"seed": 7, "user": "u"}, {}, [("seed", "dropped"), ("user", "dropped")]),
        ("mistral", {"reasoning_effort": "low"}, {"reasoning_effort": "none"}, [("reasoning_effort", "changed")]),
        ("dashscope", {"reasoning_effort": "high"}, {"enable_thinking": True}, [("reasoning_effort", "changed")]),
        ("anthropic", {"temperature": 1.7}, {"temperature": 1.0}, [("temperature", "changed")]),
        ("openai", {"stop": list("abcdef")}, {"stop": list("abcd")}, [("stop[4]", "cut"), ("stop[5]", "cut")]),
        (
            "openai",
            {"max_tokens": 5, "max_completion_tokens": 9},
            {"max_completion_tokens": 9},
            [("max_tokens", "dropped")],
        ),
        ("mistral", {"seed": 1, "random_seed": 2}, {"random_seed": 2}, [("seed", "dropped")]),
        (
            "openrouter",
            {"reasoning_effort": "low", "reasoning": {"max_tokens": 99}},
            {"reasoning": {"max_tokens": 99}},
            [("reasoning_effort", "dropped")],
        ),
        ("zai", {"tools": [OTHER], "tool_choice": "none"}, {}, [("tools", "dropped")]),
        (
            "openrouter",
            {
                "tools": [TOOL, OTHER],
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]},
                },
            },
            {"tools": [OTHER], "tool_choice": "required"},
            [("tools[0]", "dropped"), ("tool_choice", "changed")],
        ),
    ],
)
def test_what_is_lost_is_told(accent, given, left, adaptations):
    assert sent(accent, **given) == left
    assert told(accent, **given) == adaptations


@pytest.mark.parametrize(
    ("accent", "given", "field"),
    [
        ("deepseek", {"n": 2}, "n"),
        ("groq", {"modalities": ["text", "audio"]}, "modalities"),
        ("mistral", {"web_search_options": {}}, "web_search_options"),
        ("perplexity", {"tools": [TOOL]}, "tools"),
        ("ollama", {"tools": [TOOL], "tool_choice": "required"}, "tool_choice"),
        ("openai", {"tool_choice": "required"}, "tool_choice"),
        ("deepseek", {"messages": [{"role": "user", "content": [SOUND]}]}, "messages[0].content[0]"),
        ("groq", {"messages": [HI, {"role": "user", "content": [FILE]}]}, "messages[1].content[0]"),
        (
            "mistral",
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "x"}}]}]},
            "messages[0].content[0]",
        ),
        (
            "ollama",
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}]},
            "messages[0].content[0]",
        ),
        ("openai", {"messages": CALLED[:2]}, "messages[1].tool_calls[0]"),
        ("openai", {"messages": [*CALLED[:2], HI]}, "messages[1].tool_calls[0]"),
        ("openai", {"messages": [HI, CALLED[2]]}, "messages[1].tool_call_id"),
        ("openai", {"messages": [*CALLED, CALLED[2]]}, "messages[3].tool_call_id"),
        ("mistral", {"messages": [{"role": "function", "name": "f", "content": ""}]}, "messages[0].name"),
        ("groq", {"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0]"),
    ],
)
def test_what_would_change_the_question_is_refused_with_its_place(accent, given, field):
    assert refused(accent, **given) == field


@pytest.mark.parametrize(
    ("model", "given", "left", "adaptations"),
    [
        (
            Model("m", has_sampling=False),
            {"temperature": 0, "top_p": 1, "max_tokens": 9},
            {"max_completion_tokens": 9},
            [("temperature", "dropped")],
        ),
        (Model("m", max_output_tokens=100), {"max_tokens": 200}, {"max_tokens": 100}, [("max_tokens", "changed")]),
        (Model("m", has_reasoning=False), {"reasoning_effort": "high"}, {}, [("reasoning_effort", "dropped")]),
        (Model("m", has_reasoning=False), {"reasoning_effort": "none"}, {}, []),
        (
            Model("m", reasoning_efforts=frozenset({"low", "high"})),
            {"reasoning_effort": "minimal"},
            {"reasoning_effort": "low"},
            [("reasoning_effort", "changed")],
        ),
        (
            Model("m", has_logprobs=False),
            {"logprobs": True, "top_logprobs": 2},
            {},
            [("logprobs", "dropped"), ("top_logprobs", "dropped")],
        ),
        (
            Model("m", has_strict_tools=False),
            {"tools": [TOOL]},
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]},
            [("tools[0].function.strict", "dropped")],
        ),
    ],
)
def test_what_the_model_is_known_not_to_take_goes_with_a_word(model, given, left, adaptations):
    assert sent("openai", model, **given) == left
    assert told("openai", model, **given) == adaptations


@pytest.mark.parametrize(
    ("model", "part"),
    [(Model("m", has_vision=False), IMAGE), (Model("m", has_audio=False), SOUND), (Model("m", has_pdf=False), FILE)],
)
def test_a_part_that_the_model_can_not_sense_is_refused(model, part):
    messages = [HI, {"role": "user", "content": [{"type": "text", "text": "x"}, part]}]
    assert refused("openai", model, messages=messages) == "messages[1].content[1]"
    assert sent("openai", messages=messages)["messages"] == messages


def test_a_model_without_tools_or_forced_calls_refuses_them():
    assert refused("openai", Model("m", has_tools=False), tools=[TOOL]) == "tools"
    forced = {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}}
    assert refused("openai", Model("m", has_forced_tools=False), **forced) == "tool_choice"


def test_confidence_asks_for_logprobs_only_where_they_are_to_be_had():
    request = ChatRequest.parse(json.dumps({"messages": [HI]}).encode())
    needs = Asking(needs_logprobs=True)

    def asked(accent: str, model: Model) -> bool:
        target = Target(Deployment(model="m", provider="p", upstream="up"), model)
        wire = ACCENTED["openai"][accent].encode(request, target, needs)
        assert isinstance(wire, WireRequest)
        return "logprobs" in json.loads(wire.body)

    assert asked("openai", UNKNOWN)
    assert not asked("openai", Model("m", has_logprobs=False))
    assert not asked("mistral", UNKNOWN)


SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "a", "schema": {"type": "object", "title": "T"}, "strict": True},
}


def test_a_schema_that_can_not_be_promised_is_asked_for_in_words():
    system = {"role": "system", "content": "Be brief."}
    body = sent("deepseek", messages=[system, HI], response_format=SCHEMA)
    assert body["response_format"] == {"type": "json_object"}
    assert body["messages"][0]["content"].startswith("Be brief.\n\nAnswer with JSON that matches")
    assert '{"type":"object","title":"T"}' in body["messages"][0]["content"]
    assert told("deepseek", messages=[system, HI], response_format=SCHEMA) == [
        ("response_format", "changed"),
        ("messages[0].content", "changed"),
    ]
    bare = sent("anthropic", messages=[HI], response_format=SCHEMA)
    assert "response_format" not in bare
    assert [message["role"] for message in bare["messages"]] == ["system", "user"]
    assert spoken("anthropic", response_format=SCHEMA).is_json_told  # type: ignore[union-attr]
    assert not spoken("deepseek", response_format=SCHEMA).is_json_told  # type: ignore[union-attr]
    poor = Model("m", has_json_mode=False)
    assert "response_format" not in sent("openai", poor, messages=[HI], response_format={"type": "json_object"})
    assert sent("openai", response_format=SCHEMA) == {"response_format": SCHEMA}


@pytest.mark.parametrize(
    ("wanted", "taken", "nearest"),
    [
        ("high", {"low"}, "low"),
        ("minimal", {"none", "low"}, "none"),
        ("max", {"low", "xhigh"}, "xhigh"),
        ("low", {"low"}, "low"),
    ],
)
def test_the_nearest_effort(wanted, taken, nearest):
    assert nearest_effort(wanted, frozenset(taken)) == nearest


def test_adaptations_say_why():
    wire = spoken("groq", seed=7, logit_bias={"1": 2})
    assert isinstance(wire, WireRequest)
    assert wire.adaptations == (Adaptation("logit_bias", "dropped", "the provider's API has no such field"),)


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "assistant", "content": None, "tool_calls": "x"}],
        [{"role": "assistant", "content": None, "tool_calls": [None, 7, {}]}],
        [{"role": "assistant", "content": [None, 7, {}, {"type": ["x"]}], "function_call": 7}],
        [{"role": "tool", "tool_call_id": ["x"], "content": [None]}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": 7}, {"type": "file"}]}],
        [{"role": "user", "content": [{"type": "text"}], "cache_control": 7, "name": {}}],
    ],
)
@pytest.mark.parametrize("accent", ACCENTS)
def test_nonsense_never_raises(accent, messages):
    fields: dict[str, Any] = {
        "tools": [None, 7, {"function": 7}],
        "tool_choice": {"type": 7},
        "response_format": [],
        "stop": 7,
    }
    odd: dict[str, Any] = {
        "stream_options": 7,
        "reasoning_effort": ["x"],
        "temperature": "hot",
        "top_logprobs": "x",
        "functions": 7,
    }
    spoken(accent, messages=messages)
    spoken(accent, Model("m", has_sampling=False, has_json_schema=False), messages=messages, **fields, **odd)
    spoken(accent, messages=messages, stream=True, logprobs=True, function_call=7, response_format={"type": []}, **odd)
