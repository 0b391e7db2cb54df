"""What calls taught about doubted facts: fields that a deployment does not take for now, known to the whole fleet.

Kept in Redis, read by every worker process every few seconds, and this process's own opinion while Redis is away. A
process knows at once what its own calls taught.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from jobs.chat import Adaptation, Answer, ChatRequest
from jobs.failures import Failure
from jobs.gatekeys import REFUTED, read_refuted, refuted_parts, refuted_text
from routing.catalog import Target
from routing.dialects.doubts import KEPT_S, doubted, refuted, spoken
from workers.scripts import RedisAway, Script, Scripts

log = logging.getLogger(__name__)

POLL_S = 5.0
"""How late another process's lesson is heard."""


class Doubts:
    """`work()` for ever beside the calls; belongs to one event loop. Errors of Redis never reach the caller."""

    def __init__(self, scripts: Scripts, clock: Callable[[], float]) -> None:
        self._scripts = scripts
        self._clock = clock
        self._script = Script.named("refute")
        self._until_s: dict[tuple[str, str], float] = {}
        """By deployment and field: until when it is taken for missing (this process's clock)."""
        self._answered_s: dict[tuple[str, str], float] = {}
        """When a call with a doubted field was answered last."""
        self._tasks: set[asyncio.Task[None]] = set()

    def refuted(self, deployment: str) -> frozenset[str]:
        """Fields that this deployment does not take for now."""
        if not self._until_s:
            return frozenset()
        now_s = self._clock()
        return frozenset(
            field for (name, field), until_s in self._until_s.items() if name == deployment and until_s > now_s
        )

    def see(
        self,
        dialect: str,
        target: Target,
        request: ChatRequest,
        adaptations: tuple[Adaptation, ...],
        result: Answer | Failure,
    ) -> bool:
        """Learn from a call's end; whether a fact was corrected, so that the same call will leave otherwise."""
        accent = spoken(dialect, target.accent)
        if accent is None:
            return False
        carried = {**dict.fromkeys(_added(adaptations)), **request.body}
        name, doubts = target.deployment.id, doubted(carried.keys(), accent, target.model)
        if isinstance(result, Answer):
            for field in doubts:
                self._answered_s[name, field] = self._clock()
            return False
        since_s = self._clock() - KEPT_S
        open_ = {field for field in doubts if self._answered_s.get((name, field), since_s) <= since_s}
        found = refuted(result, carried, accent, open_)
        if found is None or found in target.refuted:
            return False
        log.warning("doubts: %s answered 400 to %s (%s); left out for %.0f s", name, found, result.code, KEPT_S)
        self._until_s[name, found] = self._clock() + KEPT_S
        task = asyncio.get_running_loop().create_task(self._tell(name, found, result.code))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def work(self) -> None:
        """Hear for ever what other processes learnt."""
        while True:
            await self.poll()
            await asyncio.sleep(POLL_S)

    async def poll(self) -> None:
        """Take over what the fleet knows, and forget what has had its time."""
        try:
            now_s, (stored,) = await self._scripts.read(("HGETALL", REFUTED))
        except RedisAway:
            return
        here_s = self._clock() - now_s
        self._until_s = {key: until_s for key, until_s in self._until_s.items() if until_s > self._clock()}
        self._until_s |= _read(stored, here_s)

    async def settled(self) -> None:
        """Return when everything that was to be told is told."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _tell(self, deployment: str, field: str, code: str | None) -> None:
        try:
            await self._scripts.run(self._script, (REFUTED,), refuted_text(deployment, field), code or "", repr(KEPT_S))
        except RedisAway as error:
            log.warning("doubts: %s; other workers will learn it by themselves", error)


def _added(adaptations: tuple[Adaptation, ...]) -> list[str]:
    """Fields of the body that were not the caller's."""
    return [change.field for change in adaptations if change.action == "added"]


def _read(stored: Mapping[bytes, bytes], here_s: float) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for text, raw in stored.items():
        known = read_refuted(raw)
        if known is not None:
            found[refuted_parts(text.decode(errors="replace"))] = known.until_s + here_s
    return found
