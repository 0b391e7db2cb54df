"""The catalogue is built from shipped and own entries; a name that leads nowhere is refused with the nearest."""

from typing import Any

import pytest

from jobs.policy import Policy
from jobs.settings import Provider, Settings, SettingsError
from routing.catalog_load import catalog_of

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
