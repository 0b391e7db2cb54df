"""Budgets on the command line: set, listed, checked against the ledger, removed."""

from decimal import Decimal

import pytest
from sqlalchemy import text

from jobs.configuration import ENVIRONMENT
from jobs.store.session import Database
from tests.cli.lab import Lab

DATABASE_VARIABLE = next(iter(ENVIRONMENT))


@pytest.fixture
def operator(lab: Lab) -> Lab:
    """Holds the database as well as a key."""
    lab.environment[DATABASE_VARIABLE] = lab._database_url
    return lab


def amounts(line: str) -> list[str]:
    return [word for word in line.split() if word.startswith("$")]


def test_a_budget_is_set_raised_listed_and_removed(lab: Lab):
    assert "No budgets" in lab.said("budgets", "list")
    made = lab.said("budgets", "set", "25", "--period", "day", "--alert", "90")
    assert amounts(made.splitlines()[-1]) == ["$25.0000", "$0", "$0", "$25.0000"]
    raised = lab.said("budgets", "set", "30", "--period", "day")
    budget = next(word for word in raised.split() if word.startswith("budget_"))
    assert budget in made
    assert amounts(lab.said("budgets", "list").splitlines()[-1])[0] == "$30.0000"
    assert "removed" in lab.said("budgets", "remove", budget)
    assert "No budgets" in lab.said("budgets", "list")


def test_a_key_has_a_budget_of_its_own(lab: Lab):
    key = next(word for word in lab.run("keys", "create", "--name", "x").stderr.split() if word.startswith("key_"))
    assert key in lab.said("budgets", "set", "1", "--key", key)
    done = lab.run("budgets", "set", "a lot")
    assert (done.exit_code, "cap_usd" in done.stderr) == (1, True)


def test_a_check_finds_drift_and_repairs_it(operator: Lab):
    operator.said("budgets", "set", "1")
    assert "0 adrift" in operator.said("budgets", "check")

    async def tamper(database: Database) -> None:
        async with database.transaction() as connection:
            await connection.execute(text("update budgets set settled_usd = :usd"), {"usd": Decimal("0.5")})

    operator.record(tamper)
    done = operator.run("budgets", "check")
    assert done.exit_code == 1
    assert "0.5" in done.stderr
    assert operator.run("budgets", "check", "--repair").exit_code == 0
    assert "0 adrift" in operator.said("budgets", "check")


def test_tenants_are_made_listed_and_given_limits(operator: Lab):
    made = operator.run("tenants", "create", "research")
    assert made.exit_code == 0
    assert made.stdout.startswith("ty_")
    assert operator.run("tenants", "create", "research").exit_code == 1
    operator.environment["TOKENYARD_API_KEY"] = made.stdout.strip()
    assert "No budgets" in operator.said("budgets", "list")
    said = operator.said("tenants", "set", "research", "--weight", "3", "--max-queued-jobs", "500").splitlines()[-1]
    assert said.split()[:3] == ["research", "500", "3"]
    assert "research" in operator.said("tenants", "list")
    assert operator.run("tenants", "set", "nobody", "--weight", "3").exit_code == 1


def test_a_key_may_expire(lab: Lab):
    lab.said("keys", "create", "--name", "guest", "--expires", "7d")
    (line,) = [line for line in lab.said("keys", "list").splitlines() if "guest" in line]
    assert "works till" in line
