"""An unknown key names its nearest, in every section; layers merge."""

from typing import Any

import pytest

from jobs.settings import Settings, SettingsError, merge, parse

PROVIDER = {"dialect": "openai", "base_url": "https://api.example"}


def test_nothing_said_is_all_defaults():
    assert parse([]) == Settings()


def test_later_layers_win_key_by_key():
    settings = parse([{"api": {"port": 1, "host": "a"}}, {"api": {"port": 2}}, {"redis_url": "redis://x"}])
    assert (settings.api.port, settings.api.host, settings.redis_url) == (2, "a", "redis://x")


def test_models_and_deployments_add_up_while_other_lists_are_replaced():
    merged = merge(
        [
            {"models": [{"id": "a"}], "providers": {"x": {"keys": [1]}}},
            {"models": [{"id": "b"}], "providers": {"x": {"keys": [2]}}},
        ]
    )
    assert merged["models"] == [{"id": "a"}, {"id": "b"}]
    assert merged["providers"]["x"]["keys"] == [2]


def test_merging_changes_no_layer():
    first = {"models": [{"id": "a"}], "api": {"port": 1}}
    merge([first, {"models": [{"id": "b"}], "api": {"port": 2}}])
    assert first == {"models": [{"id": "a"}], "api": {"port": 1}}


@pytest.mark.parametrize(
    ("table", "key", "near"),
    [
        ({"databse_url": ""}, "databse_url", "database_url"),
        ({"api": {"prt": 1}}, "api.prt", "port"),
        ({"worker": {"slot": 1}}, "worker.slot", "slots"),
        ({"dispatcher": {"tick": 1}}, "dispatcher.tick", "tick_ms"),
        ({"retention": {"dys": 1}}, "retention.dys", "days"),
        ({"tasks": {"t": {"comparator": "exact"}}}, "comparator", "compare"),
        ({"policies": {"p": {"tier": []}}}, "tier", "tiers"),
        ({"providers": {"p": PROVIDER | {"baseurl": ""}}}, "baseurl", "base_url"),
        ({"providers": {"p": PROVIDER | {"keys": [{"envv": "X"}]}}}, "envv", "env"),
        (
            {"providers": {"p": PROVIDER | {"keys": [{"limits": {"request_per_minute": 1}}]}}},
            "request_per_minute",
            "requests_per_minute",
        ),
        (
            {"providers": {"p": PROVIDER | {"keys": [{"model_limits": {"gpt-4o*": {"concurency": 1}}}]}}},
            "concurency",
            "concurrency",
        ),
        ({"providers": {"p": PROVIDER | {"limit_by": "key"}}}, "limit_by", "limits_by"),
        ({"providers": {"p": PROVIDER | {"keys": [{"model_limit": {}}]}}}, "model_limit", "model_limits"),
    ],
)
def test_an_unknown_key_names_itself_and_the_nearest_known_one(table: dict[str, Any], key: str, near: str):
    with pytest.raises(SettingsError) as error:
        parse([table])
    assert f"{key}'" in str(error.value)
    assert f"did you mean {near!r}?" in str(error.value)


def test_an_unknown_key_like_no_other_lists_the_known_ones():
    with pytest.raises(SettingsError, match=r"known here: .*depth.*tick_ms"):
        parse([{"dispatcher": {"zzzzz": 1}}])


@pytest.mark.parametrize(
    "table",
    [
        {"api": {"port": "eighty"}},
        {"api": 5},
        {"providers": {"p": {"dialect": "klingon", "base_url": ""}}},
        {"providers": {"p": {"dialect": "openai"}}},
        {"policies": {"p": {"choose": "dearest"}}},
        {"providers": {"p": PROVIDER | {"limits_by": "account"}}},
        {"providers": {"p": PROVIDER | {"keys": [{"model_limits": {"": {"concurrency": 1}}}]}}},
        {"providers": {"p": PROVIDER | {"keys": [{"model_limits": {"gpt-4o": {"concurrency": 0}}}]}}},
    ],
)
def test_a_wrong_value_is_an_error_of_the_settings(table: dict[str, Any]):
    with pytest.raises(SettingsError, match="settings: "):
        parse([table])


def test_a_policy_knows_its_name_and_has_no_slash_in_it():
    assert parse([{"policies": {"support": {}}}]).policies["support"].name == "support"
    with pytest.raises(SettingsError, match="no slash"):
        parse([{"policies": {"a/b": {}}}])
