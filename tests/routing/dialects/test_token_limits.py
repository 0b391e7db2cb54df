"""A limit below what one request itself needs is no rate limit, for no waiting mends it."""

import pytest

from jobs.failures import FailureKind, Scope, TokenLimit
from routing.dialects.errors import over_limit
from routing.dialects.token_limits import token_limit
from tests.routing.dialects.provider_errors import error, exhausted, judged


@pytest.mark.parametrize(
    ("headers", "limit"),
    [
        ({"x-ratelimit-limit-tokens": "30000"}, TokenLimit(30_000, has_output=True)),
        ({"x-ratelimit-limit-tokens": "30000, 30000;w=60"}, TokenLimit(30_000, has_output=True)),
        ({"x-ratelimit-limit-tokens-minute": "60000.0"}, TokenLimit(60_000, has_output=True)),
        ({"x-tokenlimit-limit": "500"}, TokenLimit(500, has_output=True)),
        ({"anthropic-ratelimit-input-tokens-limit": "30000"}, TokenLimit(30_000, has_output=False)),
        ({"x-ratelimit-limit-tokens": "9", "x-tokenlimit-limit": "8"}, TokenLimit(8, has_output=True)),
        ({"anthropic-ratelimit-output-tokens-limit": "8000"}, None),
        ({"x-ratelimit-limit-requests": "3"}, None),
        ({"x-ratelimit-limit-tokens": "0"}, None),
        ({"x-ratelimit-limit-tokens": "-1"}, None),
        ({"x-ratelimit-limit-tokens": "many"}, None),
        ({"x-ratelimit-limit-tokens": "9" * 400}, None),
        ({}, None),
    ],
)
def test_a_limit_is_read_from_the_headers(headers: dict[str, str], limit: TokenLimit | None):
    assert token_limit(headers) == limit


def test_google_names_the_limit_in_the_body():
    found = judged("gemini", 429, exhausted("GenerateContentInputTokensPerModelPerMinute-FreeTier", "250000"))
    assert found.limit == TokenLimit(250_000, has_output=False)
    assert judged("gemini", 429, exhausted("GenerateRequestsPerMinutePerProjectPerModel", "5")).limit is None


@pytest.mark.parametrize(
    ("headers", "prompt", "output", "kind"),
    [
        ({"x_ratelimit_limit_tokens": "1000"}, 900, 101, FailureKind.OVER_LIMIT),
        ({"x_ratelimit_limit_tokens": "1000"}, 900, 100, FailureKind.RATE_LIMITED),
        ({"x_ratelimit_limit_tokens": "1000"}, 1_001, 0, FailureKind.OVER_LIMIT),
        ({"anthropic_ratelimit_input_tokens_limit": "1000"}, 900, 5_000, FailureKind.RATE_LIMITED),
        ({"anthropic_ratelimit_input_tokens_limit": "1000"}, 1_001, 0, FailureKind.OVER_LIMIT),
        ({}, 10**9, 10**9, FailureKind.RATE_LIMITED),
    ],
)
def test_a_request_above_the_whole_limit_is_barred_at_once(
    headers: dict[str, str], prompt: int, output: int, kind: FailureKind
):
    found = over_limit(judged("openai", 429, error(), retry_after="1", **headers), prompt, output)
    assert found.kind is kind
    if kind is FailureKind.OVER_LIMIT:
        assert (found.scope, found.retry_after_s) == (Scope.REQUEST, None)
        assert "1000 tokens" in found.message


def test_other_failures_have_no_limit():
    found = judged("openai", 503, error(), x_ratelimit_limit_tokens="1")
    assert found.limit is None
    assert over_limit(found, 100, 100) is found
