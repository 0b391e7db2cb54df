"""What schemathesis needs to know to speak to the API: how lines of JSON are written."""

import json
from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(_context: Any, value: Any) -> bytes:
    """One value, one line; what is no text is JSON."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()
