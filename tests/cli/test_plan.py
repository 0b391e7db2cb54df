"""What a yard is made of, with and without a provider's key, with and without servers of its own."""

import tomllib

import msgspec
import pytest

from cli import offline, processes
from cli.plan import compose
from cli.processes import Process, SandboxProvider
from cli.yard import Yard
from jobs.settings import parse
from routing.catalog import Catalog, Deployment, Model

KEYED = """
[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
keys = [{ env = "TEST_PROVIDER_KEY" }]
"""
OWN_SERVERS = {"TOKENYARD_DATABASE_URL": "postgresql://db/yard", "TOKENYARD_REDIS_URL": "redis://bell/0"}


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tokenyard.toml"
    path.write_text(KEYED)
    return str(path)


def names(steps: tuple[Process, ...] | list[Process]) -> list[str]:
    return [process.name for process in steps]


def test_without_a_key_the_sandbox_starts_after_the_users_settings(tmp_path, config):
    yard = Yard(tmp_path / "var")
    plan = compose(yard, {"TOKENYARD_CONFIG": config})
    assert names(list(plan.processes)) == [
        "sandbox-east", "sandbox-west", "sandbox-north", "sandbox-south",
        "api", "worker-interactive", "worker-bulk", "worker-quarantine", "webhooks", "dispatcher", "flower",
    ]  # fmt: skip
    assert names(list(plan.steps)) == ["migrate", "sandbox-train"]
    assert plan.environment["TOKENYARD_CONFIG"].split(":") == [config, str(yard.sandbox_config)]
    assert [server.name for server in plan.servers] == ["postgres", "redis"]


def test_with_a_key_there_is_no_sandbox(tmp_path, config):
    plan = compose(Yard(tmp_path / "var"), {"TOKENYARD_CONFIG": config, "TEST_PROVIDER_KEY": "k"})
    assert not [name for name in names(list(plan.processes)) if name.startswith("sandbox")]
    assert plan.environment["TOKENYARD_CONFIG"] == config


def test_the_sandbox_alone_leaves_the_users_providers_out(tmp_path, config):
    yard = Yard(tmp_path / "var")
    plan = compose(yard, {"TOKENYARD_CONFIG": config, "TEST_PROVIDER_KEY": "k", "TOKENYARD_SANDBOX": "only"})
    assert plan.environment["TOKENYARD_CONFIG"] == str(yard.sandbox_config)
    assert "sandbox-east" in names(list(plan.processes))


def test_servers_that_are_named_are_not_started(tmp_path, config):
    plan = compose(Yard(tmp_path / "var"), {"TOKENYARD_CONFIG": config, **OWN_SERVERS})
    assert plan.servers == ()
    assert {key: plan.environment[key] for key in OWN_SERVERS} == OWN_SERVERS


def test_providers_outlive_the_workers_that_call_them(tmp_path, config):
    plan = compose(Yard(tmp_path / "var"), {"TOKENYARD_CONFIG": config})
    stages = {process.name: process.stop_stage for process in plan.processes}
    workers = {stages[name] for name in stages if name.startswith("worker")}
    assert all(stages[name] > max(workers) for name in stages if name.startswith("sandbox"))


def test_the_sandboxs_settings_are_valid_and_serve_both_policies():
    chosen = [
        SandboxProvider("sandbox-east", processes.SMALL, 1, 150),
        SandboxProvider("sandbox-west", processes.SMALL, 2, 150),
        SandboxProvider("sandbox-north", processes.LARGE, 3, 400),
        SandboxProvider("sandbox-south", processes.OTHER, 4, 400, "anthropic"),
    ]
    settings = parse([tomllib.loads(offline.config(chosen))])
    catalog = Catalog.of(
        (msgspec.convert(model, Model) for model in settings.models),
        (msgspec.convert(deployment, Deployment) for deployment in settings.deployments),
    )
    counts = {name: len(catalog.candidates(name)) for name in catalog.models}
    assert counts == {processes.SMALL: 2, processes.LARGE: 1, processes.OTHER: 1}
    assert all(deployment.price is not None and deployment.is_sandbox for deployment in catalog.deployments.values())
    assert all(provider.is_sandbox for provider in settings.providers.values())
    for policy in ("auto", "support"):
        tiers = settings.policies[policy].tiers
        assert tiers == ((processes.SMALL,), (processes.LARGE, processes.OTHER))


def test_each_offline_provider_gets_a_port_of_its_own():
    ports = [provider.port for provider in offline.providers()]
    assert len(set(ports)) == 4


def test_the_dear_tier_has_two_makers_that_speak_different_wires():
    settings = parse([tomllib.loads(offline.config(offline.providers()))])
    spoken = {one["model"]: settings.providers[one["provider"]] for one in settings.deployments}
    dear = [spoken[model] for model in settings.policies["support"].tiers[1]]
    assert [provider.dialect for provider in dear] == ["openai", "anthropic"]
    assert dear[1].base_url.endswith("/anthropic")


def test_a_provider_that_wants_no_key_is_on():
    local = parse([{"providers": {"local": {"dialect": "openai", "base_url": "http://127.0.0.1:11434/v1"}}}])
    assert offline.has_provider(local, {})
    assert not offline.has_provider(parse([tomllib.loads(KEYED)]), {})
    assert not offline.has_provider(parse([]), {})


def test_flower_gets_a_password_that_stays_the_users_own_if_there_is_one(tmp_path, config):
    yard = Yard(tmp_path / "var")

    def password(environ: dict[str, str]) -> str:
        plan = compose(yard, {"TOKENYARD_CONFIG": config, **environ})
        (flower,) = [process for process in plan.processes if process.name == "flower"]
        return flower.environment["TOKENYARD_FLOWER_PASSWORD"]

    assert password({"TOKENYARD_FLOWER_PASSWORD": "mine"}) == "mine"
    assert yard.flower_password() is None
    kept = password({})
    assert len(kept) > 30
    assert password({}) == kept == yard.flower_password()
