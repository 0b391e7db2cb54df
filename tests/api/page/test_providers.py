"""How the page words breakers and keys."""

from api.page.providers import rows
from jobs.failures import FailureKind
from jobs.health import BreakerView, ClosingView, Health, KeyView, ModelView
from jobs.settings import KeyLimits


def health(*breakers: BreakerView, keys: tuple[KeyView, ...] = (), is_known: bool = True) -> Health:
    return Health(breakers, keys, is_known)


def test_only_providers_that_are_on_are_shown_with_their_sick_deployments():
    (shown,) = rows(
        health(
            BreakerView(name="lab", kind="provider", state="closed", calls=10, failures=1),
            BreakerView(name="off", kind="provider", state="closed"),
            BreakerView(name="m/well@lab", kind="deployment", state="closed"),
            BreakerView(name="m/sick@lab", kind="deployment", state="open", opens_in_s=12, tripped_s=3, trips=1),
            BreakerView(name="m/sick@off", kind="deployment", state="open", opens_in_s=12),
        ),
        {"lab"},
    )
    assert (shown["name"], shown["breaker"]["state"]) == ("lab", "closed")
    assert shown["breaker"]["lately"] == "10 calls, 10 % failed, last 30 s"
    (sick,) = shown["deployments"]
    assert sick["lately"] == "no calls, in the 30 s before"
    assert (sick["name"], sick["tone"], sick["story"]) == ("m/sick@lab", "bad", "for 3.0 s, next try in 12 s")


def test_a_half_open_breaker_is_neither_well_nor_counts_down():
    (shown,) = rows(health(BreakerView(name="lab", kind="provider", state="half_open", tripped_s=90)), {"lab"})
    assert (shown["breaker"]["state"], shown["breaker"]["story"]) == ("half open", "for 1 min 30 s")


def test_a_key_shows_what_it_has_used_and_what_keeps_it_back():
    limited = KeyLimits(requests_per_minute=60, tokens_per_minute=1000, concurrency=4)
    used = KeyView(
        provider="lab",
        key_index=0,
        limits=limited,
        closing=ClosingView(why=FailureKind.RATE_LIMITED, closed_s=7, tried_s=7, since_s=13),
        models=(
            ModelView(
                model="gpt-4o",
                limits=KeyLimits(),
                closing=ClosingView(why=FailureKind.RATE_LIMITED, closed_s=90, tried_s=90, since_s=1),
            ),
        ),
        disabled_s=60,
        trouble=FailureKind.NO_CREDIT,
        requests_used_share=1.0,
        tokens_used_share=0.25,
        in_flight=1,
    )
    free = KeyView(provider="lab", key_index=1, limits=KeyLimits())
    (shown,) = rows(health(BreakerView(name="lab", kind="provider", state="closed"), keys=(used, free)), {"lab"})
    first, second = shown["keys"]
    said = [(meter["name"], meter["full"], meter["said"], meter["tone"]) for meter in first["meters"]]
    assert said == [
        ("requests", 100.0, "100 %", "failed"),
        ("tokens", 25.0, "25 %", "running"),
        ("at once", 25.0, "1 of 4", "running"),
    ]
    assert first["troubles"] == [
        "closed for 7.0 s more: the provider asked to wait",
        "gpt-4o closed for 1 min 30 s more: the provider asked to wait",
        "refused (no_credit): tried again in 1 min",
    ]
    assert (second["meters"], second["limits"], second["troubles"]) == ([], "no limits set", [])


def test_while_redis_is_away_unknown_is_not_nothing():
    key = KeyView(provider="lab", key_index=0, limits=KeyLimits(requests_per_minute=60))
    view = BreakerView(name="lab", kind="provider", state="unknown")
    (shown,) = rows(health(view, keys=(key,), is_known=False), {"lab"})
    assert (shown["breaker"]["state"], shown["breaker"]["tone"]) == ("unknown", "quiet")
    assert shown["keys"][0]["limits"] == "limits unknown now"
