"""The Lua scripts of breakers, closings and troubles say on every history what the pure rules say."""

import asyncio
import uuid
from typing import Any

import msgspec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from jobs.failures import FailureKind
from jobs.gatekeys import (
    KNOWN,
    TRIPPED,
    BreakerNotice,
    ClosingNotice,
    TroubleNotice,
    breaker_key,
    closings_key,
    model_text,
    read_notice,
    trouble_key,
)
from jobs.health import breaker_of, trouble_of
from routing import breaker as breaker_rule
from routing import closing as closing_rule
from routing import trouble as trouble_rule
from routing.breaker import Breaker, Pass
from routing.closing import Closing, Refused
from routing.limits import Refusal
from routing.trouble import Trouble
from workers.scripts import Script, Scripts

START_S = 1_800_000_000.0
CHANNEL = "tokenyard:test:nobody-listens"
CHANCE = st.sampled_from([0.0, 0.25, 0.9])
PROBE = st.sampled_from(["p1", "p2", "p3"])
COUNT = st.tuples(st.just("count"), st.sampled_from([0, 0, 0, 1, 9]), st.integers(0, 6), CHANCE)
ADMIT = st.tuples(st.just("admit"), PROBE, st.sampled_from([0.5, 30.0, 150.0]))
END = st.tuples(st.just("end"), PROBE, st.booleans(), CHANCE)
EXCUSE = st.tuples(st.just("excuse"), PROBE, st.booleans())
GAP = st.sampled_from([0.0, 0.0, 0.0, 0.000_3, 0.7, 3.0, 13.7, 15.0, 31.0, 310.0, -2.0])
STEP = COUNT | COUNT | COUNT | ADMIT | ADMIT | END | EXCUSE
BREAKER_HISTORY = st.lists(st.tuples(GAP, STEP), min_size=5, max_size=60)
OPENED = (0.0, ("count", 0, 5, 0.0))
UNHEARD = [(0.0, ("admit", "p1", 30.0)), (0.0, ("excuse", "p1", True))]
STRIKE = st.tuples(
    st.just("strike"), st.sampled_from([FailureKind.BAD_KEY, FailureKind.NO_CREDIT]), st.sampled_from(["aa", "bb"])
)
CLEAR = st.tuples(st.just("clear"), st.none(), st.sampled_from(["aa", "bb"]))
TROUBLE_HISTORY = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0, 59.0, 60.0, 300.0, 1_000.0]), STRIKE | STRIKE | STRIKE | CLEAR),
    min_size=3,
    max_size=30,
)
SECRET = st.sampled_from(["aa", "aa", "aa", "bb"])
ASKED = st.sampled_from([None, 0.0, 0.7, 20.0, 60.0, 60.0, 1_000.0, 90_000.0, 10_000_000.0])
REFUSED_KIND = st.sampled_from([FailureKind.RATE_LIMITED] * 3 + [FailureKind.BAD_KEY, FailureKind.NO_CREDIT])
CLOSE = st.tuples(st.just("close"), SECRET, REFUSED_KIND, ASKED, st.sampled_from(["", "", "p1", "p2"]))
LEAVE = st.tuples(st.sampled_from(["succeed", "excuse"]), SECRET, PROBE)
KNOCK = st.tuples(st.just("admit"), SECRET, PROBE, st.sampled_from([0.5, 30.0, 150.0]))
AGAIN = st.tuples(st.just("again"), SECRET, REFUSED_KIND, st.integers(1, 9), st.sampled_from([5.0, 60.0, -3.0]))
CLOSING_GAP = st.sampled_from([0.0, 0.0, 0.0, 0.000_3, 0.7, 5.0, 60.0, 60.0, 900.0, 1_700.0, -2.0])
CLOSING_HISTORY = st.lists(
    st.tuples(CLOSING_GAP, CLOSE | CLOSE | CLOSE | KNOCK | KNOCK | KNOCK | LEAVE | LEAVE | AGAIN),
    min_size=5,
    max_size=50,
)


class Clock:
    now_s = START_S

    def __call__(self) -> float:
        return self.now_s


def by_the_rule(known: Breaker, now_s: float, step: tuple[Any, ...]) -> tuple[Breaker, tuple[str, float]]:
    match step:
        case ("count", successes, failures, chance):
            return breaker_rule.count(known, now_s, successes, failures, chance), ("counted", 0.0)
        case ("end", probe, has_failed, chance):
            ended = breaker_rule.end_probe(known, now_s, Pass(probe), chance, has_failed=has_failed)
            return ended, ("counted", 0.0)
        case ("excuse", probe, was_made):
            return breaker_rule.excuse(known, Pass(probe), was_made=was_made), ("counted", 0.0)
    _, probe, lease_s = step
    known, verdict = breaker_rule.admit(known, now_s, lease_s, probe)
    if isinstance(verdict, Refusal):
        return known, ("breaker", verdict.delay_s)
    return known, ("probe" if verdict.is_probe else "pass", 0.0)


def as_arguments(step: tuple[Any, ...]) -> list[str]:
    return [str(int(part)) if isinstance(part, bool) else str(part) for part in step]


@given(history=BREAKER_HISTORY)
@example(history=[OPENED, (15.0, ("excuse", "p1", True)), *UNHEARD * 3, (0.0, ("admit", "p2", 30.0))])
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_breakers_script_and_its_rule_tell_every_history_alike(redis_url, history):
    async def run() -> None:
        clock = Clock()
        scripts, script = Scripts(redis_url, clock), Script.named("breaker")
        subject, known = f"provider:{uuid.uuid4().hex}", Breaker()
        names = (breaker_key(subject), f"{KNOWN}:test", f"{TRIPPED}:test")
        try:
            for gap_s, step in history:
                clock.now_s += gap_s
                was_tripped = known.is_tripped
                known, expected = by_the_rule(known, clock.now_s, step)
                verb, *arguments = as_arguments(step)
                answer, delay, raw = await scripts.run(script, names, verb, subject, CHANNEL, *arguments)
                assert (answer.decode(), float(delay)) == expected
                _, (fields, tripped) = await scripts.read(("HGETALL", names[0]), ("HGET", names[2], subject))
                assert breaker_of(fields) == known
                assert (tripped is not None) == known.is_tripped
                if was_tripped or known.is_tripped:
                    told = BreakerNotice(
                        subject, clock.now_s, known.is_tripped, known.open_until_s, known.trips, known.since_s
                    )
                    assert read_notice(raw) == told
                else:
                    assert raw == b""
        finally:
            await scripts.aclose()

    asyncio.run(run())


@given(history=TROUBLE_HISTORY)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_troubles_script_and_its_rule_tell_every_history_alike(redis_url, history):
    async def run() -> None:
        clock = Clock()
        scripts, script = Scripts(redis_url, clock), Script.named("trouble")
        text, known = f"{uuid.uuid4().hex}/0", None
        try:
            for gap_s, (verb, kind, fingerprint) in history:
                clock.now_s += gap_s
                known = after(known, clock.now_s, kind, fingerprint)
                raw = await scripts.run(script, (trouble_key(text),), verb, text, CHANNEL, fingerprint, kind or "")
                _, (fields,) = await scripts.read(("HGETALL", trouble_key(text)))
                assert trouble_of(fields) == known
                told = read_notice(raw)
                assert isinstance(told, TroubleNotice)
                if known is None:
                    assert told.kind is None
                else:
                    assert (told.kind, told.print, told.strikes, told.until_s) == (
                        known.kind,
                        known.print,
                        known.strikes,
                        known.until_s,
                    )
        finally:
            await scripts.aclose()

    asyncio.run(run())


def after(known: Trouble | None, now_s: float, kind: FailureKind | None, fingerprint: str) -> Trouble | None:
    if kind is None:
        return trouble_rule.clear(known, fingerprint)
    return trouble_rule.strike(known, now_s, kind, fingerprint)


def closing_by_the_rule(
    known: Closing | None, now_s: float, step: tuple[Any, ...]
) -> tuple[Closing | None, tuple[str, float]]:
    verb, print_, *rest = step
    known = closing_rule.current(known, now_s)
    is_mine = known is not None and known.print == print_
    match verb, rest:
        case "close", (kind, asked_s, probe):
            return closing_rule.close(known, now_s, Refused(kind, print_, asked_s), Pass(probe)), ("heard", 0.0)
        case "succeed", (probe,):
            return closing_rule.succeed(known, Pass(probe)) if is_mine else known, ("heard", 0.0)
        case "excuse", (probe,):
            return closing_rule.excuse(known, Pass(probe)) if is_mine else known, ("heard", 0.0)
    probe, lease_s = rest
    if not is_mine:
        return known, ("pass", 0.0)
    known, verdict = closing_rule.admit(known, now_s, lease_s, probe)
    if isinstance(verdict, Refusal):
        return known, ("closed", verdict.delay_s)
    return known, ("probe" if verdict.is_probe else "pass", 0.0)


def closing_arguments(step: tuple[Any, ...]) -> list[str]:
    verb, print_, *rest = step
    if verb == "again":
        kind, strikes, left_s = rest
        rest = [kind, strikes, 7.0, left_s, left_s]
    return [print_, *("" if part is None else str(part) for part in rest)]


def closing_of(raw: bytes | None, now_s: float) -> Closing | None:
    """What the script keeps, as the rule would have it."""
    told = msgspec.json.decode(raw or b"{}")
    if "kind" not in told:
        return None
    numbers = {name: float(told[name]) for name in ("since_s", "until_s", "try_at_s")}
    probe_until_s = float(told["probe_until"])
    kept = Closing(told["kind"], told["print"], int(told["strikes"]), **numbers, probe=told["probe"])
    return closing_rule.current(msgspec.structs.replace(kept, probe_until_s=probe_until_s), now_s)


@given(history=CLOSING_HISTORY)
@example(
    history=[
        (0.0, ("close", "aa", FailureKind.RATE_LIMITED, 90_000.0, "")),
        (900.0, ("admit", "aa", "p1", 150.0)),
        (1.0, ("close", "aa", FailureKind.RATE_LIMITED, None, "p1")),
        (900.0, ("admit", "aa", "p2", 150.0)),
        (0.0, ("succeed", "aa", "p2")),
        (0.0, ("again", "aa", FailureKind.RATE_LIMITED, 2, 60.0)),
        (0.0, ("admit", "aa", "p1", 30.0)),
    ]
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_closings_script_and_its_rule_tell_every_history_alike(redis_url, history):
    async def run() -> None:
        clock, known, was_kept = Clock(), None, False
        scripts, script = Scripts(redis_url, clock), Script.named("closing")
        text, model = f"{uuid.uuid4().hex}/0", model_text("maker/small")
        name = closings_key(text)
        try:
            for gap_s, step in history:
                clock.now_s += gap_s
                expected = ("heard", 0.0)
                if step[0] != "again":
                    known, expected = closing_by_the_rule(known, clock.now_s, step)
                elif not was_kept:  # Redis lost it, or never had it
                    _, print_, kind, strikes, left_s = step
                    ends_s = clock.now_s + left_s
                    known = Closing(kind, print_, strikes, clock.now_s - 7.0, ends_s, ends_s)
                told = (step[0], text, CHANNEL, model, *closing_arguments(step))
                answer, delay, raw = await scripts.run(script, (name,), *told)
                assert (answer.decode(), float(delay)) == expected
                _, (stored,) = await scripts.read(("HGET", name, model))
                was_kept = stored is not None
                known = closing_rule.current(known, clock.now_s)
                assert closing_of(stored, clock.now_s) == known
                notice = read_notice(raw)
                assert isinstance(notice, ClosingNotice)
                assert (notice.subject, notice.model) == (text, model)
                assert (notice.kind, notice.try_at_s) == ((known.kind, known.try_at_s) if known else (None, 0.0))
        finally:
            await scripts.aclose()

    asyncio.run(run())
