"""Health as the fleet knows it: kept in Redis, cached here, this process's own opinion while Redis is away.

A healthy call asks nobody: what is closed is missing from the cache. Failures are reported at once, each with the
successes before it. Of successes alone the first leaves at once, and those of the half second after it as one number:
so a worker that calls seldom, whose failures have no successes of its own to take along, is never behind. What opens
or closes is heard over pub/sub within a message, and by a poll of everything every few seconds in case a message got
lost. Only a breaker whose time is up makes a call wait: for the fleet's leave to be its probe.
`workers.shared_keys` does the same for keys and their models.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from jobs.failures import FailureKind
from jobs.gatekeys import CHANNEL, KNOWN, TRIPPED, BreakerNotice, breaker_key, read_notice, subject_name
from routing.breaker import CONSECUTIVE, COUNTED, PASS, Pass
from routing.limits import Refusal
from workers.counters import KeyName
from workers.health import FREE, Call, LocalHealth, Passes, subjects
from workers.road import Road
from workers.scripts import RedisAway, Script, Scripts
from workers.shared_keys import SharedKeys

log = logging.getLogger(__name__)

REPORT_S = 0.5
"""Successes wait at most this long to be reported together; so often a busy process reports."""
POLL_S = 3.0
"""How late a message that got lost is made good."""
RETRY_S = 2.0
"""How often Redis is tried while it is away."""


class SharedHealth:
    """`keys` gives each configured key's fingerprint: another secret's trouble is none of ours.

    `await poll()` before the first call, `work()` and `hear` for ever beside them; belongs to one event loop. Errors
    never reach the caller: without Redis `local` decides, and what it found is reported when Redis is back.
    """

    def __init__(
        self, scripts: Scripts, keys: Mapping[KeyName, str], clock: Callable[[], float], chance: Callable[[], float]
    ) -> None:
        self._road = Road(scripts, clock, chance)
        self.local = LocalHealth(clock, chance)
        """The cache: in shared mode it holds only breakers that are tripped."""
        self.keys = SharedKeys(self._road, self.local.keys, keys)
        self._successes: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._heard_s: dict[str, float] = {}
        """The latest moment (Redis' clock) that something was heard of a breaker: older news is dropped."""
        self._breaker = Script.named("breaker")

    @property
    def is_shared(self) -> bool:
        """Whether this is the fleet's opinion; False: Redis is away, and it is this process's own."""
        return self._road.is_open

    async def admit(self, call: Call, lease_s: float) -> Passes | Refusal:
        """See Health. A round trip only for a probe."""
        if not self.local.breakers:
            return FREE
        if not self.is_shared:
            return await self.local.admit(call, lease_s)
        provider, deployment = subjects(call)
        first = await self._ask(provider, lease_s)
        if isinstance(first, Refusal):
            return first
        try:
            second = await self._ask(deployment, lease_s)
        except asyncio.CancelledError:
            self._excuse(provider, first)
            raise
        if isinstance(second, Refusal):
            self._excuse(provider, first)
            return second
        return Passes(first, second)

    def record(self, call: Call, passes: Passes, failure: FailureKind | None) -> None:
        """See Health."""
        if not self.is_shared:
            self.local.record(call, passes, failure)
            return
        for subject, let_in in zip(subjects(call), passes, strict=True):
            if let_in.is_probe:
                self._end_probe(subject, let_in, failure)
            elif subject in self.local.breakers:
                continue  # tripped meanwhile: calls that were on their way say nothing
            elif failure is None:
                self._successes[subject] = self._successes.get(subject, 0) + 1
            elif failure in COUNTED:
                self._road.spawn(self._count(subject, self._successes.pop(subject, 0), 1))
        if self._timer is None and self._successes:
            self.report()

    def excuse(self, call: Call, passes: Passes) -> None:
        """See Health."""
        for subject, let_in in zip(subjects(call), passes, strict=True):
            self._excuse(subject, let_in)

    def hear(self, raw: bytes) -> None:
        """Heed a message of the gates' channel."""
        notice = read_notice(raw)
        if isinstance(notice, BreakerNotice):
            self._heed(notice, notice.at_s)
        elif notice is not None:
            self.keys.heed(notice, notice.at_s)

    def report(self) -> None:
        """Report the successes that wait, and wait for more; without any the next one leaves at once."""
        waiting, self._successes, self._timer = self._successes, {}, None
        for subject, successes in waiting.items():
            if self.is_shared and subject not in self.local.breakers:
                self._road.spawn(self._count(subject, successes, 0))
        if waiting:
            self._timer = asyncio.get_running_loop().call_later(REPORT_S, self.report)

    async def work(self) -> None:
        """Poll for ever: what messages did not bring, and whether Redis is back."""
        while True:
            await self.poll()
            await asyncio.sleep(POLL_S if self.is_shared else RETRY_S)

    async def poll(self) -> None:
        """Compare everything with Redis once."""
        try:
            now_s, (tripped, *replies) = await self._road.scripts.read(("HGETALL", TRIPPED), *self.keys.questions())
        except RedisAway as error:
            self._lost(error)
            return
        was_away = not self.is_shared
        self._road.is_open = True
        self._compare_breakers(tripped, now_s, was_away=was_away)
        self.keys.compare(replies, now_s, was_away=was_away)
        if was_away:
            log.warning("health: redis is back; breakers and keys are the fleet's again")

    def _compare_breakers(self, tripped: Mapping[bytes, bytes], now_s: float, *, was_away: bool) -> None:
        """Take over what is tripped in the fleet; what this process found while Redis was away is told to it."""
        notices = [read_notice(raw) for raw in tripped.values()]
        told = {notice.subject: notice for notice in notices if isinstance(notice, BreakerNotice)}
        for subject, known in list(self.local.breakers.items()):
            if subject in told or self._heard_s.get(subject, 0.0) > now_s:
                continue
            if was_away and known.is_tripped:
                self._road.spawn(self._count(subject, 0, CONSECUTIVE))
            else:
                self.local.breakers.pop(subject)
        for notice in told.values():
            self._heed(notice, now_s)

    async def settled(self) -> None:
        """Return when everything that was to be told is told."""
        await self._road.settled()

    async def aclose(self) -> None:
        """Say what is still unsaid."""
        if self._timer is not None:
            self._timer.cancel()
            self.report()
        if self._timer is not None:
            self._timer.cancel()
        await self.settled()

    async def _ask(self, subject: str, lease_s: float) -> Pass | Refusal:
        """What the cache says; the fleet's leave for a probe. Others of this process see the probe as out meanwhile."""
        verdict = self.local.admit_one(subject, lease_s)
        if isinstance(verdict, Refusal) or not verdict.is_probe:
            return verdict
        asking = self._road.spawn(self._lease(subject, verdict, lease_s))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(lambda done: self._give_back(subject, done))
            raise

    async def _lease(self, subject: str, wanted: Pass, lease_s: float) -> Pass | Refusal:
        try:
            answer, delay, notice = await self._run(subject, "admit", wanted.probe, repr(lease_s))
        except RedisAway as error:
            self._lost(error)
            return wanted
        if answer == b"probe":
            return wanted
        if answer == b"pass":
            self.local.breakers.pop(subject, None)
            return PASS
        self.hear(notice)
        self.local.open_until(subject, float(delay))
        return Refusal("breaker", float(delay))

    def _give_back(self, subject: str, done: "asyncio.Task[Pass | Refusal]") -> None:
        """Its caller was cancelled while it asked."""
        if not done.cancelled() and isinstance(verdict := done.result(), Pass):
            self._excuse(subject, verdict)

    def _excuse(self, subject: str, let_in: Pass) -> None:
        if not let_in.is_probe:
            return
        self.local.excuse_one(subject, let_in)
        if self.is_shared:
            self._road.spawn(self._tell(subject, "excuse", let_in.probe, "0"))

    def _end_probe(self, subject: str, let_in: Pass, failure: FailureKind | None) -> None:
        """The fleet decides; whoever asks next follows on the same road, so it asks after the fleet has heard."""
        self.local.excuse_one(subject, let_in)
        if failure is not None and failure not in COUNTED:
            self._road.spawn(self._tell(subject, "excuse", let_in.probe, "1"))
        else:
            self._road.spawn(
                self._tell(subject, "end", let_in.probe, str(int(failure is not None)), repr(self._road.chance()))
            )

    async def _count(self, subject: str, successes: int, failures: int) -> None:
        if not await self._tell(subject, "count", str(successes), str(failures), repr(self._road.chance())):
            self.local.count(subject, successes, failures)

    async def _tell(self, subject: str, verb: str, *arguments: str) -> bool:
        """Whether Redis heard it. A probe's end that it did not hear is made good by the lease's."""
        try:
            _, _, notice = await self._run(subject, verb, *arguments)
        except RedisAway as error:
            self._lost(error)
            return False
        self.hear(notice)
        return True

    async def _run(self, subject: str, verb: str, *arguments: str) -> Any:
        keys = (breaker_key(subject), KNOWN, TRIPPED)
        return await self._road.scripts.run(self._breaker, keys, verb, subject, CHANNEL, *arguments)

    def _heed(self, notice: BreakerNotice, now_s: float) -> None:
        """Take over what is so in the fleet; `now_s` is Redis' time of the telling."""
        if now_s < self._heard_s.get(notice.subject, 0.0):
            return
        self._heard_s[notice.subject] = now_s
        wait_s = notice.until_s - now_s
        known = self.local.breakers.get(notice.subject)
        if not notice.is_tripped:
            if self.local.breakers.pop(notice.subject, None) is not None:
                log.warning("health: %s is well again", subject_name(notice.subject)[1])
            return
        self._successes.pop(notice.subject, None)
        if known is None or known.trips != notice.trips:
            log.warning("health: %s is sick; open for %.1f s", subject_name(notice.subject)[1], max(0.0, wait_s))
        if wait_s > 0 or known is None or not known.is_tripped:
            self.local.open_until(notice.subject, max(0.0, wait_s))
            known = self.local.breakers[notice.subject]
        self.local.breakers[notice.subject] = msgspec.structs.replace(known, trips=notice.trips)

    def _lost(self, error: RedisAway) -> None:
        self._road.lost(error)
        self._successes.clear()
