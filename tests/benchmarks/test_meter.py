"""The meter counts all of a tree: children that live, children that ended, and nobody else's."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from benchmarks.meter import Meter, Others, Peak, difference

BURN_S = 0.2
BURN = f"import time\nwhile time.process_time() < {BURN_S}: pass"
PARENT = f"""
import subprocess, sys
child = [sys.executable, "-c", {BURN!r}]
print("ready", flush=True)
sys.stdin.readline()
subprocess.run(child)
print("ended", flush=True)
sys.stdin.readline()
"""
HOLDER = "import sys; held = bytearray(60_000_000); print('ready', flush=True); sys.stdin.readline()"


@contextmanager
def running(code: str) -> Iterator[Any]:
    process: Any
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def tell(process: Any) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


def test_a_child_that_ended_during_the_run_is_counted_through_its_parent():
    with running(PARENT) as burner, running(HOLDER) as idler:
        meter = Meter({"burner": [burner.pid], "idler": [idler.pid]})
        before = meter.cpu_ms()
        tell(burner)
        assert burner.stdout.readline() == "ended\n"
        spent = difference(before, meter.cpu_ms())
    assert spent["burner"] >= BURN_S * 1000 - 20
    assert spent["idler"] <= 20


def test_a_group_may_have_several_roots():
    with running(HOLDER) as one, running(HOLDER) as other:
        both = Meter({"holders": [one.pid, other.pid]}).rss_mb()["holders"]
        single = Meter({"holders": [one.pid]}).rss_mb()["holders"]
    assert single >= 60
    assert both >= single + 60


def test_the_peak_outlives_the_process_that_reached_it():
    with running(HOLDER) as holder:
        meter = Meter({"holder": [holder.pid]})
        with meter.watching() as peak:
            peak.see(meter.rss_mb())
            holder.kill()
            holder.wait()
    assert peak.rss_mb["holder"] >= 60


def test_the_peak_keeps_the_larger_of_two_samples_of_each_group():
    peak = Peak()
    peak.see({"worker": 80.0, "redis": 5.0})
    peak.see({"worker": 70.0, "redis": 6.0})
    assert peak.rss_mb == {"worker": 80.0, "redis": 6.0}


def test_proportional_memory_is_no_more_than_resident_memory():
    with running(HOLDER) as holder:
        meter = Meter({"holder": [holder.pid]})
        assert 50 <= meter.pss_mb()["holder"] <= meter.rss_mb()["holder"]


def test_a_root_that_died_is_an_error_not_a_zero():
    with running(HOLDER) as holder:
        meter = Meter({"holder": [holder.pid]})
    with pytest.raises(psutil.NoSuchProcess):
        meter.cpu_ms()


def test_the_others_are_what_neither_the_groups_nor_the_bench_spent():
    others = Others()
    with running(PARENT) as burner:
        meter = Meter({"burner": [burner.pid]})
        tell(burner)
        assert burner.stdout.readline() == "ended\n"
        unseen, seen = others.share({}), others.share(meter.cpu_ms())
    assert 0 <= seen < unseen
    assert others.share({"all": 1e9}) == 0
