"""What providers say when they refuse: the account, the model's access, the request and the rate are told apart."""

from typing import Any

import pytest

from jobs.failures import FailureKind, Scope
from tests.routing.dialects.provider_errors import (
    CANARY,
    INVALID,
    behind,
    claude,
    error,
    exhausted,
    google,
    judged,
    voice,
)

K = FailureKind
REQUEST, MODEL, ACCOUNT = Scope.REQUEST, Scope.MODEL, Scope.ACCOUNT
LIMITS = "You have reached your specified API usage limits. You will regain access on 2026-12-31 at 00:00 UTC."
EXTRA = "You're out of extra usage. Add more at claude.ai/settings/usage and keep going."
BEDROCK = "Access to Bedrock models is not allowed for this account"
XAI = "Your team 16f2151a-40f4 has either used all available credits or reached its monthly spending limit. To go on"
LITELLM = 'litellm.BadRequestError: AnthropicException - {"type":"error","error":{"type":"x","message":"' + LIMITS

ACCOUNTS = [
    ("anthropic", 400, claude(INVALID, LIMITS), K.NO_CREDIT),
    ("anthropic", 429, claude("rate_limit_error", LIMITS), K.NO_CREDIT),
    ("anthropic", 400, claude(INVALID, EXTRA), K.NO_CREDIT),
    ("anthropic", 400, claude(INVALID, "You're out of extra usage. Ask your workspace admin for more"), K.NO_CREDIT),
    ("anthropic", 400, claude(INVALID, "Your credit balance is too low to access the Anthropic API."), K.NO_CREDIT),
    ("anthropic", 400, claude(INVALID, BEDROCK), K.BAD_KEY),
    ("anthropic", 400, claude(INVALID, f"Error 002: {BEDROCK}"), K.BAD_KEY),
    ("anthropic", 400, claude(INVALID, "This organization has been disabled."), K.BAD_KEY),
    (
        "anthropic",
        400,
        claude(INVALID, "This credential is only authorized for use with Claude Code and cannot be used"),
        K.BAD_KEY,
    ),
    ("anthropic", 429, claude("exceeded_current_quota_error"), K.NO_CREDIT),
    ("anthropic", 429, claude("rate_limit_error", code="1113"), K.NO_CREDIT),
    (
        "anthropic",
        403,
        claude("permission_error", "You've reached your usage limit for this billing cycle"),
        K.NO_CREDIT,
    ),
    ("anthropic", 401, claude("authentication_error"), K.BAD_KEY),
    ("dashscope", 400, error(code="Arrearage", kind="Arrearage"), K.NO_CREDIT),
    ("qwen", 400, error(code="Arrearage", kind="Arrearage"), K.NO_CREDIT),
    ("other", 400, {"code": "Arrearage", "message": CANARY, "request_id": "r"}, K.NO_CREDIT),
    ("dashscope", 429, error(code="PrepaidBillOverdue"), K.NO_CREDIT),
    ("dashscope", 401, error(code="invalid_api_key"), K.BAD_KEY),
    ("dashscope", 401, {"code": "InvalidApiKey", "message": CANARY}, K.BAD_KEY),
    ("moonshot", 429, error(kind="exceeded_current_quota_error"), K.NO_CREDIT),
    ("moonshot", 403, error(kind="exceeded_current_quota_error"), K.NO_CREDIT),
    ("moonshot", 401, error(kind="incorrect_api_key_error"), K.BAD_KEY),
    ("zai", 429, error(code="1113"), K.NO_CREDIT),
    ("zai", 429, error(code=1113), K.NO_CREDIT),
    ("other", 429, error(code="1113"), K.NO_CREDIT),
    ("zai", 429, error(code="1310"), K.NO_CREDIT),
    ("zai", 429, error(code="1308"), K.NO_CREDIT),
    ("zai", 401, error(code="1002"), K.BAD_KEY),
    ("openai", 429, error(code="insufficient_quota", kind="insufficient_quota"), K.NO_CREDIT),
    ("openai", 429, error(code="credit_balance_exhausted"), K.NO_CREDIT),
    ("openai", 429, error(code="project_spend_limit_exceeded"), K.NO_CREDIT),
    ("openai", 429, error(code="organization_usage_limit_exceeded"), K.NO_CREDIT),
    ("openai", 401, error(code="account_deactivated"), K.BAD_KEY),
    ("openai", 403, error(code="unsupported_country_region_territory"), K.BAD_KEY),
    ("openrouter", 402, error("Insufficient credits. Add more", code=402), K.NO_CREDIT),
    ("openrouter", 403, error("Key limit exceeded (monthly limit). Manage it", code=403), K.NO_CREDIT),
    ("deepseek", 402, error("Insufficient Balance", kind="unknown_error", code=INVALID), K.NO_CREDIT),
    ("xai", 429, {"code": "Some resource has been exhausted", "error": XAI}, K.NO_CREDIT),
    ("xai", 403, {"code": "permission-denied", "error": XAI}, K.NO_CREDIT),
    (
        "xai",
        403,
        {"code": "x", "error": "Your newly created team doesn't have any credits or licenses yet."},
        K.NO_CREDIT,
    ),
    ("xai", 400, {"code": "Client specified", "error": "Incorrect API key provided: xa***t."}, K.BAD_KEY),
    (
        "other",
        403,
        {"code": 30001, "message": "Sorry, your account balance is insufficient", "data": None},
        K.NO_CREDIT,
    ),
    (
        "fireworks",
        412,
        error("Account acct-a is suspended, possibly due to reaching the monthly spending limit"),
        K.NO_CREDIT,
    ),
    ("other", 400, error(kind="budget_exceeded", code="400"), K.NO_CREDIT),
    ("other", 400, error(LITELLM, "400"), K.NO_CREDIT),
    ("other", 402, {"error": "You have exceeded your monthly included credits for Inference Providers."}, K.NO_CREDIT),
    (
        "other",
        400,
        {"code": 400, "reason": "x", "error": error("m", code="BILLING_BALANCE_NOT_ENOUGH")["error"]},
        K.NO_CREDIT,
    ),
    (
        "gemini",
        429,
        google(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted. Please go to"),
        K.NO_CREDIT,
    ),
    ("google", 429, [google(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted.")], K.NO_CREDIT),
    ("google", 400, [google(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.")], K.BAD_KEY),
]


@pytest.mark.parametrize(("name", "status", "body", "kind"), ACCOUNTS)
def test_an_account_at_fault_rests_as_a_whole(name: str, status: int, body: Any, kind: FailureKind) -> None:
    found = judged(name, status, body)
    assert (found.kind, found.scope) == (kind, ACCOUNT)


@pytest.mark.parametrize(
    ("name", "status", "body", "kind"),
    [
        ("openai", 403, error(code="model_not_found"), K.MODEL_DENIED),
        ("groq", 403, error(code="model_permission_blocked_project", kind="permissions_error"), K.MODEL_DENIED),
        ("dashscope", 403, error(code="AccessDenied.Unpurchased", kind="AccessDenied.Unpurchased"), K.MODEL_DENIED),
        ("dashscope", 403, error(code="access_denied"), K.MODEL_DENIED),
        ("dashscope", 403, error(code="AllocationQuota.FreeTierOnly"), K.MODEL_DENIED),
        ("dashscope", 429, error("Free allocated quota exceeded.", kind="x"), K.MODEL_DENIED),
        ("zai", 429, error(code="1311"), K.MODEL_DENIED),
        ("other", 403, error(code="no_access"), K.MODEL_DENIED),
        ("gemini", 429, exhausted("RequestsPerDayPerProjectPerModel-FreeTier", "0"), K.MODEL_DENIED),
        ("google", 429, [exhausted("RequestsPerDayPerProjectPerModel-FreeTier", "0")], K.MODEL_DENIED),
        ("deepseek", 400, error("Model Not Exist", INVALID, INVALID), K.MODEL_NOT_FOUND),
        ("openrouter", 400, error("meta/llama-9 is not a valid model ID", 400), K.MODEL_NOT_FOUND),
        ("groq", 400, error(code="model_decommissioned"), K.MODEL_NOT_FOUND),
        ("moonshot", 404, error(kind="resource_not_found_error"), K.MODEL_NOT_FOUND),
        ("azure", 404, error(code="DeploymentNotFound"), K.MODEL_NOT_FOUND),
        ("anthropic", 403, claude("permission_error"), K.BAD_KEY),
        (
            "anthropic",
            403,
            {"message": "You don't have access to the model with the specified model ID."},
            K.MODEL_DENIED,
        ),
    ],
)
def test_a_model_that_a_key_may_not_use_leaves_the_key_its_other_models(
    name: str, status: int, body: Any, kind: FailureKind
) -> None:
    found = judged(name, status, body)
    assert (found.kind, found.scope) == (kind, MODEL)


AFFORD = (
    "This request requires more credits, or fewer max_tokens. You requested up to 65536 tokens, but can only afford"
)


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("openrouter", 402, error(AFFORD, 402, metadata={"provider_name": None})),
        ("other", 402, error(AFFORD, 402)),
        ("openrouter", 402, error("Prompt tokens limit exceeded: 20000 > 5000. To increase, visit", 402)),
        ("openai", 429, error("Request too large for gpt-4o in organization org-x", "rate_limit_exceeded", "tokens")),
        ("groq", 413, error("Request too large for model `m` on tokens", "rate_limit_exceeded", "tokens")),
        ("groq", 413, error(code="rate_limit_exceeded", kind="tokens")),
        ("other", 413, error("Request body too large for gpt-4o model.", "tokens_limit_reached")),
        ("other", 413, b"<html>413 Request Entity Too Large</html>"),
        ("anthropic", 413, claude("request_too_large")),
        ("anthropic", 429, claude("rate_limit_error", "Extra usage is required for long context requests.")),
        ("anthropic", 429, claude("rate_limit_error", "Usage credits are required for long context requests.")),
    ],
)
def test_a_request_above_a_limit_is_barred_and_leaves_the_key_alone(name: str, status: int, body: Any) -> None:
    found = judged(name, status, body)
    assert (found.kind, found.scope) == (K.OVER_LIMIT, REQUEST)
    assert "out of money" not in found.message


@pytest.mark.parametrize(
    ("name", "status", "body", "scope"),
    [
        ("openai", 429, error("Rate limit reached for gpt-4o", "rate_limit_exceeded", "requests"), MODEL),
        ("dashscope", 429, error(code="insufficient_quota", kind="insufficient_quota"), MODEL),
        ("qwen", 429, error(code="insufficient_quota", kind="insufficient_quota"), MODEL),
        ("dashscope", 429, {"code": "Throttling.AllocationQuota", "message": CANARY}, MODEL),
        ("dashscope", 429, {"code": "Throttling.RateQuota", "message": CANARY}, MODEL),
        ("dashscope", 429, error(code="limit_burst_rate"), MODEL),
        ("moonshot", 429, error(kind="rate_limit_reached_error"), ACCOUNT),
        ("zai", 429, error(code="1302"), MODEL),
        ("anthropic", 429, claude("rate_limit_error", "This request would exceed your organization's rate"), MODEL),
        ("anthropic", 429, claude("rate_limit_error", "This request would exceed your account's rate limit."), ACCOUNT),
        ("gemini", 429, exhausted("RequestsPerMinutePerProjectPerModel"), MODEL),
        ("gemini", 429, exhausted("RequestsPerMinutePerProject"), ACCOUNT),
        ("google", 429, [exhausted("RequestsPerMinutePerProject")], ACCOUNT),
        ("openrouter", 429, error("Rate limit exceeded: free-models-per-day. Add 10 credits", 429), MODEL),
        ("other", 429, b"slow down", MODEL),
    ],
)
def test_a_rate_limit_is_the_models_unless_the_reply_says_more(name: str, status: int, body: Any, scope: Scope) -> None:
    found = judged(name, status, body)
    assert (found.kind, found.scope) == (K.RATE_LIMITED, scope)


@pytest.mark.parametrize(
    ("name", "status", "body", "kind"),
    [
        ("other", 424, {"error": "Request failed during generation: x", "error_type": "generation"}, K.TRANSIENT),
        ("other", 424, {"message": "The request failed due to an error while processing the model."}, K.TRANSIENT),
        ("other", 424, b"", K.TRANSIENT),
        ("anthropic", 424, {"message": "m"}, K.TRANSIENT),
        ("other", 429, {"error": "Model is overloaded", "error_type": "overloaded"}, K.OVERLOADED),
        ("moonshot", 429, error(kind="engine_overloaded_error"), K.OVERLOADED),
        ("zai", 429, error(code="1305"), K.OVERLOADED),
        ("cerebras", 429, error(code="queue_exceeded", kind="too_many_requests_error"), K.OVERLOADED),
        ("mistral", 429, error(kind="service_tier_capacity_exceeded", code="3505"), K.OVERLOADED),
        ("zai", 500, error(code="1234"), K.TRANSIENT),
        ("other", 500, {"error": "Incomplete generation", "error_type": "incomplete_generation"}, K.TRANSIENT),
        ("groq", 400, error(code="tool_use_failed"), K.INVALID_ANSWER),
    ],
)
def test_a_provider_at_fault_is_asked_again(name: str, status: int, body: Any, kind: FailureKind) -> None:
    assert judged(name, status, body).kind is kind


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("azure", 400, error(code="content_filter", innererror={"code": "ResponsibleAIPolicyViolation"})),
        ("azure", 400, error(innererror={"code": "ResponsibleAIPolicyViolation"})),
        ("openai", 400, error(code="content_policy_violation")),
        ("dashscope", 400, error(code="data_inspection_failed", kind="data_inspection_failed")),
        ("dashscope", 400, {"code": "DataInspectionFailed", "message": CANARY}),
        ("moonshot", 400, error(kind="content_filter")),
        ("deepseek", 400, error("Content Exists Risk", INVALID, INVALID)),
        ("openai", 400, error("Invalid prompt: your prompt was flagged as potentially violating", "invalid_prompt")),
        ("anthropic", 400, claude(INVALID, "Output blocked by content filtering policy")),
        ("zai", 400, error(code="1301")),
        ("openrouter", 403, error(code=403, metadata={"flagged_input": CANARY})),
        ("xai", 403, {"code": "x", "error": "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"}),
        ("openrouter", 400, behind('{"error":{"code":"content_filter"}}')),
    ],
)
def test_a_filtered_prompt_is_told_from_a_bad_request(name: str, status: int, body: Any) -> None:
    found = judged(name, status, body)
    assert (found.kind, found.scope) == (K.CONTENT_FILTER, REQUEST)


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("other", 400, error(f"{CANARY}: this model's maximum context length is 8 tokens", None, INVALID)),
        ("other", 400, error("The user says: your credit balance is too low", None, INVALID)),
        ("openrouter", 400, behind('{"error":{"code":"insufficient_quota"}}')),
        ("openrouter", 400, behind([1])),
        ("other", 422, {"detail": [{"loc": ["body", "temperature"], "msg": CANARY}]}),
        ("zai", 400, error(code="1210")),
        ("other", 400, {"errors": [{"code": 5007, "message": CANARY}], "success": False}),
        ("other", 400, error(code=True, kind=7, param={})),
        ("other", 400, error(kind="api_error")),
        ("anthropic", 400, claude(INVALID, "messages.0: your credit balance is too low, says the user")),
        ("gemini", 400, google(400, "INVALID_ARGUMENT")),
    ],
)
def test_what_no_row_knows_stays_a_bad_request(name: str, status: int, body: Any) -> None:
    assert judged(name, status, body).kind is K.BAD_REQUEST


@pytest.mark.parametrize("status", [500, 502, 503])
def test_prose_is_read_only_in_refusals(status: int) -> None:
    assert judged("other", status, error("prompt is too long: 5 > 4")).kind is K.TRANSIENT


def test_a_code_that_tells_more_goes_before_prose() -> None:
    assert judged("other", 400, error("prompt is too long", "content_filter")).kind is K.CONTENT_FILTER


@pytest.mark.parametrize(
    ("name", "body", "kind"),
    [
        ("other", error(code="429"), K.RATE_LIMITED),
        ("other", error("prompt is too long: 5 > 4", 400, INVALID), K.CONTEXT_TOO_LONG),
        ("other", error("prompt is too long: 5 > 4", None, INVALID), K.CONTEXT_TOO_LONG),
        ("other", {"error": "it broke"}, K.TRANSIENT),
        ("zai", error(code="1305"), K.OVERLOADED),
        ("anthropic", claude(INVALID, "prompt is too long: 5 > 4"), K.CONTEXT_TOO_LONG),
        ("gemini", google(429, "RESOURCE_EXHAUSTED"), K.RATE_LIMITED),
    ],
)
def test_an_error_inside_a_200_counts_as_what_it_says(name: str, body: Any, kind: FailureKind) -> None:
    assert judged(name, 200, body).kind is kind


def test_an_error_in_mid_stream_is_looked_up_in_the_same_table() -> None:
    decoder = voice("moonshot").decode_stream()
    list(decoder.feed(b'data: {"error": {"message": "m", "type": "exceeded_current_quota_error"}}\n\n'))
    found = decoder.finish()
    assert getattr(found, "kind", None) is K.NO_CREDIT


def test_a_wait_that_openrouter_writes_into_the_body_is_measured_from_the_replys_date() -> None:
    reset = {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795341602000"}
    body = error("Rate limit exceeded: free-models-per-day.", 429, metadata={"headers": reset, "provider_name": None})
    assert judged("openrouter", 429, body, date="Sun, 22 Nov 2026 10:00:00 GMT").retry_after_s == 2.0
    assert judged("openrouter", 429, body).retry_after_s is None
