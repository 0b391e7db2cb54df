"""Reads the Idempotency-Key: a submit that carries one is done once, however often it is sent."""

import re

from fastapi import Request

from api.problems import Code, Problem
from jobs.store.accounts import Key
from jobs.store.idempotency import Claim

_SHAPE = re.compile(r"[\x20-\x7e]{1,255}")


def claim_of(request: Request, key: Key, route: str, body_sha256: bytes) -> Claim | None:
    """What the request wants to be done once; None without the header. Raises Problem for a key of odd characters."""
    text = request.headers.get("idempotency-key")
    if text is None:
        return None
    if not _SHAPE.fullmatch(text):
        message = "Idempotency-Key: must be 1 to 255 printable ASCII characters, best a fresh UUID"
        raise Problem(Code.INVALID_VALUE, message, "Idempotency-Key")
    return Claim(key.tenant_id, route, text, body_sha256)
