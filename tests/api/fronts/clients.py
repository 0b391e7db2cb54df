"""The official client on the API of a test, strict about every answer's type."""

from openai import AsyncOpenAI

from tests.api.caller import Caller


def official(caller: Caller) -> AsyncOpenAI:
    """Raises for an answer that does not fit OpenAI's own types, and never asks twice."""
    return AsyncOpenAI(
        api_key=caller.key,
        base_url="http://yard/v1",
        http_client=caller.client,
        max_retries=0,
        _strict_response_validation=True,
    )
