"""`tokenyard ledger rerate`: the table, the sentence below it, and JSON."""

from decimal import Decimal

import msgspec

from cli.ledger import signed
from tests.cli.lab import Lab


def test_nothing_is_said_of_nothing(lab: Lab):
    assert "No calls" in lab.said("ledger", "rerate", "--since", "1m", "--deployment", "nobody/nothing@nowhere")


def test_json_is_the_apis_answer(lab: Lab):
    answer = msgspec.json.decode(lab.said("ledger", "rerate", "--since", "2026-01-01", "--json"))
    assert answer["catalog_version"]


def test_a_difference_has_its_sign():
    assert [signed(Decimal(text)) for text in ("0", "0.5", "-12.5")] == ["0", "+$0.5000", "-$12.5000"]
