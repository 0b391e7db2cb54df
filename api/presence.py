"""Whether the one who asked is still there, for routes that answer late."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import Receive


class Presence:
    """The caller, as far as the server knows."""

    def __init__(self) -> None:
        self.is_gone = False


@contextmanager
def present(receive: Receive, wake: asyncio.Event) -> Iterator[Presence]:
    """Watch the connection of a request whose body was read; `wake` is set when it closes."""
    caller = Presence()

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            continue
        caller.is_gone = True
        wake.set()

    watching = asyncio.get_running_loop().create_task(watch())
    try:
        yield caller
    finally:
        watching.cancel()
