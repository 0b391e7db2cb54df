"""What the fleet knows against keys and their models: kept in Redis, cached here, this process's own while it is away.

A healthy call asks nobody: what is open is missing from the cache. A refusal is told at once and heard over pub/sub
within a message; a poll every few seconds makes good what a lost message did not bring, and tells Redis again what it
lost: a server that was wiped opens nothing that a worker knows closed. Only when a closing's time is up does a call
wait: for the fleet's leave to be its probe.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from jobs.failures import Failure
from jobs.gatekeys import (
    CHANNEL,
    ClosingNotice,
    TroubleNotice,
    closings_key,
    key_text,
    model_name,
    model_text,
    read_notice,
    trouble_key,
)
from jobs.health import trouble_of
from routing import closing as rule
from routing.breaker import PASS, Pass
from routing.closing import Closing, Reach
from routing.limits import Refusal
from routing.trouble import Trouble
from workers.counters import KeyName, Place
from workers.keys import OPEN, Knock, LocalKeys, closed_by
from workers.road import Road
from workers.scripts import RedisAway, Script

log = logging.getLogger(__name__)

KeyNotice = ClosingNotice | TroubleNotice
NEWS_S = 0.5
"""A refusal that moves a closing's end by less is not told: calls that were on their way come back by the hundred."""


class SharedKeys:
    """`prints` gives each configured key's fingerprint: what is known of another secret is none of ours."""

    def __init__(self, road: Road, local: LocalKeys, prints: Mapping[KeyName, str]) -> None:
        self._road = road
        self.local = local
        """The cache: in shared mode it holds what is closed or in trouble."""
        self.local.prints = dict(prints)
        self._prints = dict(prints)
        self._keys = {key_text(*key): key for key in prints}
        self._heard_s: dict[tuple[str, str], float] = {}
        """The latest moment (Redis' clock) that something was heard of a key or its model: older news is dropped."""
        self._closing, self._trouble = Script.named("closing"), Script.named("trouble")

    def held_back(self, place: Place) -> Refusal | None:
        """See Keys."""
        return self.local.held_back(place)

    async def admit(self, place: Place, lease_s: float) -> Knock | Refusal:
        """See Keys. A round trip only for a probe."""
        if not self.local.closings:
            return OPEN
        if not self._road.is_open:
            return await self.local.admit(place, lease_s)
        whole = Place(place.key)
        first = await self._ask(whole, lease_s)
        if isinstance(first, Refusal):
            return first
        try:
            second = await self._ask(place, lease_s)
        except asyncio.CancelledError:
            self._excuse(whole, first)
            raise
        if isinstance(second, Refusal):
            self._excuse(whole, first)
            return second
        return Knock(first, second)

    def record(
        self, place: Place, knock: Knock, failure: Failure | None, reach: Reach
    ) -> "asyncio.Future[None] | None":
        """See Keys. A key that works is news only if it did not before."""
        if failure is None and not self.local.closings and not self.local.troubles:
            return None
        telling: asyncio.Future[None] | None = None
        closed = None if failure is None else closed_by(place, failure, reach)
        for each, let_in in ((Place(place.key), knock.key), (place, knock.model)):
            if failure is not None and each == closed:
                telling = self._tell_closing(each, let_in, failure)
            elif let_in.is_probe:
                telling = self._tell(each, "succeed" if failure is None else "excuse", let_in.probe) or telling
        if failure is None:
            telling = self._tell_trouble(place.key, None) if place.key in self.local.troubles else telling
        elif closed is None and reach is Reach.KEY:
            telling = self._tell_trouble(place.key, failure)
        self.local.record(place, knock, failure, reach)
        return telling

    def excuse(self, place: Place, knock: Knock) -> None:
        """See Keys."""
        self._excuse(Place(place.key), knock.key)
        self._excuse(place, knock.model)

    def heed(self, notice: KeyNotice, now_s: float) -> None:
        """Take over what is so in the fleet; `now_s` is Redis' time of the telling."""
        key = self._keys.get(notice.subject)
        if key is None or notice.print != self._prints[key]:
            return
        about = (notice.subject, notice.model if isinstance(notice, ClosingNotice) else "")
        if now_s < self._heard_s.get(about, 0.0):
            return
        self._heard_s[about] = now_s
        here_s = self._road.clock() - now_s
        if isinstance(notice, ClosingNotice):
            self._heed_closing(Place(key, model_name(notice.model)), notice, here_s)
        elif notice.kind is None:
            self.local.troubles.pop(key, None)
        else:
            since_s, until_s = notice.since_s + here_s, notice.until_s + here_s
            self.local.troubles[key] = Trouble(notice.kind, notice.print, notice.strikes, since_s, until_s)

    def questions(self) -> list[tuple[str, str]]:
        """What a poll asks Redis."""
        closings = [("HGETALL", closings_key(text)) for text in self._keys]
        return closings + [("HGETALL", trouble_key(text)) for text in self._keys]

    def compare(self, replies: list[Any], now_s: float, *, was_away: bool) -> None:
        """Heed what a poll brought, and tell what Redis does not know. `was_away`: it did not answer before."""
        self.local.forget_old()
        count = len(self._keys)
        for text, closings, trouble in zip(self._keys, replies[:count], replies[count:], strict=True):
            self._compare_closings(text, closings, now_s)
            self._compare_trouble(text, now_s, trouble, was_away=was_away)

    def _compare_closings(self, text: str, stored: Mapping[bytes, bytes], now_s: float) -> None:
        for raw in stored.values():
            notice = read_notice(raw)
            if isinstance(notice, ClosingNotice):
                self.heed(notice, now_s)
        for place, known in list(self.local.closings.items()):
            model = model_text(place.model)
            is_news = self._heard_s.get((text, model), 0.0) > now_s
            if place.key == self._keys[text] and model.encode() not in stored and not is_news:
                self._tell(place, "again", *_rest(known, self._road.clock()))

    def _compare_trouble(self, text: str, now_s: float, fields: Mapping[bytes, bytes], *, was_away: bool) -> None:
        key = self._keys[text]
        mine = self.local.troubles.get(key)
        if was_away and mine is not None and not fields:
            self._road.spawn(self._judge(key, "strike", mine.kind))
        else:
            self.heed(_trouble(text, now_s, self._prints[key], trouble_of(fields)), now_s)

    def _heed_closing(self, place: Place, notice: ClosingNotice, here_s: float) -> None:
        known = self.local.closings.get(place)
        if notice.kind is None:
            if self.local.closings.pop(place, None) is not None:
                log.warning("health: %s is open again", _named(place))
            return
        if known is None:
            wait_s = max(0.0, notice.try_at_s + here_s - self._road.clock())
            log.warning("health: %s is closed (%s) for %.1f s", _named(place), notice.kind, wait_s)
        fresh = Closing(
            notice.kind,
            notice.print,
            notice.strikes,
            notice.since_s + here_s,
            notice.until_s + here_s,
            notice.try_at_s + here_s,
        )
        if known is not None:  # the probe of this process, or the time until the fleet's is asked after
            fresh = msgspec.structs.replace(fresh, probe=known.probe, probe_until_s=known.probe_until_s)
        self.local.closings[place] = fresh

    async def _ask(self, place: Place, lease_s: float) -> Pass | Refusal:
        """What the cache says; the fleet's leave for a probe. Others of this process see the probe as out meanwhile."""
        verdict = self.local.admit_one(place, lease_s)
        if isinstance(verdict, Refusal) or not verdict.is_probe:
            return verdict
        asking = self._road.spawn(self._lease(place, verdict, lease_s))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(lambda done: self._give_back(place, done))
            raise

    async def _lease(self, place: Place, wanted: Pass, lease_s: float) -> Pass | Refusal:
        reply = await self._run(place, "admit", wanted.probe, repr(lease_s))
        if reply is None or reply[0] == b"probe":
            return wanted
        if reply[0] == b"pass":
            self.local.keep(place, None)
            return PASS
        known = self.local.closings.get(place)
        if known is not None and known.probe == wanted.probe:  # another worker's is out, or it is closed again
            until_s = self._road.clock() + float(reply[1])
            known = msgspec.structs.replace(known, probe="", probe_until_s=until_s)
            self.local.keep(place, known)
        return rule.refusal(known, float(reply[1]))

    def _give_back(self, place: Place, done: "asyncio.Task[Pass | Refusal]") -> None:
        """Its caller was cancelled while it asked."""
        if not done.cancelled() and isinstance(verdict := done.result(), Pass):
            self._excuse(place, verdict)

    def _excuse(self, place: Place, let_in: Pass) -> None:
        if let_in.is_probe:
            self.local.excuse_one(place, let_in)
            self._tell(place, "excuse", let_in.probe)

    def _tell(self, place: Place, verb: str, *arguments: str) -> "asyncio.Task[None] | None":
        return self._road.spawn(self._run(place, verb, *arguments)) if self._road.is_open else None

    def _tell_closing(self, place: Place, let_in: Pass, failure: Failure) -> "asyncio.Task[None] | None":
        now_s, asked_s = self._road.clock(), failure.retry_after_s
        known = rule.current(self.local.closings.get(place), now_s)
        if known is not None and not let_in.is_probe and not now_s + (asked_s or 0.0) > known.until_s + NEWS_S:
            return None
        return self._tell(place, "close", failure.kind, "" if asked_s is None else repr(asked_s), let_in.probe)

    def _tell_trouble(self, key: KeyName, failure: Failure | None) -> "asyncio.Task[None] | None":
        if failure is not None and key not in self.local.troubles:
            log.warning("health: key %d of %s is refused: %s", key.key_index, key.provider, failure.kind)
        if not self._road.is_open:
            return None
        verb, kind = ("clear", "") if failure is None else ("strike", failure.kind)
        return self._road.spawn(self._judge(key, verb, kind))

    async def _run(self, place: Place, verb: str, *arguments: str) -> Any:
        """Run a verb on a closing and heed its notice; None when Redis is away."""
        text, model = key_text(*place.key), model_text(place.model)
        told = (verb, text, CHANNEL, model, self._prints[place.key], *arguments)
        try:
            answer, delay, raw = await self._road.scripts.run(self._closing, (closings_key(text),), *told)
        except RedisAway as error:
            self._road.lost(error)
            return None
        notice = read_notice(raw)
        if isinstance(notice, ClosingNotice):
            self.heed(notice, notice.at_s)
        return answer, delay

    async def _judge(self, key: KeyName, verb: str, kind: str) -> None:
        text = key_text(*key)
        arguments = (verb, text, CHANNEL, self._prints[key], kind)
        try:
            notice = read_notice(await self._road.scripts.run(self._trouble, (trouble_key(text),), *arguments))
        except RedisAway as error:
            self._road.lost(error)
            return
        if isinstance(notice, TroubleNotice):
            self.heed(notice, notice.at_s)


def _rest(known: Closing, now_s: float) -> Iterator[str]:
    """What `again` of closing.lua wants to know of a closing."""
    yield from (known.kind, str(known.strikes))
    yield from map(repr, (now_s - known.since_s, known.until_s - now_s, known.try_at_s - now_s))


def _named(place: Place) -> str:
    key = f"key {place.key.key_index} of {place.key.provider}"
    return f"{place.model} with {key}" if place.model else key


def _trouble(text: str, now_s: float, fingerprint: str, known: Trouble | None) -> TroubleNotice:
    """What Redis keeps of a key's trouble, as if it had been told now."""
    if known is None:
        return TroubleNotice(text, now_s, fingerprint, 0, 0.0, 0.0)
    return TroubleNotice(text, now_s, known.print, known.strikes, known.since_s, known.until_s, known.kind)
