"""Waits as providers write them."""

import pytest

from routing.dialects.retry_after import MAX_RETRY_AFTER_S, limit_reset_at_s, limit_reset_s, retry_after_s, span_s

DATE = "Sun, 22 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "20"}, 0.25),
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


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
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
        ({"anthropic-ratelimit-output-tokens-reset": "2026-11-22T11:00:10+01:00"}, 10.0),
        ({"anthropic-ratelimit-tokens-reset": "2026-11-22T09:00:00Z"}, 0.0),
        ({"anthropic-ratelimit-tokens-reset": "soon"}, None),
        ({"anthropic-ratelimit-tokens-reset": "2026-11-22T10:00:30"}, None),
        ({}, None),
    ],
)
def test_case_39_moments_are_measured_from_the_reply_s_own_date(headers: dict[str, str], wait_s: float | None) -> None:
    assert limit_reset_at_s({"date": DATE, **headers}) == wait_s


def test_a_moment_without_a_date_is_unknown() -> None:
    assert limit_reset_at_s({"anthropic-ratelimit-tokens-reset": "2026-11-22T10:00:30Z"}) is None
