"""What is known of whom a provider counts together, and who has the last word."""

import datetime as dt

import pytest

from jobs.configuration import load
from jobs.settings import LimitsBy, Provider
from routing.dialects.accent_table import ACCENTS
from routing.limit_facts import LIMIT_FACTS, limits_by


def provider(accent: str = "", by: LimitsBy | None = None) -> Provider:
    return Provider(dialect="openai", base_url="http://acme", accent=accent, limits_by=by)


@pytest.mark.parametrize(
    ("name", "accent", "by", "found"),
    [
        ("acme", "", None, "model"),
        ("openai", "", None, "model"),
        ("moonshotai", "moonshot", None, "key"),
        ("mine", "moonshot", None, "key"),
        ("moonshot", "", None, "key"),
        ("moonshotai", "moonshot", "model", "model"),
        ("acme", "vllm", "key", "key"),
    ],
)
def test_the_settings_have_the_last_word_then_the_fact_then_the_model(name, accent, by, found):
    assert limits_by(name, provider(accent, by)) == found


def test_each_fact_has_a_source_a_day_and_somebody_it_is_about():
    known = {*load(environ={}).providers, *ACCENTS}
    for name, fact in LIMIT_FACTS.items():
        assert name in known, name
        assert len(fact.source) > 20
        assert fact.as_of <= dt.date(2026, 12, 1)
