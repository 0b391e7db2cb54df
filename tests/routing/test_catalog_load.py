"""The catalogue is built from shipped and own entries; a name that leads nowhere is refused with the nearest."""

import datetime as dt
import json
from typing import Any

import pytest

from jobs.policy import Policy
from jobs.settings import Provider, Settings, SettingsError
from routing.book import open_book
from routing.catalog import Catalog, Deployment
from routing.catalog_load import SETTINGS, catalog_of

SHIPPED = """
[[models]]
id = "acme/writer"
[[deployments]]
model = "acme/writer"
provider = "shipped"
upstream = "writer"
"""
MINE = {"mine": Provider(dialect="openai", base_url="http://127.0.0.1:9")}


def own(**fields: Any) -> dict[str, Any]:
    return {"model": "acme/writer", "provider": "mine", "upstream": "w"} | fields


def price(**fields: Any) -> dict[str, Any]:
    return {"input": "1", "output": "2", "valid_from": "2026-01-01", "source": "test"} | fields


def test_own_entries_stand_beside_the_shipped_ones():
    catalog = catalog_of(Settings(providers=MINE, deployments=(own(price=price()),)), SHIPPED)
    assert set(catalog.deployments) == {"acme/writer@shipped", "acme/writer@mine"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (Settings(policies={"x": Policy(tiers=(("acme/wrter",),))}), "did you mean 'acme/writer'"),
        (Settings(providers=MINE, deployments=(own(provider="mnie"),)), "did you mean 'mine'"),
        (Settings(providers=MINE, deployments=(own(price=price(input="-1")),)), "below 0"),
        (Settings(providers=MINE, deployments=(own(price=price(output="x")),)), "acme/writer@mine"),
        (Settings(providers=MINE, deployments=(own(model="acme/gone"),)), "there is no model 'acme/gone'"),
        (Settings(models=({"id": "a/b", "contxt": 1},)), "a/b"),
    ],
)
def test_what_could_only_fail_later_is_refused_at_once(settings, says):
    with pytest.raises(SettingsError, match=says):
        catalog_of(settings, SHIPPED)


def input_usd(served: Deployment, *day: int) -> Any:
    price = served.price_on(dt.date(*day))
    return None if price is None else price.input


def book(models: dict[str, Any], sources: tuple[tuple[str, str], ...] = (("2026-08-01", "a list"),)) -> bytes:
    said = [{"as_of": day, "source": source} for day, source in sources]
    return json.dumps({"format": 1, "sources": said, "models": models}).encode()


def listed(*, usd: str = "3", window: int = 8_000, day: str = "2026-08-01") -> dict[str, Any]:
    served = {
        "facts": {"upstream": ["up", 0], "has_caching": [True, 0]},
        "prices": [{"input": usd, "output": usd, "valid_from": day, "source": 0}],
    }
    return {"model": {"context_tokens": [window, 0], "has_tools": [True, 0]}, "deployments": {"shipped": served}}


def opened(*files: bytes, kept: str = SHIPPED, **settings: Any) -> Catalog:
    return catalog_of(Settings(providers=MINE, **settings), kept, [open_book(file, "a file") for file in files])


def test_a_files_facts_carry_their_source_and_day():
    catalog = opened(book({"acme/writer": listed(), "acme/other": listed()}))
    model, served = catalog.models["acme/writer"], catalog.deployments["acme/writer@shipped"]
    assert (model.context_tokens, model.source, model.as_of) == (8_000, "a list", dt.date(2026, 8, 1))
    assert (served.upstream, served.has_caching, served.evidence["upstream"].source) == ("writer", True, "kept by hand")
    assert (input_usd(served, 2026, 8, 1), input_usd(served, 2026, 7, 31)) == (3, None)
    assert catalog.candidates("acme/other")[0].id == "acme/other@shipped"
    assert catalog.served.at(["shipped"]) == list(catalog.models)
    assert [len(catalog.at([name])) for name in ("shipped", "elsewhere", "a")] == [2, 0, 0]


def test_what_was_said_later_stands_and_of_prices_the_history():
    older, newer = (
        book({"acme/writer": listed()}),
        book({"acme/writer": listed(usd="2", window=16_000, day="2026-09-01")}, (("2026-09-01", "another list"),)),
    )
    for files in ((older, newer), (newer, older)):
        model = opened(*files).models["acme/writer"]
        served = opened(*files).deployments["acme/writer@shipped"]
        assert (model.context_tokens, model.source) == (16_000, "another list")
        assert len(served.earlier_prices) == 1
        assert (input_usd(served, 2026, 8, 31), input_usd(served, 2026, 9, 1)) == (3, 2)


def test_the_settings_replace_the_fields_they_name_and_prices_from_their_day_on():
    settings = Settings(
        providers={"shipped": MINE["mine"]},
        models=({"id": "acme/writer", "has_tools": False},),
        deployments=(own(provider="shipped", price=price(input="9", valid_from="2026-10-01")),),
    )
    catalog = catalog_of(settings, SHIPPED, [open_book(book({"acme/writer": listed()}), "a file")])
    model, served = catalog.models["acme/writer"], catalog.deployments["acme/writer@shipped"]
    assert (model.has_tools, model.evidence["has_tools"].source, model.context_tokens) == (False, SETTINGS, 8_000)
    assert (input_usd(served, 2026, 10, 1), input_usd(served, 2026, 9, 30)) == (9, 3)


def test_families_and_providers_kept_by_hand_hold_for_all_that_fit():
    kept = (
        SHIPPED
        + """
[[families]]
match = ["acme/w*"]
has_strict_tools = true
source = "acme's manual"
as_of = 2026-11-01
[[providers]]
name = "shipped"
data_policy = "forgets at once"
source = "their terms"
as_of = 2026-11-02
"""
    )
    catalog = opened(book({"acme/writer": listed(), "acme/other": listed()}), kept=kept)
    assert [catalog.models[name].has_strict_tools for name in ("acme/writer", "acme/other")] == [True, None]
    assert catalog.models["acme/writer"].evidence["has_strict_tools"].as_of == dt.date(2026, 11, 1)
    served = catalog.deployments["acme/other@shipped"]
    assert (served.data_policy, served.evidence["data_policy"].source) == ("forgets at once", "their terms")


def test_a_smaller_window_at_a_provider_is_its_own():
    entry = listed()
    entry["deployments"]["small"] = {
        "facts": {"upstream": ["s", 0], "context_tokens": [1_000, 0], "lacks": [["has_tools"], 0]},
        "prices": [],
    }
    catalog = opened(book({"acme/writer": entry}))
    there = catalog.model_at(catalog.deployments["acme/writer@small"])
    assert (there.context_tokens, there.has_tools) == (1_000, False)
    assert catalog.model_at(catalog.deployments["acme/writer@shipped"]).context_tokens == 8_000


def test_a_version_changes_with_any_fact():
    one, two = book({"acme/writer": listed()}), book({"acme/writer": listed(usd="3.1")})
    versions = {opened(one).version, opened(two).version, opened(one, models=({"id": "acme/x"},)).version}
    assert len(versions) == 3
    assert opened(one).version == opened(one).version
