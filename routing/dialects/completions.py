"""Parts of what the dialects of other makers hand out in OpenAI's shape: usage, log-probabilities, thoughts to return.

The bodies validate against the official `openai` types. What goes beyond those stands under keys that they keep as
extras: `reasoning_content`, `reasoning_details`, `images` and `tool_calls[].extra_content` in a message,
`provider_fields` at the top.
"""

from typing import Any

import msgspec

from jobs.chat import Usage


class TokenLogprob(msgspec.Struct, frozen=True):
    """A token of the answer with the natural log of its probability, and those that it was chosen from."""

    token: str
    logprob: float
    others: tuple[tuple[str, float], ...] = ()

    def shown(self) -> dict[str, Any]:
        """One of `choices[].logprobs.content`."""
        others = [_shown_token(token, logprob) for token, logprob in self.others]
        return {**_shown_token(self.token, self.logprob), "top_logprobs": others}


def _shown_token(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


def text_detail(text: str, signature: str | None, form: str, index: int) -> dict[str, Any]:
    """A `reasoning_details` entry for thoughts that can be read; `form` says whose they are: `anthropic-claude-v1`."""
    return {"type": "reasoning.text", "text": text, "signature": signature, "format": form, "index": index}


def encrypted_detail(data: str, form: str, index: int) -> dict[str, Any]:
    """A `reasoning_details` entry for what only its maker can read."""
    return {"type": "reasoning.encrypted", "data": data, "format": form, "index": index}


def shown_usage(usage: Usage | None) -> dict[str, Any] | None:
    """OpenAI's `usage`; a cache that lives an hour counts among `cache_write_tokens`, which knows one kind only.

    None where a total is unknown: OpenAI's shape has no word for that.
    """
    if usage is None or usage.total_tokens is None:
        return None
    read = {
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
        "audio_tokens": usage.audio_input_tokens,
    }
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": read | ({"image_tokens": count} if (count := usage.image_input_tokens) else {}),
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.audio_output_tokens,
        },
    }
