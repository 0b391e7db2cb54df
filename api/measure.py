"""Counts and times every request by its route's template; what matched no route shares one name."""

from collections.abc import Callable
from functools import lru_cache

from starlette.types import Scope

from jobs import meters

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
NO_ROUTE = "none"


def answered(scope: Scope, status: int, seconds: float) -> None:
    """A request has had its whole reply."""
    route = getattr(scope.get("route"), "path", NO_ROUTE)
    count, observe = _meters(scope["method"], route, status)
    count()
    observe(seconds)


@lru_cache(maxsize=1024)
def _meters(method: str, route: str, status: int) -> tuple[Callable[[], None], Callable[[float], None]]:
    counter = meters.REQUESTS.labels(method if method in METHODS else "other", route, status)
    return counter.inc, meters.REQUEST_DURATION.labels(route).observe
