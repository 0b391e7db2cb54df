"""`tokenyard catalog` from the command line: shown first, written when asked, in force from then on."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from jobs.configuration import load, load_catalog
from tests.routing.sources import lists

SHIPPED = {"litellm_provider": "openai", "input_cost_per_token": 3e-06, "output_cost_per_token": 1e-05}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for variable in ("TOKENYARD_CONFIG", "TOKENYARD_VAR", "TOKENYARD_CATALOG"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "list.json").write_bytes(lists.litellm(**{"gpt-4o": SHIPPED, "gpt-new": {}}))
    return tmp_path


def typed(*words: str) -> Any:
    return CliRunner().invoke(app, ["catalog", *words])


def test_an_import_is_shown_first_and_applied_when_asked(folder: Path):
    words = ("import", "litellm", "list.json", "--as-of", "2026-12-01")
    looked = typed(*words)
    assert looked.exit_code == 0, looked.output
    assert "New: 1 model, 1 deployment." in looked.stdout
    assert "openai/gpt-4o@openai: input 2.5 -> 3 (+20 %)" in looked.stdout
    assert not (folder / "var" / "catalog.json").exists()
    applied = typed(*words, "--apply")
    assert applied.exit_code == 0, applied.output
    catalog = load_catalog(load({"catalog": {"file": "var/catalog.json"}}, {}))
    served = catalog.deployments["openai/gpt-4o@openai"]
    assert served.price is not None
    assert [str(price.input) for price in (served.price, *served.earlier_prices)][:2] == ["3", "2.5"]
    assert "openai/gpt-new@openai" in catalog.deployments
    assert "Changed: 0 prices" in typed(*words).stdout
    assert "2 models in" in typed("check").stdout


def test_a_model_is_shown_with_the_source_of_each_fact(folder: Path):
    said = typed("show", "openai/gpt-4o").stdout
    assert "models.dev" in said
    assert "openai/gpt-4o@azure" in said
    wrong = typed("show", "openai/gpt4o")
    assert wrong.exit_code == 1
    assert "did you mean 'openai/gpt-4o'" in wrong.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("import", "nobody", "list.json"), "none of litellm, models.dev, openrouter"),
        (("import", "litellm", "missing.json"), "missing.json can't be read"),
        (("import", "models.dev", "list.json"), "is this models.dev's api.json"),
        (("import", "litellm", "list.json", "--as-of", "yesterday"), "is no day"),
        (("build", "out.json", "litellm"), "is not SOURCE=FILE@DAY"),
    ],
)
def test_what_is_wrong_is_said(folder: Path, words: tuple[str, ...], says: str):
    answer = typed(*words)
    assert answer.exit_code != 0
    assert says in " ".join(answer.output.replace("│", " ").split())


def test_a_broken_file_of_ones_own_names_itself(folder: Path):
    (folder / "var").mkdir()
    (folder / "var" / "catalog.json").write_text("{")
    answer = typed("check")
    assert answer.exit_code == 1
    assert "not a catalogue file" in " ".join(answer.output.split())


def test_a_file_is_built_from_lists_alone(folder: Path):
    answer = typed("build", "out.json", "litellm=list.json@2026-11-25")
    assert answer.exit_code == 0, answer.output
    assert (folder / "out.json").read_bytes().startswith(b'{"format": 1')
