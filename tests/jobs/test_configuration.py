"""Where settings come from, and who wins."""

import os
from pathlib import Path

import pytest

from jobs.configuration import config_paths, load, providers_on, secret
from jobs.settings import SettingsError, parse


def test_flags_win_over_the_environment_and_that_over_the_files(tmp_path: Path):
    file = tmp_path / "a.toml"
    file.write_text('database_url = "file"\nredis_url = "file"\n[api]\nport = 1\nhost = "file"\n')
    environment = {"TOKENYARD_CONFIG": str(file), "TOKENYARD_DATABASE_URL": "env", "TOKENYARD_REDIS_URL": ""}
    settings = load({"api": {"port": 3}}, environment)
    assert (settings.database_url, settings.redis_url) == ("env", "file")
    assert (settings.api.port, settings.api.host) == (3, "file")


def test_later_files_win(tmp_path: Path):
    for name, port in (("a", 1), ("b", 2)):
        (tmp_path / name).write_text(f"[api]\nport = {port}\n")
    named = os.pathsep.join(str(tmp_path / name) for name in ("a", "b"))
    assert load(environ={"TOKENYARD_CONFIG": named}).api.port == 2


def test_the_file_beside_us_is_read_when_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert config_paths({}) == []
    Path("tokenyard.toml").write_text("")
    assert config_paths({}) == [Path("tokenyard.toml")]


@pytest.mark.parametrize(("content", "said"), [(None, "does not exist"), ("a =", "not valid TOML")])
def test_a_bad_file_is_named(tmp_path: Path, content: str | None, said: str):
    file = tmp_path / "bad.toml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError, match=said) as error:
        load(environ={"TOKENYARD_CONFIG": str(file)})
    assert "bad.toml" in str(error.value)


def test_a_provider_is_on_with_a_key_or_when_it_wants_none():
    def provider(*variables: str | None) -> dict[str, object]:
        keys = [{} if variable is None else {"env": variable} for variable in variables]
        return {"dialect": "openai", "base_url": "", "keys": keys}

    settings = parse([{"providers": {"off": provider("A"), "on": provider("A", "B"), "local": provider(None)}}])
    assert providers_on(settings, {"A": "", "B": "secret"}) == {"on", "local"}


def test_a_secret_comes_from_its_variable_or_not_at_all(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOME_KEY", "sesame")
    assert secret("SOME_KEY") == "sesame"
    assert secret(None) is None
    monkeypatch.setenv("SOME_KEY", "")
    with pytest.raises(SettingsError, match="SOME_KEY"):
        secret("SOME_KEY")


def test_what_ships_can_be_read():
    assert load(environ={"TOKENYARD_CONFIG": os.devnull}).providers
