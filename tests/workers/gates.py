"""A gate with what stands around it: counters that can be held up, a clock that stands, one provider."""

import asyncio

from jobs.failures import FailureKind, Scope
from jobs.settings import KeyLimits, LimitsBy, Provider, ProviderKey
from routing.catalog import Deployment
from routing.limits import Admitted, Refusal, Reservation
from tests.workers.fleet import ended
from workers.counters import MemoryCounters, Place, Spots
from workers.gate import Entry, Gate
from workers.health import LocalHealth

QWEN = Deployment(model="qwen/qwen-2.5-72b", provider="acme", upstream="qwen")
LLAMA = Deployment(model="meta/llama-3", provider="acme", upstream="llama")
SECRETS = {"FIRST": "sk-first", "SECOND": "sk-second"}
BAD = FailureKind.TRANSIENT


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 5_000.0

    def __call__(self) -> float:
        return self.now_s


class Counting:
    """Memory counters that can be held up, and say how often they were asked."""

    def __init__(self, clock: Clock) -> None:
        self._inner = MemoryCounters(self._unused, clock)
        self.asked = 0
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.has_begun = asyncio.Event()
        self.has_settled = asyncio.Event()

    async def _unused(self, _place: Place) -> tuple[int, int]:
        return 0, 0

    async def admit(self, spots: Spots, reservation: Reservation) -> Admitted | Refusal:
        self.asked += 1
        self.has_begun.set()
        await self.is_open.wait()
        return await self._inner.admit(spots, reservation)

    async def settle(self, spots: Spots, reservation: Reservation, extra_tokens: float) -> None:
        self.asked += 1
        await self._inner.settle(spots, reservation, extra_tokens)
        self.has_settled.set()


class Yard:
    """A gate with what stands around it."""

    def __init__(self, *keys: ProviderKey, chance: float = 0.0, limits_by: LimitsBy | None = None) -> None:
        self.clock = Clock()
        self.counters = Counting(self.clock)
        keys = keys or (ProviderKey(),)
        provider = Provider(dialect="openai", base_url="http://acme", keys=keys, limits_by=limits_by)
        self.health = LocalHealth(self.clock, lambda: chance)
        self.gate = Gate(self.counters, {"acme": provider}, SECRETS.get, self.clock, lambda: chance, self.health)
        self.gate.trials.hold_s = 0.0  # of trials there are tests of their own

    async def enter(self, deployment: Deployment = QWEN, tokens: int = 100) -> Entry:
        entry = await self.gate.enter(deployment, tokens)
        assert isinstance(entry, Entry)
        return entry

    async def refused(self, deployment: Deployment = QWEN) -> Refusal:
        refusal = await self.gate.enter(deployment, 100)
        assert isinstance(refusal, Refusal)
        return refusal

    async def leave(
        self,
        entry: Entry,
        failure: FailureKind | None = None,
        retry_after_s: float | None = None,
        scope: Scope = Scope.MODEL,
    ) -> None:
        await self.gate.leave(entry, ended(failure, retry_after_s, scope), None)

    async def call(
        self, failure: FailureKind | None, deployment: Deployment = QWEN, scope: Scope = Scope.MODEL
    ) -> None:
        await self.leave(await self.enter(deployment), failure, scope=scope)

    async def limited(self, retry_after_s: float | None, scope: Scope = Scope.MODEL) -> None:
        await self.leave(await self.enter(), FailureKind.RATE_LIMITED, retry_after_s, scope)


def key(env: str | None = None, **values: int) -> ProviderKey:
    return ProviderKey(env=env, limits=KeyLimits(**values))
