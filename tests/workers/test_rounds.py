"""Rounds go on whatever one of them meets, rest as they say, and end when they are told to."""

import asyncio

from jobs.store.session import StoreUnavailable
from workers.rounds import rounds


class Watch:
    """Meets something in each round; the last one stops it."""

    def __init__(self, *met: Exception | float | None) -> None:
        self.met = list(met)
        self.stopped = asyncio.Event()

    async def __call__(self) -> float | None:
        found = self.met.pop(0)
        if not self.met:
            self.stopped.set()
        if isinstance(found, Exception):
            raise found
        return found

    async def run(self, pause_s: float) -> None:
        async with asyncio.timeout(5):
            await rounds(self.stopped, "watch", self, pause_s)


async def test_a_round_that_fails_or_finds_postgres_away_is_followed_by_the_next():
    watch = Watch(StoreUnavailable(), KeyError("defect"), None, None)
    await watch.run(0.001)
    assert watch.met == []


async def test_a_round_may_ask_for_the_next_one_sooner():
    watch = Watch(0.0, 0.0, None)
    await watch.run(3600.0)
    assert watch.met == []


async def test_who_is_stopped_while_it_rests_ends_at_once():
    watch = Watch(None, None)
    running = asyncio.create_task(watch.run(3600.0))
    await asyncio.sleep(0)
    watch.stopped.set()
    await running
    assert len(watch.met) == 1
