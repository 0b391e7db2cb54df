"""Counts what processes cost: CPU (user and system) and memory of named groups of process trees, from /proc.

    meter = Meter({"worker": [worker.pid], "postgres": [postmaster.pid]})
    before = meter.cpu_ms()
    ...
    spent = difference(before, meter.cpu_ms())        # {"worker": 3120.0, "postgres": 640.0}

A child that ended during the run is counted through its parent, once the parent has waited for it: Postgres backends
by the postmaster, prefork children by Celery. Times come in ticks of 10 ms: measure seconds, not calls.
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import psutil

SAMPLE_S = 0.4
"""Between two looks at the memory; a look costs the bench about 2 ms, counted to nobody."""
MB = 1_000_000


class Meter:
    """Named groups, each of some processes with all their children."""

    def __init__(self, groups: Mapping[str, Sequence[int]]) -> None:
        self._roots = {name: [psutil.Process(pid) for pid in pids] for name, pids in groups.items()}

    def cpu_ms(self) -> dict[str, float]:
        """CPU so far by group, in ms, ended children included. Raises psutil.NoSuchProcess if a root has died."""
        return {name: sum(map(_tree_cpu_ms, roots)) for name, roots in self._roots.items()}

    def rss_mb(self) -> dict[str, float]:
        """Resident memory by group in MB; pages that processes of a tree share count in each."""
        return {name: sum(_rss(process) for process in _live(roots)) / MB for name, roots in self._roots.items()}

    def pss_mb(self) -> dict[str, float]:
        """Proportional set size by group in MB: a shared page is split among its sharers. Dear: take it once."""
        return {name: sum(_pss(process) for process in _live(roots)) / MB for name, roots in self._roots.items()}

    @contextlib.contextmanager
    def watching(self) -> Iterator["Peak"]:
        """Sample the memory from beside until the block ends; read the `Peak` afterwards."""
        peak = Peak()
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(SAMPLE_S):
                peak.see(self.rss_mb())

        thread = threading.Thread(target=watch, name="memory")
        thread.start()
        try:
            yield peak
        finally:
            ended.set()
            thread.join()
            peak.see(self.rss_mb())


class Peak:
    """The most memory seen, by group."""

    def __init__(self) -> None:
        self.rss_mb: dict[str, float] = {}

    def see(self, sample: Mapping[str, float]) -> None:
        """Keep what is larger than before."""
        for name, amount in sample.items():
            self.rss_mb[name] = max(amount, self.rss_mb.get(name, 0.0))


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What each group spent between two readings."""
    return {name: after[name] - before[name] for name in before}


class Others:
    """What the rest of the machine does meanwhile: made at the start, `share` read at the end."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._busy_s = _busy_s()
        self._own_s = time.process_time()

    def share(self, spent: Mapping[str, float]) -> float:
        """CPU spent neither by the groups (`spent`, in ms) nor by this process, as a share (0..1) of all CPUs."""
        wall_s = time.monotonic() - self._began_s
        ours_s = sum(spent.values()) / 1000 + time.process_time() - self._own_s
        return max(0.0, (_busy_s() - self._busy_s - ours_s) / (wall_s * (os.cpu_count() or 1)))


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


def _tree_cpu_ms(root: psutil.Process) -> float:
    # Children first: one that ends in between is then missed here and found in its parent's later reading, or, if it
    # was read already, counted twice by its last tick. Either error is one tick.
    return sum(_cpu_ms(process) for process in (*reversed(root.children(recursive=True)), root))


def _cpu_ms(process: psutil.Process) -> float:
    """Its own time and that of the children it has waited for; one that has just ended is in its parent's reading."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return 1000.0 * float(times.user + times.system + times.children_user + times.children_system)


def _live(roots: Iterable[psutil.Process]) -> Iterator[psutil.Process]:
    for root in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            yield from (root, *root.children(recursive=True))


def _rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _pss(process: psutil.Process) -> int:
    """Reads smaps; another user's (Postgres') may be closed to us: then its RSS, which is no less."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:
        return _rss(process)
    except psutil.NoSuchProcess:
        return 0
