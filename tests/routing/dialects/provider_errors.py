"""Error bodies as providers really send them, shortened; prose of our own making stands where a prompt could."""

import json
from typing import Any

from jobs.failures import Failure
from routing.dialects.base import Dialect, WireReply
from routing.dialects.registry import ACCENTED, DIALECTS

CANARY = "canary-Zx81-prompt"
INVALID = "invalid_request_error"


def voice(name: str) -> Dialect:
    """A wire by its dialect's name, or by an accent of OpenAI's; `other` is a provider whose accent is not known."""
    if name == "other":
        return DIALECTS["openai"]
    return DIALECTS[name] if name in DIALECTS and name != "openai" else ACCENTED["openai"][name]


def judged(name: str, status: int, body: Any, **headers: str) -> Failure:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = {key.replace("_", "-"): value for key, value in headers.items()}
    found = voice(name).decode(WireReply(status, told, raw))
    assert isinstance(found, Failure)
    return found


def error(message: str = CANARY, code: object = None, kind: object = None, **more: Any) -> dict[str, Any]:
    """OpenAI's shape."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}


def claude(kind: str, message: str = CANARY, **more: Any) -> dict[str, Any]:
    """Anthropic's shape."""
    return {"type": "error", "error": {"type": kind, "message": message, **more}, "request_id": "req_1"}


def google(status: int, word: str, message: str = CANARY, *details: dict[str, Any]) -> dict[str, Any]:
    """Google's shape."""
    return {"error": {"code": status, "message": message, "status": word, "details": list(details)}}


def exhausted(name: str, value: str = "5") -> dict[str, Any]:
    """Google's refusal for a quota."""
    violation = {"quotaMetric": "m", "quotaId": name, "quotaDimensions": {"model": "x"}, "quotaValue": value}
    failure = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}
    return google(429, "RESOURCE_EXHAUSTED", "m", failure)


def behind(raw: Any) -> dict[str, Any]:
    """OpenRouter's error for one of the provider behind it."""
    return error("Provider returned error", 400, metadata={"provider_name": "p", "raw": raw})
