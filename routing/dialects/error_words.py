"""What codes, types and status words in errors mean, on every wire: one table, each row with its source.

Rows that hold at some statuses only stand before those that hold at all. Pages were read in November 2026.
"""

from jobs.failures import FailureKind as Kind
from jobs.failures import Scope
from routing.dialects.error_facts import Fact

_OPENAI = "developers.openai.com/api/docs/guides/error-codes"
_ALIBABA = "help.aliyun.com/en/model-studio/error-code"
_MOONSHOT = "platform.kimi.ai/docs/api/errors"
_ZAI = "docs.z.ai/api-reference/api-code"
_GROQ = "console.groq.com/docs/errors; recorded replies"
_GITHUB = "recorded replies of GitHub Models (Azure AI inference)"
_ANTHROPIC = "anthropic Python SDK, ErrorDetails and ErrorType"
_GOOGLE = "google/rpc/code.proto"

MONEY = (
    Fact(
        kind=Kind.RATE_LIMITED,
        words=("insufficient_quota", "throttling.allocationquota"),
        accents=frozenset({"dashscope", "qwen"}),
        source=f"{_ALIBABA}: its word for tokens a minute of one model, not for money",
    ),
    Fact(
        kind=Kind.NO_CREDIT,
        words=(
            "insufficient_quota",
            "billing_hard_limit_reached",
            "billing_not_active",
            "credit_balance_exhausted",
            "organization_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
            "project_spend_limit_exceeded",
        ),
        source=_OPENAI,
    ),
    Fact(
        kind=Kind.NO_CREDIT,
        words=(
            "billing_error",
            "enforced_spend_limit_reached",
            "contract_spend_limit_reached",
            "linked_organization_spend_limit_reached",
            "linked_organization_billing_unavailable",
        ),
        source=_ANTHROPIC,
    ),
    Fact(
        kind=Kind.NO_CREDIT,
        words=("arrearage", "prepaidbilloverdue", "postpaidbilloverdue", "commoditynotpurchased"),
        source=_ALIBABA,
    ),
    Fact(kind=Kind.NO_CREDIT, words=("exceeded_current_quota_error",), source=_MOONSHOT),
    Fact(
        kind=Kind.NO_CREDIT,
        words=("1113", "1308", "1309", "1310"),
        accents=frozenset({"zai"}),
        source=f"{_ZAI}; zai-org/GLM-5#49 (1113); recorded: 1308 for five hours, 1310 for the week or month",
    ),
    Fact(
        kind=Kind.NO_CREDIT,
        words=("insufficient_credits", "insufficient_credit", "reject_no_credit", "quote_exceeded"),
        source="docs.zenmux.ai/guide/advanced/error-codes",
    ),
    Fact(
        kind=Kind.NO_CREDIT,
        words=("budget_exceeded",),
        source="BerriAI/litellm, proxy: the budget of the key, with 400",
    ),
    Fact(
        kind=Kind.NO_CREDIT,
        words=("insufficient_balance", "billing_balance_not_enough", "not_enough_balance"),
        source="novita.ai/docs/api-reference/basic-error-code",
    ),
)
KEYS = (
    Fact(
        kind=Kind.BAD_KEY,
        words=(
            "invalid_api_key",
            "account_deactivated",
            "authentication_error",
            "unauthenticated",
            "unsupported_country_region_territory",
        ),
        scope=Scope.ACCOUNT,
        source=_OPENAI,
    ),
    Fact(
        kind=Kind.BAD_KEY,
        words=("invalid_authentication_error", "incorrect_api_key_error"),
        scope=Scope.ACCOUNT,
        source=_MOONSHOT,
    ),
    Fact(
        kind=Kind.BAD_KEY,
        words=("invalidapikey", "workspace.accessdenied", "workspacenotfound"),
        scope=Scope.ACCOUNT,
        source=_ALIBABA,
    ),
    Fact(
        kind=Kind.BAD_KEY,
        words=("organization_on_hold", "organization_type_not_supported", "claude_code_key_creator_not_member"),
        scope=Scope.ACCOUNT,
        source=_ANTHROPIC,
    ),
    Fact(
        kind=Kind.BAD_KEY,
        words=("1000", "1001", "1002", "1003", "1004", "1110", "1111", "1112"),
        accents=frozenset({"zai"}),
        scope=Scope.ACCOUNT,
        source=_ZAI,
    ),
    Fact(kind=Kind.BAD_KEY, words=("permission_error", "permission_denied"), is_broad=True, source=_ANTHROPIC),
)
REASONS = (
    Fact(
        kind=Kind.BAD_KEY,
        words=(
            "api_key_invalid",
            "api_key_service_blocked",
            "api_key_http_referrer_blocked",
            "api_key_ip_address_blocked",
            "api_key_android_app_blocked",
            "api_key_ios_app_blocked",
            "access_token_expired",
            "service_disabled",
            "consumer_invalid",
            "consumer_suspended",
            "user_project_denied",
        ),
        scope=Scope.ACCOUNT,
        source="google/api/error_reason.proto, ErrorInfo.reason: an invalid key is a 400",
    ),
    Fact(kind=Kind.NO_CREDIT, words=("billing_disabled",), source="google/api/error_reason.proto"),
    Fact(kind=Kind.RATE_LIMITED, words=("resource_quota_exceeded",), source="google/api/error_reason.proto"),
)
ACCESS = (
    Fact(
        kind=Kind.MODEL_DENIED,
        words=("model_not_found",),
        statuses=frozenset({403}),
        source="OpenAI, recorded: the key's project does not have access to the model",
    ),
    Fact(
        kind=Kind.MODEL_DENIED,
        words=("model_permission_blocked_org", "model_permission_blocked_project", "model_terms_required"),
        source=_GROQ,
    ),
    Fact(kind=Kind.MODEL_DENIED, words=("no_access",), source=_GITHUB),
    Fact(
        kind=Kind.MODEL_DENIED,
        words=("accessdenied.unpurchased", "model.accessdenied", "allocationquota.freetieronly"),
        source=f"{_ALIBABA}: the last is the end of one model's free tokens",
    ),
    Fact(
        kind=Kind.MODEL_DENIED,
        words=("accessdenied", "access_denied"),
        accents=frozenset({"dashscope", "qwen"}),
        source=_ALIBABA,
    ),
    Fact(kind=Kind.MODEL_DENIED, words=("1220", "1311"), accents=frozenset({"zai"}), source=_ZAI),
    Fact(
        kind=Kind.MODEL_NOT_FOUND,
        words=("model_not_found", "not_found_error", "model_not_supported", "modelnotfound", "model_decommissioned"),
        source=f"{_OPENAI}; {_ALIBABA}; {_GROQ}",
    ),
    Fact(
        kind=Kind.MODEL_NOT_FOUND,
        words=("resource_not_found_error", "unknown_model", "deploymentnotfound", "invalid_model"),
        source=f"{_MOONSHOT}; {_GITHUB}; Azure OpenAI, recorded; Mistral, recorded",
    ),
    Fact(kind=Kind.MODEL_NOT_FOUND, words=("1211",), accents=frozenset({"zai"}), source=_ZAI),
)
SIZES = (
    Fact(
        kind=Kind.OVER_LIMIT,
        words=("rate_limit_exceeded", "tokens"),
        statuses=frozenset({413}),
        source="Groq, recorded: the request is larger than a whole minute's tokens",
    ),
    Fact(kind=Kind.OVER_LIMIT, words=("tokens_limit_reached",), source=_GITHUB),
    Fact(
        kind=Kind.OVER_LIMIT,
        words=("request_too_large", "badrequest.toolarge"),
        source=f"docs.anthropic.com/en/api/errors (413, 32 MB); {_ALIBABA}",
    ),
    Fact(kind=Kind.CONTEXT_TOO_LONG, words=("context_length_exceeded",), source=_OPENAI),
    Fact(
        kind=Kind.CONTEXT_TOO_LONG,
        words=("exceed_context_size_error",),
        source="ggml-org/llama.cpp, tools/server: with n_prompt_tokens and n_ctx beside it",
    ),
    Fact(
        kind=Kind.CONTEXT_TOO_LONG,
        words=("param:input_tokens", "param:input_text"),
        statuses=frozenset({400}),
        source="vllm-project/vllm, VLLMValidationError(parameter=...)",
    ),
    Fact(
        kind=Kind.CONTEXT_TOO_LONG,
        words=("too_many_prompt_tokens",),
        source="Perplexity, recorded by symfony/ai's bridge for it",
    ),
    Fact(kind=Kind.CONTEXT_TOO_LONG, words=("1261",), accents=frozenset({"zai"}), source=f"{_ZAI}; recorded"),
    Fact(kind=Kind.CONTEXT_TOO_LONG, words=("model_context_window_exceeded",), source=_ANTHROPIC),
)
CONTENT = (
    Fact(
        kind=Kind.CONTENT_FILTER,
        words=("content_filter", "content_policy_violation", "moderation_blocked"),
        source=f"{_OPENAI}; {_MOONSHOT}; learn.microsoft.com, Azure OpenAI content filtering",
    ),
    Fact(
        kind=Kind.CONTENT_FILTER,
        words=("responsibleaipolicyviolation",),
        source="learn.microsoft.com, Azure OpenAI content filtering: innererror.code",
    ),
    Fact(
        kind=Kind.CONTENT_FILTER,
        words=("data_inspection_failed", "datainspectionfailed", "customroleblocked", "ipinfringementsuspect"),
        source=_ALIBABA,
    ),
    Fact(kind=Kind.CONTENT_FILTER, words=("1301",), accents=frozenset({"zai"}), source=_ZAI),
    Fact(kind=Kind.CONTENT_FILTER, words=("safety_check_failed",), source="docs.zenmux.ai/guide/advanced/error-codes"),
)
RATES = (
    Fact(
        kind=Kind.RATE_LIMITED,
        words=("rate_limit_reached_error",),
        scope=Scope.ACCOUNT,
        source=f"{_MOONSHOT}: limits are the organisation's, over all models",
    ),
    Fact(
        kind=Kind.RATE_LIMITED,
        words=("rate_limit_exceeded", "rate_limit_error", "resource_exhausted"),
        is_broad=True,
        source=f"{_OPENAI}; {_ANTHROPIC}; {_GOOGLE}",
    ),
    Fact(kind=Kind.RATE_LIMITED, words=("slow_down",), source=_OPENAI),
    Fact(kind=Kind.RATE_LIMITED, words=("ramp_limit_exceeded",), source=_ANTHROPIC),
    Fact(
        kind=Kind.RATE_LIMITED,
        words=(
            "throttling",
            "throttling.ratequota",
            "throttling.burstrate",
            "throttling.allocationquota",
            "limitrequests",
            "limit_requests",
            "limit_burst_rate",
        ),
        source=_ALIBABA,
    ),
    Fact(kind=Kind.RATE_LIMITED, words=("1302", "1303", "1304"), accents=frozenset({"zai"}), source=_ZAI),
    Fact(kind=Kind.RATE_LIMITED, words=("ratelimitreached",), source=f"{_GITHUB}; Azure OpenAI, recorded"),
    Fact(
        kind=Kind.RATE_LIMITED,
        words=("throttlingexception", "token_quota_exceeded", "request_quota_exceeded"),
        source="docs.aws.amazon.com/bedrock, common errors; Cerebras, recorded",
    ),
)
SERVER = (
    Fact(
        kind=Kind.OVERLOADED,
        words=("server_is_overloaded", "overloaded_error", "engine_overloaded", "unavailable"),
        source=f"{_OPENAI}; {_ANTHROPIC}; {_GOOGLE}",
    ),
    Fact(kind=Kind.OVERLOADED, words=("engine_overloaded_error",), source=_MOONSHOT),
    Fact(
        kind=Kind.OVERLOADED,
        words=("1305", "1312"),
        accents=frozenset({"zai"}),
        source=f"{_ZAI}; recorded: the service may be temporarily overloaded",
    ),
    Fact(
        kind=Kind.OVERLOADED,
        words=(
            "queue_exceeded",
            "overloaded",
            "modelservingerror",
            "modelunavailable",
            "service_tier_capacity_exceeded",
        ),
        source=f"Cerebras, recorded; huggingface/text-generation-inference, error_type; {_ALIBABA}; Mistral, recorded",
    ),
    Fact(
        kind=Kind.TRANSIENT,
        words=("generation", "incomplete_generation", "modelerrorexception", "modelnotreadyexception"),
        source="huggingface/text-generation-inference, error_type; docs.aws.amazon.com/bedrock, InvokeModel",
    ),
    Fact(
        kind=Kind.TRANSIENT,
        words=("timeout_error", "conflict_error", "api_error"),
        statuses=frozenset({200}),
        source=f"{_ANTHROPIC}: beside a status it says nothing more",
    ),
    Fact(kind=Kind.TRANSIENT, words=("1230", "1234"), accents=frozenset({"zai"}), source=_ZAI),
    Fact(
        kind=Kind.INVALID_ANSWER,
        words=("tool_use_failed", "json_validate_failed", "output_parse_failed"),
        source=f"{_GROQ}: a 400 for what the model made, not for what was asked",
    ),
)
REQUESTS = (
    # Too broad to outvote a status (OpenAI's 401, 404 and 400 all say invalid_request_error): for errors without one.
    Fact(
        kind=Kind.BAD_REQUEST,
        words=("invalid_request_error", "bad_request_error", "badrequesterror"),
        statuses=frozenset({200}),
        is_broad=True,
        source=f"{_OPENAI}; {_ANTHROPIC}; vllm-project/vllm",
    ),
)
WORDS = (*MONEY, *KEYS, *REASONS, *ACCESS, *SIZES, *CONTENT, *RATES, *SERVER, *REQUESTS)
"""All rows."""
