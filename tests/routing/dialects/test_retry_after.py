"""Waits as providers write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.dialects.retry_after import MAX_RETRY_AFTER_S, limit_reset_s, retry_after_s, span_s, wait_s

DATE = "Sun, 22 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "20"}, 20.0),
        ({"retry-after-ms": "1500", "retry-after": "1"}, 1.5),
        ({"retry-after-ms": "0", "retry-after": "1"}, 1.0),
        ({"x-ms-retry-after-ms": "700"}, 0.7),
        ({"retry-after-ms": "0", "retry-after": "0"}, 0.0),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0),
        ({"retry-after": "Sun, 22 Nov 2026 10:01:30 GMT", "date": DATE}, 90.0),
        ({"retry-after": "Sun, 22 Nov 2026 09:00:00 GMT", "date": DATE}, 0.0),
        ({"retry-after": "Sun, 22 Nov 2026 10:01:30 GMT"}, None),
        ({"retry-after": "Sun, 22 Nov 2026 10:01:30", "date": DATE}, None),
        ({"retry-after": "soon", "date": DATE}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "9" * 400}, MAX_RETRY_AFTER_S),
    ],
)
def test_retry_after_is_read_or_unknown(headers, seconds):
    assert retry_after_s(headers) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("6m0s", 360.0), ("20s", 20.0), ("93ms", 0.093), ("1h2m3s", 3723.0), ("7.66s", 7.66), ("12", 12.0), ("", None)],
)
def test_spans_are_read_as_openai_and_groq_write_them(text, seconds):
    assert span_s(text) == (None if seconds is None else pytest.approx(seconds))


def test_the_used_up_budget_counts():
    headers = {"x-ratelimit-reset-requests": "120ms", "x-ratelimit-reset-tokens": "6m0s"}
    assert limit_reset_s({**headers, "x-ratelimit-remaining-requests": "0"}) == pytest.approx(0.12)
    assert limit_reset_s({**headers, "x-ratelimit-remaining-tokens": "0"}) == 360.0
    assert limit_reset_s(headers) == 360.0
    assert limit_reset_s({}) is None


NOW_S = 1_795_341_600
"""DATE as a Unix time."""


@pytest.mark.parametrize(
    ("hint", "seconds"),
    [
        ("2", 2.0),
        ("2.5", 2.5),
        ("2s", 2.0),
        ("1m30s", 90.0),
        ("250ms", 0.25),
        ("1d", 86_400.0),
        ("604800", MAX_RETRY_AFTER_S),
        (str(NOW_S + 2), 2.0),
        (f"{NOW_S + 2}.5", 2.5),
        (str((NOW_S + 2) * 1_000), 2.0),
        (str(NOW_S - 9), 0.0),
        (str(NOW_S + 90 * 86_400), MAX_RETRY_AFTER_S),
        ("Sun, 22 Nov 2026 10:00:02 GMT", 2.0),
        ("2026-11-22T10:00:02Z", 2.0),
        ("2026-11-22T10:00:02.250Z", 2.25),
        ("2026-11-22T11:00:02+01:00", 2.0),
        ("2026-11-22 10:00:02+00:00", 2.0),
        ("2026-11-22T10:00:02", None),
        ("99999999999", MAX_RETRY_AFTER_S),
        ("-2", None),
        ("tomorrow", None),
        ("", None),
        ("9" * 1_001, None),
    ],
)
def test_a_hint_is_read_in_each_shape_that_providers_send(hint: str, seconds: float | None) -> None:
    assert wait_s(hint, DATE) == seconds
    assert retry_after_s({"retry-after": hint, "date": DATE}) == seconds
    assert limit_reset_s({"x-ratelimit-reset-requests": hint, "date": DATE}) == seconds


@pytest.mark.parametrize(
    "hint", [str(NOW_S), str(NOW_S * 1_000), "2026-11-22T10:00:02Z", "Sun, 22 Nov 2026 10:00:02 GMT"]
)
@pytest.mark.parametrize("date", [None, "", "now", "Sun, 22 Nov 2026 10:00:00"])
def test_a_moment_without_a_date_to_measure_from_is_unknown(hint: str, date: str | None) -> None:
    assert wait_s(hint, date) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-reset": "1"}, 1.0),
        ({"x-ratelimit-reset": str((NOW_S + 2) * 1_000), "x-ratelimit-remaining": "0"}, 2.0),
        ({"ratelimit-reset": "7"}, 7.0),
        ({"x-ratelimit-reset-tokens-minute": "0.7", "x-ratelimit-remaining-tokens-minute": "0"}, 0.7),
        ({"x-ratelimit-reset-requests-day": "33011.38", "x-ratelimit-remaining-requests-day": "12"}, None),
        ({"x-ratelimit-reset-requests-day": "33011.38", "x-ratelimit-remaining-requests-day": "0"}, 33011.38),
        ({"anthropic-ratelimit-unified-7d-reset": str(NOW_S + 600_000)}, None),
        ({"anthropic-ratelimit-requests-reset": "2026-11-22T10:00:30Z"}, 30.0),
        (
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2026-11-22T10:00:02Z",
                "anthropic-ratelimit-input-tokens-remaining": "9000",
                "anthropic-ratelimit-input-tokens-reset": "2026-11-22T10:01:00Z",
            },
            2.0,
        ),
        ({"anthropic-ratelimit-tokens-reset": "2026-11-22T09:00:00Z"}, 0.0),
        ({"anthropic-ratelimit-tokens-reset": "soon"}, None),
        ({"x-ratelimit-limit-reset-policy": "1"}, None),
        ({}, None),
    ],
)
def test_resets_are_read_under_each_name_that_providers_give_them(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert limit_reset_s({"date": DATE, **headers}) == seconds


@given(hint=st.text(max_size=60), date=st.text(max_size=40))
def test_no_text_raises(hint: str, date: str) -> None:
    for found in (wait_s(hint, date), retry_after_s({"retry-after": hint, "retry-after-ms": hint, "date": DATE})):
        assert found is None or 0.0 <= found <= MAX_RETRY_AFTER_S
