"""One question to the yard's API over HTTP, for the supervisor and `tokenyard status`."""

import http.client
from typing import NamedTuple
from urllib.parse import urlsplit

LIMIT_S = 2.0


class Reply(NamedTuple):
    """Status and body, as they came."""

    status: int
    body: bytes


def get(api_url: str, path: str, key: str | None = None) -> Reply | None:
    """GET `path`; None if nobody answers within 2 s."""
    address = urlsplit(api_url)
    if address.hostname is None:
        return None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=LIMIT_S)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
        answer = connection.getresponse()
        return Reply(answer.status, answer.read())
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
