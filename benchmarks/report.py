"""What the bench says: one table of all sides, the bars with `ok` or `missed`, and the same as JSON."""

import os
import platform
from pathlib import Path
from typing import Any

import msgspec
import psutil

from benchmarks import dialects as translations
from benchmarks import tokens as estimates
from benchmarks.bars import Bar
from benchmarks.crowd import Crowd
from benchmarks.figures import UPSTREAM, Figures
from benchmarks.front import Door, lines
from benchmarks.yard import Room

GROUPS = ("submitter", "api", "worker", "dispatcher", "postgres", "redis", UPSTREAM)
MOST_UPSTREAM_MS = 0.06
LEAST_SPEEDUP, AIM_SPEEDUP = 3.0, 5.0
MOST_CPU_SHARE, AIM_CPU_SHARE = 0.3, 0.15
MOST_BULK_S, AIM_BULK_S = 2.0, 0.7
MOST_REDIS_MB = 5.0
MOST_WORKER_MB = 250.0
MOST_RELEASE_MS = 10.0
LEAST_PACE_SHARE = 0.95
SIDE_WIDTH, COLUMN = 24, 11


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one call of the bench found. A part that was not asked for is missing."""

    machine: dict[str, Any]
    sides: dict[str, Figures] = {}
    """Medians, by the side's short name: prefork, threads, bare, yard."""
    runs: list[Figures] = []
    room: Room | None = None
    crowd: Crowd | None = None
    door: Door | None = None
    dialects: list[translations.Cost] = []
    tokens: list[estimates.Judged] = []

    def bars(self) -> list[Bar]:
        """The bars that the measured parts can be held to."""
        door = self.door.bars() if self.door is not None else []
        return [
            *self._upstream_bars(),
            *self._side_bars(),
            *self._room_bars(),
            *self._crowd_bars(),
            *door,
            *translations.bars(self.dialects),
            *estimates.bars(self.tokens),
        ]

    def text(self) -> str:
        """The whole report for a terminal."""
        door = ["", *lines(self.door)] if self.door is not None else []
        tokens = ["", *estimates.lines(self.tokens)] if self.tokens else []
        return "\n".join([*table(self.sides), *door, *tokens, "", *(bar.line for bar in self.bars())])

    def keep(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        told = {**msgspec.to_builtins(self), "bars": msgspec.to_builtins(self.bars())}
        path.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")

    def _upstream_bars(self) -> list[Bar]:
        if "bare" not in self.sides:
            return []
        spent_ms = self.sides["bare"].cpu_ms[UPSTREAM]
        asked = f"at most {MOST_UPSTREAM_MS} ms"
        return [Bar("upstream, CPU a call at 500 in flight", f"{spent_ms:.3f} ms", asked, spent_ms <= MOST_UPSTREAM_MS)]

    def _side_bars(self) -> list[Bar]:
        if not {"threads", "yard"} <= self.sides.keys():
            return []
        ours, theirs = self.sides["yard"], self.sides["threads"]
        speedup = ours.jobs_per_s / theirs.jobs_per_s
        share = ours.total_cpu_ms / theirs.total_cpu_ms
        return [
            Bar(
                "jobs/s, yard to celery threads",
                f"{speedup:.2f}x",
                f"at least {LEAST_SPEEDUP:.0f}x, aim {AIM_SPEEDUP:.0f}x",
                speedup >= LEAST_SPEEDUP,
            ),
            Bar(
                "CPU a job, yard to celery threads",
                f"{share:.2f}x",
                f"at most {MOST_CPU_SHARE}x, aim {AIM_CPU_SHARE}x",
                share <= MOST_CPU_SHARE,
            ),
        ]

    def _room_bars(self) -> list[Bar]:
        room = self.room
        if room is None:
            return []
        return [
            Bar(
                "bulk submit of 10,000 jobs, to the 202",
                f"{room.best_s:.2f} s best, {room.median_s:.2f} s median ({room.bulk_cpu_ms:.2f} CPU ms a job)",
                f"at most {MOST_BULK_S:.0f} s, aim {AIM_BULK_S} s",
                room.median_s <= MOST_BULK_S,
            ),
            Bar(
                f"Redis over empty, {room.waiting:,} jobs waiting",
                f"{room.redis_mb:.2f} MB",
                f"at most {MOST_REDIS_MB:.0f} MB",
                room.redis_mb <= MOST_REDIS_MB,
            ),
            Bar(
                f"worker RSS, {room.in_flight} calls in flight",
                f"{room.worker_rss_mb:.0f} MB (PSS {room.worker_pss_mb:.0f})",
                f"at most {MOST_WORKER_MB:.0f} MB",
                room.worker_rss_mb <= MOST_WORKER_MB,
            ),
        ]

    def _crowd_bars(self) -> list[Bar]:
        crowd = self.crowd
        if crowd is None:
            return []
        alone, crowded = crowd.alone, crowd.crowded
        return [
            Bar(
                f"release of {crowd.released}, {crowd.waiting:,} jobs waiting",
                f"{crowd.release_ms:.1f} CPU ms median, {max(crowd.release_cpu_ms):.1f} most",
                f"at most {MOST_RELEASE_MS:.0f} ms",
                crowd.release_ms <= MOST_RELEASE_MS,
            ),
            Bar(
                f"jobs/s while {crowd.waiting:,} wait, to alone",
                f"{crowd.pace_share:.2f}x ({crowded.jobs_per_s:.0f}/s, {crowded.cpu_ms:.2f} CPU ms a job;"
                f" {alone.jobs_per_s:.0f}/s, {alone.cpu_ms:.2f})",
                f"at least {LEAST_PACE_SHARE}x",
                crowd.pace_share >= LEAST_PACE_SHARE,
            ),
            Bar(
                f"Redis over empty, {crowd.waiting:,} jobs waiting",
                f"{crowd.redis_mb:.2f} MB",
                f"at most {MOST_REDIS_MB:.0f} MB",
                crowd.redis_mb <= MOST_REDIS_MB,
            ),
        ]


def table(sides: dict[str, Figures]) -> list[str]:
    """The sides, a line each, with their ratios against plain Celery on threads where that was run."""
    if not sides:
        return []
    groups = "".join(f"{group:>{COLUMN}}" for group in GROUPS)
    wide = 8 + COLUMN * len(GROUPS)
    against = "against celery threads" if "threads" in sides else ""
    return [
        "CPU user and system; the upstream is counted apart; `others` is CPU of the machine spent outside the bench",
        f"{'':<{SIDE_WIDTH + 15}}{'CPU ms a job, and by process':<{wide}}{'worker MB':>14}{'':>11}{against}",
        f"{'side':<{SIDE_WIDTH}}{'jobs':>7}{'jobs/s':>8}{'total':>8}{groups}{'RSS (PSS)':>14}{'others':>8}",
        *(_row(figures, sides.get("threads")) for figures in sides.values()),
    ]


def _row(figures: Figures, peer: Figures | None) -> str:
    spent = "".join(_cell(figures.cpu_ms.get(group)) for group in GROUPS)
    carrier = "worker" if "worker" in figures.rss_mb else "submitter"
    memory = f"{figures.rss_mb[carrier]:.0f} ({figures.pss_mb[carrier]:.0f})"
    against = ""
    if peer is not None:
        speedup = figures.jobs_per_s / peer.jobs_per_s
        against = f"   {speedup:.2f}x jobs/s, {figures.total_cpu_ms / peer.total_cpu_ms:.2f}x CPU"
    return (
        f"{figures.side:<{SIDE_WIDTH}}{figures.jobs:>7,}{figures.jobs_per_s:>8.0f}{figures.total_cpu_ms:>8.2f}"
        f"{spent}{memory:>14}{figures.others:>8.0%}{against}"
    )


def _cell(amount: float | None) -> str:
    return f"{'-':>{COLUMN}}" if amount is None else f"{amount:>{COLUMN}.3f}"


def machine() -> dict[str, Any]:
    """What the figures were taken on; compare ratios between machines, never the figures themselves."""
    return {
        "cpus": os.cpu_count(),
        "memory_mb": round(psutil.virtual_memory().total / 1_000_000),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": os.getloadavg(),
    }
