"""What providers say when a prompt does not fit the model's window."""

from typing import Any

import pytest

from jobs.failures import FailureKind, Scope
from tests.routing.dialects.provider_errors import INVALID, behind, claude, error, google, judged

MODEL_S = "This model's maximum context length is 131072 tokens. However, you requested 140000 tokens"
OLLAMA = "prompt too long; exceeded max context length by 4 tokens"
PROSE = [
    ("deepseek", MODEL_S),
    ("vllm", MODEL_S),
    (
        "vllm",
        "'max_tokens' or 'max_completion_tokens' is too large: 90. This model's maximum context length is 80 tokens",
    ),
    ("other", "The input (5000 tokens) is longer than the model's context length (4096 tokens)."),
    ("other", "Requested token count exceeds the model's maximum context length of 4096 tokens."),
    ("other", "Input length 131393 exceeds the maximum allowed length (131040 tokens)."),
    ("openrouter", "This endpoint's maximum context length is 32768 tokens. However, you requested about 40000"),
    ("ollama", OLLAMA),
    ("other", "The number of tokens to keep from the initial prompt is greater than the context length."),
    (
        "mistral",
        "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    ),
    ("moonshot", "Invalid request: Your request exceeded model token limit: 262144 (requested: 269030)"),
    ("moonshot", "Input token length too long"),
    ("dashscope", "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 204800]"),
    ("cerebras", "Please reduce the length of the messages or completion. Current length is 8193 while limit is 8192"),
    ("together", "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097. Given: 5000"),
    ("fireworks", "The prompt is too long: 20000, model maximum context length: 16384"),
    ("other", "litellm.ContextWindowExceededError: litellm.BadRequestError: x"),
    ("other", f"litellm.BadRequestError: OpenAIException - {MODEL_S}"),
    ("other", "ValidationException: Input is too long for requested model."),
    ("openai", "Your input exceeds the context window of this model. Please adjust your input and try again."),
    ("other", "invalid params, context window exceeds limit"),
]


@pytest.mark.parametrize(("name", "message"), PROSE)
@pytest.mark.parametrize("body", [error, lambda message: {"error": message}, lambda message: {"message": message}])
def test_prose_alone_tells_a_prompt_that_is_too_long(name: str, message: str, body: Any) -> None:
    found = judged(name, 400, body(message))
    assert (found.kind, found.scope) == (FailureKind.CONTEXT_TOO_LONG, Scope.REQUEST)


BODIES = [
    ("other", 400, error("m", 400, "exceed_context_size_error", n_prompt_tokens=9412, n_ctx=8192)),
    ("other", 400, error("request (9412 tokens) exceeds the available context size (8192 tokens)", 400)),
    ("other", 400, error(code=400, kind="BadRequestError") | {"error": {"code": 400, "param": "input_tokens"}}),
    ("vllm", 400, {"object": "error", "type": "BadRequestError", "code": 400, "message": MODEL_S, "param": None}),
    ("other", 400, {"detail": "The input (5000 tokens) is longer than the model's context length (4096 tokens)."}),
    ("openrouter", 400, behind('{"error":{"message":"m","code":"context_length_exceeded"}}')),
    ("openrouter", 400, behind("prompt is too long: 213462 tokens > 200000 maximum")),
    ("ollama", 400, {"StatusCode": 400, "Status": "400 Bad Request", "error": OLLAMA}),
    ("other", 400, {"error": "Trying to keep the first 9000 tokens when context the overflows. However, the model"}),
    ("perplexity", 400, error(code=400, kind="too_many_prompt_tokens")),
    ("zai", 400, error(code="1261")),
    ("xai", 400, {"code": "Client specified an invalid argument", "error": "This model's maximum prompt length is 8"}),
    ("groq", 400, error("m", "context_length_exceeded", INVALID)),
    ("other", 422, {"error": "`inputs` must have less than 4096 tokens. Given: 5000", "error_type": "validation"}),
    ("other", 400, {"message": "too many tokens: size limit exceeded by 1000 tokens"}),
    ("anthropic", 400, claude(INVALID, "prompt is too long: 213462 tokens > 200000 maximum")),
    ("anthropic", 400, claude(INVALID, "Input is too long for requested model.")),
    ("anthropic", 400, claude(INVALID, "Prompt exceeds max length", code="1261")),
    ("gemini", 400, google(400, "INVALID_ARGUMENT", "The input token count (1196265) exceeds the maximum number")),
    ("gemini", 400, google(400, "INVALID_ARGUMENT", "Unable to submit request because the input token count is 20")),
    ("google", 400, [google(400, "INVALID_ARGUMENT", "The input token count (1196265) exceeds the maximum number")]),
]


@pytest.mark.parametrize(("name", "status", "body"), BODIES)
def test_a_prompt_that_does_not_fit_the_window_asks_for_a_larger_one(name: str, status: int, body: Any) -> None:
    found = judged(name, status, body)
    assert (found.kind, found.scope) == (FailureKind.CONTEXT_TOO_LONG, Scope.REQUEST)
