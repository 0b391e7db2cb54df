"""Spellings of one model meet under one key; what may be another model stays apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.sources.names import key_of, provider_named, read_name, unfit_name


@pytest.mark.parametrize(
    ("provider", "spelling", "maker", "key"),
    [
        ("together", "meta-llama/Meta-Llama-3.1-8B-Instruct", "meta", "llama-3-1-8-b-instruct"),
        ("fireworks", "accounts/fireworks/models/llama-v3p1-8b-instruct", "meta", "llama-3-1-8-b-instruct"),
        ("bedrock", "meta.llama3-1-8b-instruct-v1:0", "meta", "llama-3-1-8-b-instruct"),
        ("cloudflare", "@cf/meta/llama-3.1-8b-instruct", "meta", "llama-3-1-8-b-instruct"),
        ("databricks", "databricks-meta-llama-3-1-8b-instruct", "meta", "llama-3-1-8-b-instruct"),
        ("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic", "claude-sonnet-4-5-20250929"),
        ("vertex", "claude-sonnet-4-5@20250929", "anthropic", "claude-sonnet-4-5-20250929"),
        ("anthropic", "claude-sonnet-4-5-20250929", "anthropic", "claude-sonnet-4-5-20250929"),
        ("azure", "FW-GLM-5.3", "zai", "glm-5-3"),
        ("venice", "zai-org-glm-5-3", "zai", "glm-5-3"),
        ("openai", "gpt-4o-2024-08-06", "openai", "gpt-4-o-20240806"),
        ("openai", "o3-mini", "openai", "o-3-mini"),
        ("cohere", "command-r+", "cohere", "command-r-plus"),
        ("nvidia", "nvidia/llama-3.1-nemotron-70b-instruct", "nvidia", "llama-3-1-nemotron-70-b-instruct"),
        ("deepseek", "deepseek-chat", "deepseek", "deepseek-chat"),
        ("some-host", "house-model-7b", "some-host", "house-model-7-b"),
        ("some-host", "acme/house-model-7b", "acme", "house-model-7-b"),
    ],
)
def test_a_spelling_is_read(provider, spelling, maker, key):
    name = read_name(spelling, provider)
    assert name is not None
    assert (name.maker, name.key) == (maker, key)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("qwen2.5-72b", "qwen2.5-72b-instruct"),
        ("llama-3.3-70b-instruct", "llama-3.3-70b-instruct-turbo"),
        ("llama-3.3-70b-instruct", "llama-3.3-70b-instruct-fp8"),
        ("glm-4-9b", "glm-4v-9b"),
        ("gpt-4.1", "gpt-41"),
        ("claude-opus-5", "claude-opus-5-fast"),
        ("command-r", "command-r+"),
        ("mistral-small", "mistral-small-latest"),
    ],
)
def test_what_may_be_another_model_stays_apart(one, other):
    assert key_of(one) != key_of(other)


def test_ids_given_by_hand_hold_where_they_are_meant():
    for provider in ("together", "deepinfra"):
        name = read_name("Qwen/Qwen2.5-72B-Instruct", provider)
        assert name is not None
        assert name.fixed == "qwen/qwen-2.5-72b"
    fixed = [read_name("mistral-small-latest", provider) for provider in ("mistral", "elsewhere")]
    assert [each and each.fixed for each in fixed] == ["mistral/mistral-small", None]


@pytest.mark.parametrize(
    ("spelling", "reason"),
    [
        ("us.anthropic.claude-opus-5", "a regional twin"),
        ("us-gov-west-1/anthropic.claude-3-haiku", "a regional twin"),
        ("claude-opus-4-1-thinking-1024", "the same model under other terms"),
        ("deepseek/deepseek-r1:free", "the same model under other terms"),
        ("auto", "a router or an alias, not a model"),
        ("together-ai-4.1b-8b", "not a chat model"),
        ("qwen/qwen3-30b-a3b-thinking-2507", None),
    ],
)
def test_what_names_no_model_of_its_own_is_left_out(spelling, reason):
    assert unfit_name(spelling) == reason


def test_providers_have_one_name():
    named = [provider_named(each) for each in ("together_ai", "togetherai", "vertex_ai-llama_models", "Acme AI")]
    assert named == ["together", "together", "vertex", "acme-ai"]


@given(st.text(max_size=60), st.text(max_size=20))
def test_any_text_is_read_or_refused_and_an_id_is_safe(spelling, provider):
    name = read_name(spelling, provider_named(provider))
    unfit_name(spelling)
    if name is not None:
        assert name.name
        assert name.key == key_of(name.name)
        assert not set(name.name) & set('/@ \n\t"')
