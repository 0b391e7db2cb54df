"""An import shows what it changes, keeps every price's history, and does the same whatever came first."""

import datetime as dt
from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest

from jobs.settings import Settings
from routing.book import EMPTY, Book, open_book
from routing.catalog import Catalog
from routing.catalog_load import catalog_of
from routing.sources.update import Update, update
from tests.routing.sources import lists

MAY, AUGUST, NOVEMBER = dt.date(2026, 5, 1), dt.date(2026, 8, 18), dt.date(2026, 11, 25)


def dev(day: dt.date, own: Book = EMPTY, **cost: Any) -> Update:
    model = {"id": "gpt-x", "tool_call": True, "cost": {"input": 1, "output": 2} | cost}
    return update("models.dev", lists.models_dev(model), day, (), own)


def lite(day: dt.date, own: Book = EMPTY, **entry: Any) -> Update:
    return update("litellm", lists.litellm(**{"gpt-x": entry}), day, (), own)


def opened(made: Update) -> Book:
    return open_book(made.file, "own")


def catalog(book: Book) -> Catalog:
    return catalog_of(Settings(), "", (book,))


def test_a_changed_price_is_shown_and_the_old_one_kept():
    before = opened(dev(AUGUST))
    made = dev(NOVEMBER, before, input=1.5)
    (change,) = made.changes.prices
    assert (change.deployment, change.kind, change.old, change.new, change.percent) == (
        "openai/gpt-x@openai", "input", "1", "1.5", 50.0
    )  # fmt: skip
    served = catalog(opened(made)).deployments["openai/gpt-x@openai"]
    assert served.price is not None
    assert [price.valid_from for price in (served.price, *served.earlier_prices)] == [NOVEMBER, AUGUST]


def test_what_only_repeats_a_price_moves_no_day_and_adds_what_it_knows_more():
    made = lite(NOVEMBER, opened(dev(AUGUST)), cache_read_input_token_cost=1e-07)
    assert [(change.kind, change.old, change.new) for change in made.changes.prices] == [("cached", None, "0.1")]
    served = catalog(opened(made)).deployments["openai/gpt-x@openai"]
    assert served.price is not None
    assert (served.price.valid_from, str(served.price.cached), served.earlier_prices) == (AUGUST, "0.1", ())


def test_the_order_of_imports_does_not_matter():
    steps: list[Callable[[Book], Update]] = [
        lambda own: dev(MAY, own, input=3),
        lambda own: lite(AUGUST, own, supports_vision=True),
        lambda own: dev(NOVEMBER, own, input=2),
    ]
    files = set()
    for order in permutations(steps):
        own = EMPTY
        for step in order:
            own = opened(step(own))
        files.add(own.digest)
    assert len(files) == 1


def test_the_same_list_again_changes_nothing():
    made = dev(AUGUST)
    again = dev(AUGUST, opened(made))
    assert again.file == made.file
    assert again.changes.is_empty
    assert again.changes.unchanged == 1


def test_what_is_not_in_the_list_any_more_is_told_and_kept():
    before = opened(update("models.dev", lists.models_dev({"id": "gpt-x"}, {"id": "gpt-y"}), AUGUST, (), EMPTY))
    made = update("models.dev", lists.models_dev({"id": "gpt-y"}), NOVEMBER, (), before)
    assert made.changes.gone == ("openai/gpt-x@openai",)
    assert "openai/gpt-x@openai" in catalog(opened(made)).deployments
    assert lite(NOVEMBER, before).changes.gone == ()


def test_a_window_that_changes_is_told():
    before = opened(dev(AUGUST))
    model = {"id": "gpt-x", "tool_call": True, "limit": {"context": 16_000, "output": 1_000}}
    made = update("models.dev", lists.models_dev(model), NOVEMBER, (), before)
    assert {(change.of, change.field, change.old, change.new) for change in made.changes.windows} == {
        ("openai/gpt-x", "context_tokens", 8_000, 16_000),
        ("openai/gpt-x@openai", "context_tokens", 8_000, 16_000),
    }


def test_the_users_file_holds_only_what_was_imported_over_the_shipped_one():
    shipped = opened(update("models.dev", lists.models_dev({"id": "gpt-x"}, {"id": "gpt-y"}), AUGUST, (), EMPTY))
    made = update("litellm", lists.litellm(**{"gpt-y": {}, "gpt-z": {}}), NOVEMBER, (shipped,), EMPTY)
    assert set(opened(made).raw) == {"openai/gpt-y", "openai/gpt-z"}
    assert made.changes.new_models == ("openai/gpt-z",)


def test_a_known_model_keeps_its_id_however_it_is_spelled():
    before = opened(update("models.dev", lists.models_dev({"id": "Qwen3-8B"}, provider="alibaba"), AUGUST, (), EMPTY))
    entry = {"litellm_provider": "deepinfra"}
    made = update("litellm", lists.litellm(**{"deepinfra/Qwen/qwen-3-8b": entry}), NOVEMBER, (), before)
    assert made.changes.new_models == ()
    assert made.changes.new_deployments == ("qwen/qwen3-8b@deepinfra",)


@pytest.mark.parametrize("provider", ["openai", "elsewhere"])
def test_the_makers_own_word_goes_before_the_resellers(provider):
    raw = lists.litellm(
        **{
            "gpt-x": {"supports_vision": False},
            "a/openai/gpt-x": {"litellm_provider": "a", "supports_vision": True},
            "b/openai/gpt-x": {"litellm_provider": "b", "supports_vision": True},
        }
    )
    if provider == "elsewhere":
        raw = raw.replace(b'"litellm_provider": "openai"', b'"litellm_provider": "elsewhere"')
    model = catalog(opened(update("litellm", raw, NOVEMBER, (), EMPTY))).models["openai/gpt-x"]
    assert model.has_vision is (provider == "elsewhere")


def test_a_reseller_overrides_no_makers_word_however_late_it_speaks():
    before = opened(dev(AUGUST))
    model = {"id": "openai/gpt-x", "supported_parameters": ["logprobs"], "context_length": 4_000}
    made = update("openrouter", lists.openrouter(model), NOVEMBER, (), before)
    known = catalog(opened(made))
    at_openrouter = known.model_at(known.deployments["openai/gpt-x@openrouter"])
    found = known.models["openai/gpt-x"]
    assert (found.has_tools, found.context_tokens, found.has_logprobs) == (True, 8_000, True)
    assert (at_openrouter.has_tools, at_openrouter.context_tokens) == (False, 4_000)
