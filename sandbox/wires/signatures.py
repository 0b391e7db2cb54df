"""Signs the sandbox's thoughts, so that a caller who gives them back changed, or makes them up, is found out."""

import hashlib
import hmac

_KEY = b"sandbox thoughts"
"""No secret: it must only be the same for every provider of the sandbox, before and after a restart."""


def signature(thought: str) -> str:
    """The signature of a thought: 64 hex digits, which are base64 too."""
    return hmac.new(_KEY, thought.encode(), hashlib.sha256).hexdigest()


def is_ours(thought: str, given: str) -> bool:
    """Whether this signature was made for this thought."""
    return hmac.compare_digest(signature(thought).encode(), given.encode())
