"""Looks host names up, once per question and bounded in time, in threads of its own.

Threads of its own, because a name server that hangs must hold up nobody else who needs a thread.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from routing.addresses import Address

Resolver = Callable[[str, int], Awaitable[tuple[Address, ...]]]
"""Every address of a host; raises NotResolved. A test may bring its own."""
TIMEOUT_S = 5.0
THREADS = 32


class NotResolved(OSError):
    """The name has no address, or nobody said so in time."""


class Names:
    """The system's resolver. `await names(host, port)`; `close` gives the threads back."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="resolve")

    async def __call__(self, host: str, port: int) -> tuple[Address, ...]:
        """All addresses of a name, in the system's order. Raises NotResolved."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                found = await loop.run_in_executor(self._threads, _look_up, host, port)
        except (OSError, UnicodeError, TimeoutError) as error:
            raise NotResolved(f"{host} can't be resolved") from error
        return tuple(dict.fromkeys(ipaddress.ip_address(text.partition("%")[0]) for text in found))

    def close(self) -> None:
        """Let the threads go; one that still waits ends with its question."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> list[str]:
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in answers]
