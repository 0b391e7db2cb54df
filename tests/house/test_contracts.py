"""The walls between the packages stand, and each of them would be seen to fall."""

from copy import deepcopy
from typing import Any

import grimp
import pytest
from importlinter import configuration
from importlinter.application.use_cases import read_user_options
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.independence import IndependenceContract
from importlinter.contracts.layers import LayersContract

from tests.house.source import ROOT

configuration.configure()
OPTIONS = read_user_options(str(ROOT / "pyproject.toml"))
CONTRACTS: list[dict[str, Any]] = OPTIONS.contracts_options
OURS = set(OPTIONS.session_options["root_packages"])
KINDS: dict[str, type[Any]] = {
    "layers": LayersContract,
    "forbidden": ForbiddenContract,
    "independence": IndependenceContract,
}
# For each contract, by the number in its name: imports that it exists to forbid.
VIOLATIONS = {
    "1": [
        ("routing.plan", "workers.runner"),
        ("jobs.store.lifecycle", "api.app"),
        ("jobs.states", "jobs.job"),
        ("jobs.settings", "routing.catalog"),
        ("routing.plan", "jobs.store.lifecycle"),
        ("workers.runner", "api.app"),
        ("jobs.store.lessons", "jobs.lessons"),
    ],
    "2": [
        ("routing.catalog", "routing.plan"),
        ("routing.prices", "routing.catalog"),
        ("routing.plan", "routing.verdict"),
        ("routing.verdict", "routing.showing"),
        ("routing.limits", "routing.breaker"),
        ("routing.addresses", "routing.webhooks"),
        ("routing.learn.sums", "routing.eligibility"),
        ("routing.tokens", "routing.learn.fits"),
    ],
    "3": [
        ("routing.plan", "random"),
        ("routing.verdict", "time"),
        ("jobs.job", "os"),
        ("routing.dialects.openai", "httpx2"),
    ],
    "4": [
        ("routing.dialects.openai", "routing.dialects.anthropic"),
        ("routing.dialects.anthropic", "routing.dialects.openai"),
        ("routing.dialects.gemini", "routing.dialects.anthropic"),
    ],
    "5": [("workers.runner", "aiohttp"), ("workers.webhooks", "aiohttp"), ("api.app", "httpx2")],
    "6": [("workers.runner", "sqlalchemy"), ("api.app", "psycopg"), ("jobs.signals", "sqlalchemy")],
    "7": [
        ("workers.gate", "redis"),
        ("workers.streams", "redis"),
        ("workers.counters", "redis"),
        ("jobs.store.session", "redis"),
    ],
    "8": [("api.app", "routing.verdict"), ("api.app", "workers.app")],
    "8b": [("api.app", "routing.dialects.openai")],
    "9": [("sandbox.wires.openai", "jobs.chat"), ("sandbox.models", "routing.catalog")],
    "10": [("workers.runner", "opentelemetry"), ("jobs.store.flush", "prometheus_client")],
    "9b": [("workers.app", "cli.main"), ("api.app", "cli.up")],
}


def number(contract: dict[str, Any]) -> str:
    head: str = contract["name"].partition(".")[0]
    return head


BY_NUMBER = {number(contract): contract for contract in CONTRACTS}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*OURS, include_external_packages=True, cache_dir=None)


def is_kept(contract: dict[str, Any], graph: grimp.ImportGraph) -> bool:
    """As lint-imports judges; on a copy, because a check may prune its graph."""
    judge = KINDS[contract["type"]](
        name=contract["name"], session_options=OPTIONS.session_options, contract_options=contract
    )
    kept: bool = judge.check(deepcopy(graph), verbose=False).kept
    return kept


@pytest.mark.parametrize("contract", CONTRACTS, ids=number)
def test_the_wall_stands(contract: dict[str, Any], graph: grimp.ImportGraph):
    assert is_kept(contract, graph)


@pytest.mark.parametrize(
    ("contract", "importer", "imported"),
    [(key, importer, imported) for key, pairs in VIOLATIONS.items() for importer, imported in pairs],
)
def test_one_bad_import_is_seen(contract: str, importer: str, imported: str, graph: grimp.ImportGraph):
    """A planted import of an existing module of ours, so that a renamed one can't turn the proof into nothing."""
    planted = deepcopy(graph)
    assert importer in planted.modules
    if imported.partition(".")[0] in OURS:
        assert imported in planted.modules
    elif imported not in planted.modules:
        planted.add_module(imported, is_squashed=True)
    planted.add_import(importer=importer, imported=imported)
    assert not is_kept(BY_NUMBER[contract], planted)


def test_every_contract_has_been_seen_to_fall():
    assert BY_NUMBER.keys() == VIOLATIONS.keys()
