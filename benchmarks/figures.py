"""What a side's run came to, and the medians of several runs."""

import statistics
from collections.abc import Callable, Mapping, Sequence

import msgspec

from benchmarks.meter import Meter, Others, difference
from benchmarks.stage import Stage

UPSTREAM = "upstream"
"""The provider's group: counted, but apart."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one side, or the medians of some."""

    side: str
    jobs: int
    jobs_per_s: float
    submit_s: float | None = None
    """Until the last job was submitted; None where there is no submitting."""
    cpu_ms: dict[str, float]
    """A job's, user and system, by group, the upstream's among them."""
    rss_mb: dict[str, float]
    """Most seen, by group; shared pages count in each process."""
    pss_mb: dict[str, float]
    """At the end, by group; shared pages are split."""
    others: float = 0.0
    """Share (0..1) of the machine's CPUs that others used meanwhile: above some hundredths, jobs/s is too low."""

    @property
    def total_cpu_ms(self) -> float:
        """A job's CPU over everything but the upstream."""
        return sum(spent for group, spent in self.cpu_ms.items() if group != UPSTREAM)


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """When a run began and ended, in epoch seconds."""

    began_s: float
    ended_s: float
    submit_s: float | None = None


def measure(stage: Stage, side: str, jobs: int, run: Callable[[], Times]) -> Figures:
    """Run that many jobs with the meter on everything that the stage holds."""
    meter = Meter(stage.pids)
    before, others = meter.cpu_ms(), Others()
    with meter.watching() as peak:
        times = run()
        spent = difference(before, meter.cpu_ms())
        share = others.share(spent)
        pss_mb = meter.pss_mb()
    return Figures(
        side=side,
        jobs=jobs,
        jobs_per_s=jobs / (times.ended_s - times.began_s),
        submit_s=times.submit_s,
        cpu_ms={group: amount / jobs for group, amount in spent.items()},
        rss_mb=peak.rss_mb,
        pss_mb=pss_mb,
        others=share,
    )


def medians(runs: Sequence[Figures]) -> Figures:
    """The median of each figure by itself; all runs are of one side. Raises ValueError for none."""
    if not runs:
        raise ValueError("there is no median of no runs")
    submits = [run.submit_s for run in runs if run.submit_s is not None]
    return Figures(
        side=runs[0].side,
        jobs=runs[0].jobs,
        jobs_per_s=statistics.median(run.jobs_per_s for run in runs),
        submit_s=statistics.median(submits) if submits else None,
        cpu_ms=_by_group([run.cpu_ms for run in runs]),
        rss_mb=_by_group([run.rss_mb for run in runs]),
        pss_mb=_by_group([run.pss_mb for run in runs]),
        others=statistics.median(run.others for run in runs),
    )


def _by_group(readings: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {group: statistics.median(reading[group] for reading in readings) for group in readings[0]}
