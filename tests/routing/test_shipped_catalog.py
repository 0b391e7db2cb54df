"""The catalogue that ships: large enough, every price dated and sourced, every entry sound, and quick to open."""

import datetime as dt
import time
from decimal import Decimal

import pytest

from jobs.configuration import load, load_catalog, shipped_book
from routing.catalog import Catalog, Evidence, Model

LOCAL = {"ollama", "vllm"}
"""Serve what their owner puts on them: no price list has it."""


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog(load(environ={}))


def test_it_is_large(catalog: Catalog):
    providers = {served.provider for served in catalog.deployments.values()}
    assert len(catalog.models) >= 1_500
    assert len(providers) >= 60
    assert len(catalog.deployments) >= 5_000


def test_every_price_has_a_day_and_a_source(catalog: Catalog):
    for served in catalog.deployments.values():
        assert served.price is not None, served.id
        for price in (served.price, *served.earlier_prices):
            assert price.source, served.id
            assert dt.date(2026, 1, 1) <= price.valid_from <= dt.date(2026, 12, 31), served.id


def test_every_fact_has_a_day_and_a_source(catalog: Catalog):
    for model in catalog.models.values():
        if model == Model(model.id):
            continue  # nobody knows anything of it
        said = [Evidence(model.source, model.as_of), *model.evidence.values()]
        assert all(each.source and each.as_of for each in said), model.id
    for served in catalog.deployments.values():
        assert all([served.source, *(each.source for each in served.evidence.values())]), served.id


def test_no_source_without_an_open_licence_is_shipped():
    sources = {said.source.partition(":")[0] for said in shipped_book().sources}
    assert sources == {"litellm", "models.dev"}


def test_the_ids_that_yards_use_are_there(catalog: Catalog):
    for name in ("openai/gpt-4o", "openai/gpt-4o-mini", "deepseek/deepseek-v4-flash", "mistral/mistral-small"):
        maker = name.partition("/")[0]
        served = catalog.deployments[f"{name}@{maker}"]
        assert served.price_on(dt.date(2026, 11, 26)) is not None
    same_weights = {served.provider for served in catalog.candidates("qwen/qwen-2.5-72b")}
    assert {"together", "openrouter", "deepinfra", "nebius"} <= same_weights


def test_the_same_weights_have_many_prices(catalog: Catalog):
    assert sum(len(catalog.candidates(name)) >= 5 for name in catalog.models) >= 200


def test_prices_agree_with_what_is_known_of_a_few(catalog: Catalog):
    """Taken from the providers' own pages, not from the lists."""
    price = catalog.deployments["openai/gpt-4o@openai"].price
    assert price is not None
    known = [price.input, price.output, price.cached, price.batch_input, price.batch_output]
    assert known == [Decimal(text) for text in ("2.5", "10", "1.25", "1.25", "5")]


def test_a_model_is_opened_only_when_it_is_asked_for():
    load_catalog(load(environ={}))
    began_s = time.process_time()
    for _ in range(3):
        load_catalog(load(environ={}))
    quick_s = (time.process_time() - began_s) / 3
    began_s = time.process_time()
    len(load_catalog(load(environ={})).deployments)
    assert quick_s < (time.process_time() - began_s) / 3, "loading opens everything"


def test_known_providers_are_called_as_in_the_settings(catalog: Catalog):
    settings = load(environ={})
    keyed = {name for name, provider in settings.providers.items() if any(key.env for key in provider.keys)}
    assert len(keyed) >= 5
    for name in keyed - LOCAL:
        assert catalog.served.at([name]), name
