"""The catalogue on the command line, from a yard or from the settings."""

import msgspec
from typer.testing import CliRunner

from cli.main import app
from cli.models import rows
from tests.cli.lab import Lab

MODEL = {"id": "maker/small", "context_tokens": None, "has_tools": True, "has_vision": False, "has_logprobs": None}


def test_a_running_yard_is_asked(lab: Lab):
    said = lab.said("models")
    (line,) = [line for line in said.splitlines() if line.startswith("maker/small")]
    assert line.split() == ["maker/small", "vision?", "logprobs?", "8,000", "lab", "on", "0.10", "0.20", "2026-01-01"]


def test_json_is_the_apis_own_objects(lab: Lab):
    models = [msgspec.json.decode(line) for line in lab.said("models", "--on", "--json").splitlines()]
    assert [model["id"] for model in models] == ["maker/small"]
    assert models[0]["deployments"][0]["price"]["input_usd_per_mtok"] == "0.10"


def test_without_a_yard_the_settings_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for variable in ("OPENAI_API_KEY", "TOGETHER_API_KEY", "TOKENYARD_URL", "TOKENYARD_CONFIG"):
        monkeypatch.delenv(variable, raising=False)
    assert "openai/gpt-4o" not in CliRunner().invoke(app, ["models", "--on"]).stdout
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    answer = CliRunner().invoke(app, ["models", "--on"])
    assert "openai/gpt-4o" in answer.stdout
    assert "what the settings say" in answer.stderr


def test_what_nobody_knows_is_said():
    unpriced = {"provider": "lab", "enabled": False, "price": None}
    assert rows(MODEL | {"deployments": [unpriced]}) == [
        ("maker/small", "tools logprobs?", "unknown", "lab", "off", "unknown", "unknown", "")
    ]
    assert rows(MODEL | {"deployments": []})[0][3] == "nobody"


def test_one_model_is_told_fact_by_fact(lab: Lab):
    said = lab.said("models", "maker/small")
    matrix, _, _ = said.partition("maker/small@lab (on)")
    facts = {line.split()[0]: line.split()[1] for line in matrix.splitlines() if line.strip()}
    assert (facts["context_tokens"], facts["has_tools"], facts["json_adherence"]) == ("8,000", "no", "unknown")
    assert "maker/small@lab (on)" in said
    assert "input 0.10, output 0.20" in said


def test_the_whole_catalogue_is_listed_when_asked(lab: Lab):
    listed = lab.said("models", "--all")
    assert "openai/gpt-4o-mini" in listed
    assert "openai/gpt-4o-mini" not in lab.said("models")
