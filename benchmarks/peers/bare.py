"""The floor: one asyncio process with aiohttp, 500 calls in flight, answers kept in memory and lost with it.

python -m benchmarks.peers.bare COUNT           # the address comes in PEER_UPSTREAM
"""

import asyncio
import os
import sys
import time
from collections.abc import Iterator

import aiohttp
import msgspec
import uvloop

from benchmarks import cue
from benchmarks.prompts import body, prompts

IN_FLIGHT = 500


async def answer_all(session: aiohttp.ClientSession, url: str, waiting: Iterator[bytes], answers: list[int]) -> None:
    """Take prompts and call until none is left; keeps the tokens of each answer."""
    for prompt in waiting:
        async with session.post(url, data=prompt, headers={"content-type": "application/json"}) as reply:
            reply.raise_for_status()
            answers.append(msgspec.json.decode(await reply.read())["usage"]["total_tokens"])


async def main(count: int, url: str) -> None:
    """Call that many times when told to."""
    waiting = iter([msgspec.json.encode(body(prompt, "bench-1")) for prompt in prompts(count)])
    answers: list[int] = []
    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        began_s = cue.wait_for_go()
        await asyncio.gather(*(answer_all(session, url, waiting, answers) for _ in range(IN_FLIGHT)))
        cue.mark(began_s=began_s, ended_s=time.time(), answers=len(answers))
        cue.rest()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), os.environ["PEER_UPSTREAM"] + "/chat/completions"))
