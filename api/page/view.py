"""Puts a snapshot into words and plots, and draws the page's inside from them."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from api.page import failures, plots, providers, words
from api.page.plots import Chart, Series
from api.page.snapshot import Snapshot
from api.page.templates import render
from jobs import ids
from jobs.durations import span
from jobs.lanes import Lane
from jobs.policy import Policy
from jobs.states import TERMINAL, State
from jobs.store.budgets import Budget
from jobs.store.fleet import LiveWorker
from jobs.store.overview import HOURS, MINUTES, PACE_S, Latency, Spent
from routing.plan import Yard
from routing.savings import Bill, Savings, savings

MOST_DEPLOYMENTS = 12
"""Rows of the table of latencies; the rest are counted."""
BAD = (State.FAILED, State.EXPIRED)
NOTHING = Decimal(0)
ADDRESS = "\0address\0"
"""Stands where the page says its own address; nothing from the record has a NUL in it."""


class Tile(NamedTuple):
    """A figure of the headline. `value` None: it is still being counted."""

    id: str
    label: str
    value: str | None
    note: str = ""
    tone: str = ""


class LaneRow(NamedTuple):
    """A lane's load, all tenants together; bar lengths in per cent of the fullest lane."""

    lane: str
    queued: int
    running: int
    oldest: str
    queued_share: float
    running_share: float
    mine: int


def draw(seen: Snapshot, policies: Mapping[str, Policy], yard: Yard) -> str:
    """The page's inside as HTML."""
    return render(
        "inside.html",
        seen=seen,
        base=ADDRESS,
        stamp=words.stamp(seen.pulse.now),
        now_iso=seen.pulse.now.isoformat(),
        is_new=_is_new(seen),
        is_sandbox=any(row.sandbox for row in seen.spent or ()),
        tiles=_tiles(seen, policies, yard),
        lanes=None if seen.lanes is None else _lanes(seen),
        workers=None if seen.workers is None else [_worker(one, seen.pulse.now) for one in seen.workers],
        is_known=seen.health is None or seen.health.is_known,
        providers=None if seen.health is None else providers.rows(seen.health, yard.enabled),
        budgets=[_budget(one) for one in seen.budgets or ()],
        throughput=None if seen.ended is None else _throughput(seen),
        costs=None if seen.spent is None else _costs(seen, seen.spent),
        unknown=_unknown(seen.spent or ()),
        latencies=None if seen.latencies is None else [_latency(one) for one in seen.latencies[:MOST_DEPLOYMENTS]],
        more_deployments=max(0, len(seen.latencies or ()) - MOST_DEPLOYMENTS),
        failures=None if seen.failures is None else [failures.card(row, seen.pulse.now) for row in seen.failures],
    )


def _is_new(seen: Snapshot) -> bool:
    """Nothing was ever handed in, as far as the page looks back."""
    parts = (seen.ended, seen.spent, seen.failures, seen.lanes)
    return not any(parts[:3]) and None not in parts and not any(load.mine for load in seen.lanes or ())


def _tiles(seen: Snapshot, policies: Mapping[str, Policy], yard: Yard) -> list[Tile]:
    midnight = seen.pulse.now.replace(hour=0, minute=0, second=0, microsecond=0)
    ended = Counter[str]()
    for row in seen.ended or ():
        ended[row.state] += row.jobs
    failed = sum(ended[state] for state in BAD)
    tiles = [
        Tile(
            "done",
            "done, last hour",
            f"{ended[State.SUCCEEDED]:,}",
            f"{words.share(failed, ended.total())} failed" if ended else "none ended",
        ),
        Tile("pace", "jobs a second", f"{seen.pulse.jobs_per_s:,.1f}", f"over the last {PACE_S} s"),
        _waiting(seen),
        Tile("failed", "failed, last hour", f"{failed:,}", "or expired", "bad" if failed else "good"),
        *_money([row for row in seen.spent or () if row.hour >= midnight], policies, yard),
    ]
    read = {"done": seen.ended, "failed": seen.ended, "waiting": seen.lanes, "cost": seen.spent, "saved": seen.spent}
    return [tile if read.get(tile.id, ()) is not None else tile._replace(value=None, note="") for tile in tiles]


def _waiting(seen: Snapshot) -> Tile:
    mine = Counter[str]()
    for load in seen.lanes or ():
        mine[load.state] += load.mine
    return Tile("waiting", "waiting", f"{mine[State.QUEUED]:,}", f"{mine[State.RUNNING]:,} running")


def _money(today: Sequence[Spent], policies: Mapping[str, Policy], yard: Yard) -> list[Tile]:
    cost = sum((row.cost_usd for row in today), NOTHING)
    unknown = _unknown(today)
    made = sum(row.calls for row in today)
    known = usd_or_unknown(cost, made, sum(row.unknown for row in today))
    calls = f"{made:,} {'call' if made == 1 else 'calls'} since 00:00 UTC"
    saved = savings(_bills(today), policies, yard)
    return [
        Tile("cost", "cost today", known, unknown or calls, "warn" if unknown else ""),
        Tile("saved", "saved today, estimate", words.usd(saved.usd), _saved_note(saved)),
    ]


def usd_or_unknown(cost: Decimal, calls: int, unknown: int) -> str:
    """A sum of known amounts; `unknown` when there are calls and not one of them has an amount."""
    return words.usd(None if unknown and unknown == calls else cost)


def _bills(rows: Sequence[Spent]) -> list[Bill]:
    by_policy = defaultdict[str, list[Spent]](list)
    for row in rows:
        by_policy[row.policy].append(row)
    return [
        Bill(
            policy=policy,
            answers=sum(row.answers for row in mine),
            input_tokens=sum(row.input_tokens for row in mine),
            output_tokens=sum(row.output_tokens for row in mine),
            spent_usd=sum((row.cost_usd + row.unknown_usd for row in mine), NOTHING),
            is_bounded=not any(row.unbounded for row in mine),
        )
        for policy, mine in by_policy.items()
    ]


def _saved_note(saved: Savings) -> str:
    if not saved.answers:
        return f"{saved.left_out:,} answers without a price" if saved.left_out else "no answer yet"
    left_out = f"; {saved.left_out:,} answers left out" if saved.left_out else ""
    return f"all dear: {words.usd(saved.dear_usd)}{left_out}"


def _unknown(rows: Sequence[Spent]) -> str:
    """What is not known of the cost, in words; nothing when all of it is."""
    calls = sum(row.unknown for row in rows)
    if not calls:
        return ""
    most = words.usd(sum((row.unknown_usd for row in rows), NOTHING))
    bound = "no bound known" if any(row.unbounded for row in rows) else f"at most {most}"
    return f"+ {calls:,} {'call' if calls == 1 else 'calls'} of unknown cost, {bound}"


def _lanes(seen: Snapshot) -> list[LaneRow]:
    loads = {(load.lane, load.state): load for load in seen.lanes or ()}
    fullest = max(1, *(sum(load.jobs for load in loads.values() if load.lane == lane) for lane in Lane))
    rows = []
    for lane in Lane:
        queued, running = (loads.get((lane.value, state.value)) for state in (State.QUEUED, State.RUNNING))
        waiting, at_work = queued.jobs if queued else 0, running.jobs if running else 0
        rows.append(
            LaneRow(
                lane.value,
                waiting,
                at_work,
                span(queued.oldest_s) if queued else words.NONE,
                round(100 * waiting / fullest, 2),
                round(100 * at_work / fullest, 2),
                sum(load.mine for load in (queued, running) if load),
            )
        )
    return rows


def _worker(one: LiveWorker, now: dt.datetime) -> dict[str, Any]:
    return {
        "id": one.id.hex,
        "name": one.name,
        "where": f"{one.host}, pid {one.pid}, up {span((now - one.started_at).total_seconds())}",
        "lanes": ", ".join(one.lanes),
        "jobs": f"{one.jobs_in_hand:,}",
        "lag": span(one.loop_lag_s) if one.loop_lag_s else "",
        "seen": words.ago(one.seen_at, now),
        "seen_iso": one.seen_at.isoformat(),
        "seen_stamp": words.stamp(one.seen_at),
    }


def _budget(one: Budget) -> dict[str, Any]:
    """A budget's bar in per cent of its cap; what is settled comes first, then what open calls may cost."""
    settled = min(NOTHING + 100, 100 * one.settled_usd / one.cap_usd) if one.cap_usd else Decimal(100)
    reserved = min(100 - settled, 100 * one.reserved_usd / one.cap_usd) if one.cap_usd else NOTHING
    return {
        "id": ids.show("budget", one.id),
        "whose": "the tenant" if one.key_id is None else ids.show("key", one.key_id),
        "period": {"total": "in all", "day": "a day", "month": "a month"}[one.period],
        "cap": words.usd(one.cap_usd),
        "settled": words.usd(one.settled_usd),
        "reserved": words.usd(one.reserved_usd) if one.reserved_usd else "",
        "settled_share": f"{settled:.2f}",
        "reserved_share": f"{reserved:.2f}",
        "is_exhausted": one.exhausted_at is not None,
        "renews": "" if one.ends_in_s is None else f"starts anew in {span(one.ends_in_s)}",
        "tone": "failed" if settled >= 100 or one.exhausted_at else "expired" if settled >= 80 else "running",
    }


def _throughput(seen: Snapshot) -> Chart:
    first = seen.pulse.now.replace(second=0, microsecond=0) - dt.timedelta(minutes=MINUTES - 1)
    minutes = [first + dt.timedelta(minutes=place) for place in range(MINUTES)]
    jobs = {(row.minute, row.state): row.jobs for row in seen.ended or ()}
    series = [
        Series(state.value, state.value, [jobs.get((minute, state.value), 0) for minute in minutes])
        for state in TERMINAL
    ]
    labels = [f"{minute:%H:%M}" for minute in minutes]
    return plots.stacked(labels, series, _count, ("1 h ago", "45 min", "30 min", "15 min", "now"))


def _costs(seen: Snapshot, spent: Sequence[Spent]) -> Chart:
    first = seen.pulse.now.replace(minute=0, second=0, microsecond=0) - dt.timedelta(hours=HOURS - 1)
    hours = [first + dt.timedelta(hours=place) for place in range(HOURS)]
    by_model = defaultdict[str, defaultdict[dt.datetime, float]](lambda: defaultdict(float))
    for row in spent:
        by_model[row.model][row.hour] += float(row.cost_usd)
    own, rest = plots.largest_first({model: sum(by_hour.values()) for model, by_hour in by_model.items()})
    series = [
        Series(model, f"hue{place}", [by_model[model][hour] for hour in hours]) for place, model in enumerate(own)
    ]
    if rest:
        together = [sum(by_model[model][hour] for model in rest) for hour in hours]
        series.append(Series(f"{len(rest)} more", "rest", together))
    labels = [f"{hour:%d %b %H:00}" for hour in hours]
    return plots.stacked(labels, series, _dollars, ("23 h ago", "18 h", "12 h", "6 h", "now"))


def _latency(one: Latency) -> dict[str, Any]:
    model, _, provider = one.deployment.rpartition("@")
    return {
        "deployment": one.deployment,
        "model": model or one.deployment,
        "provider": provider,
        "calls": f"{one.calls:,}",
        "open": f"{one.open:,}",
        "failed": words.share(one.failed, one.calls - one.open),
        "is_failing": one.failed * 10 > one.calls - one.open,
        "p50": words.millis(one.p50_ms),
        "p95": words.millis(one.p95_ms),
        "p99": words.millis(one.p99_ms),
        "path": plots.sparkline(one.p95_by_slot_ms),
        "worst": words.millis(max((value for value in one.p95_by_slot_ms if value is not None), default=None)),
    }


def _count(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def _dollars(value: float) -> str:
    return words.usd(Decimal(repr(value)))
