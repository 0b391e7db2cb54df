"""`tokenyard providers`: the table for a person at night, and the sentences that say what to type."""

import re
from typing import Any

import msgspec

from cli.providers import _keys, _state, _used, troubles
from tests.cli.lab import Lab

WELL = {"state": "closed", "opens_in_s": 0.0, "tripped_for_s": None, "trips": 0, "calls": 9, "failures": 0}
SICK = {"state": "open", "opens_in_s": 12.0, "tripped_for_s": 200.0, "trips": 3, "calls": 6, "failures": 5}


def a_key(**changes: Any) -> dict[str, Any]:
    whole = {"index": 0, "env": "ACME_KEY", "is_set": True, "closing": None, "disabled_s": 0.0, "trouble": None}
    whole |= {"models": []}
    return whole | {"troubled_for_s": None} | changes


def a_provider(**changes: Any) -> dict[str, Any]:
    return {"id": "acme", "is_on": True, "breaker": WELL, "deployments": [], "keys": [a_key()]} | changes


def test_of_what_is_well_nothing_is_said():
    assert list(troubles([a_provider()], None)) == []


def test_an_open_breaker_says_since_when_and_when_it_is_tried_again():
    deployments = [{"id": "maker/small@acme", "breaker": SICK}]
    (said,) = troubles([a_provider(deployments=deployments)], None)
    assert said.startswith("maker/small@acme: sick for 3 min 20 s (5 of 6 calls failed; opened 3 times); tried again")
    assert "in 12 s. Nothing to type" in said
    (said,) = troubles([a_provider(breaker=SICK | {"state": "half_open", "opens_in_s": 0.0})], None)
    assert "its next call tries it" in said


def test_a_refused_key_says_which_and_what_to_type():
    refused = a_key(trouble="bad_key", troubled_for_s=75.0, disabled_s=45.0)
    (said,) = troubles([a_provider(keys=[a_key(index=1), refused])], None)
    assert said.startswith("acme, key 0 (ACME_KEY): the provider refuses it, since 1 min 15 s ago; tried again in 45 s")
    assert "export a working ACME_KEY and `tokenyard down && tokenyard up`" in said
    (said,) = troubles([a_provider(keys=[refused | {"trouble": "no_credit"}])], None)
    assert "no money left" in said


def closing(**changes: Any) -> dict[str, Any]:
    return {"why": "rate_limited", "closed_s": 8.0, "tried_s": 8.0, "closed_for_s": 3.0} | changes


def test_a_closed_key_says_for_how_long():
    (said,) = troubles([a_provider(keys=[a_key(closing=closing())])], None)
    assert said == (
        "acme, key 0 (ACME_KEY): closed with all its models; the provider limits it (429), for another 8.0 s; "
        "one call tries it in 8.0 s, the others wait"
    )


def test_a_closed_model_says_which_and_that_the_others_go_on():
    models: list[dict[str, Any]] = [
        {"model": f"gpt-{number}", "closing": closing(closed_s=7_200.0, tried_s=0.0)} for number in range(12)
    ]
    models.append({"model": "gpt-well", "closing": None})
    *said, rest = troubles([a_provider(keys=[a_key(models=models)])], None)
    assert len(said) == 10
    assert said[0] == (
        "acme, key 0 (ACME_KEY), gpt-0: closed; the provider limits it (429), for another 2 h; "
        "its next call tries it, the others wait. Its other models go on"
    )
    assert rest == "acme, key 0 (ACME_KEY): 2 more models are closed; --json has them all"
    refused = [{"model": "o3", "closing": closing(why="bad_key", closed_s=0.0, tried_s=0.0)}]
    (said_of_it,) = troubles([a_provider(keys=[a_key(models=refused)])], None)
    assert "the provider refuses the key for it, until a call shows that it is over; its next call tries" in said_of_it


def test_the_table_counts_what_is_closed(lab: Lab):
    keys = msgspec.json.decode(lab.said("providers", "--json"))["data"][0]["keys"]
    (key,) = keys
    model = {"model": "small", "closing": closing(), "in_flight": 3, "limits": {"concurrency": 4}}
    model |= {"requests_used_share": None, "tokens_used_share": None}
    whole = a_provider(keys=[key | {"models": [model]}])
    assert (_state(whole), _keys(whole["keys"]), _used(whole["keys"])) == ("1 model closed", "1 of 1", "75%")
    whole = a_provider(keys=[key | {"closing": closing()}])
    assert (_state(whole), _keys(whole["keys"])) == ("key closed", "0 of 1")
    assert _state(a_provider(keys=[key | {"closing": closing(closed_s=0.0)}])) == "well", "its next call tries it"


def test_a_provider_that_is_off_says_which_key_it_lacks():
    (said,) = troubles([a_provider(is_on=False, keys=[a_key(is_set=False)])], None)
    assert said.startswith(
        "Off, because no key is set: acme (ACME_KEY). To use one, export its key and `tokenyard down"
    )


def test_the_table_has_a_line_for_each_provider_with_the_ledgers_hour(lab: Lab):
    _, (job,) = lab.submitted(1)
    lab.succeed(job)
    said = lab.said("providers")
    (line,) = [line for line in said.splitlines() if line.startswith("lab")]
    assert re.fullmatch(r"lab +well +1 of 1 +- +1 +0 +380 ms +380 ms +\$0\.000123 *", line), line


def test_for_machines_it_prints_the_apis_answer(lab: Lab):
    found = msgspec.json.decode(lab.said("providers", "--json"))
    assert (found["is_known"], [each["id"] for each in found["data"]]) == (True, ["lab"])
