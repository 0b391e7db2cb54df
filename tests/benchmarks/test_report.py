"""The report: medians by figure, ratios against Celery's threads, and bars that can be missed."""

import msgspec
import pytest

from benchmarks.crowd import Crowd, Pace
from benchmarks.figures import Figures, medians
from benchmarks.report import Report
from benchmarks.yard import Room


def figures(side: str, jobs_per_s: float, **cpu_ms: float) -> Figures:
    return Figures(
        side=side,
        jobs=4000,
        jobs_per_s=jobs_per_s,
        cpu_ms={"upstream": 0.03, **cpu_ms},
        rss_mb={"worker": 100.0, "submitter": 50.0},
        pss_mb={"worker": 90.0, "submitter": 40.0},
    )


PEER = figures("celery threads -c 200", 200, worker=5.0, submitter=1.0)
ROOM = Room(
    bulk_s=[0.9, 0.7, 0.8],
    bulk_cpu_ms=0.1,
    waiting=50_000,
    redis_mb=2.0,
    in_flight=500,
    worker_rss_mb=120.0,
    worker_pss_mb=110.0,
)


CROWD = Crowd(
    waiting=1_000_000,
    tenants=50,
    turns_alone=[Pace(1000.0, 1.4), Pace(1.0, 1.4), Pace(1200.0, 1.4)],
    turns_crowded=[Pace(960.0, 1.4)],
    redis_mb=0.5,
    released=500,
    release_cpu_ms=[7.0, 6.0, 30.0],
    release_wall_ms=[9.0, 8.0, 40.0],
)


def test_the_upstream_is_counted_apart():
    assert PEER.total_cpu_ms == 6.0


def test_each_figure_has_its_own_median():
    runs = [figures("x", 1, worker=3.0), figures("x", 2, worker=1.0), figures("x", 9, worker=2.0)]
    found = medians(runs)
    assert (found.jobs_per_s, found.cpu_ms["worker"]) == (2, 2.0)


def test_there_is_no_median_of_nothing():
    with pytest.raises(ValueError, match="no runs"):
        medians([])


@pytest.mark.parametrize(
    ("jobs_per_s", "worker_ms", "met"), [(600, 1.8, [True, True]), (599, 1.8, [False, True]), (600, 1.9, [True, False])]
)
def test_the_yard_is_held_to_three_times_the_speed_at_three_tenths_of_the_cpu(jobs_per_s, worker_ms, met):
    report = Report(machine={}, sides={"threads": PEER, "yard": figures("yard", jobs_per_s, worker=worker_ms)})
    assert [bar.is_met for bar in report.bars()] == met


@pytest.mark.parametrize(
    "worse", [{"bulk_s": [0.1, 2.1, 2.1]}, {"redis_mb": 5.1}, {"worker_rss_mb": 251.0}], ids=["bulk", "redis", "worker"]
)
def test_each_bar_of_the_room_can_be_missed(worse):
    assert all(bar.is_met for bar in Report(machine={}, room=ROOM).bars())
    missed = [bar for bar in Report(machine={}, room=msgspec.structs.replace(ROOM, **worse)).bars() if not bar.is_met]
    assert len(missed) == 1
    assert missed[0].line.endswith("missed")


def test_a_part_that_was_not_run_has_no_bar():
    assert Report(machine={}, sides={"yard": PEER}).bars() == []


def test_a_ratio_stands_beside_each_side():
    yard = msgspec.structs.replace(figures("yard", 1000, worker=0.9), others=0.13)
    text = Report(machine={}, sides={"threads": PEER, "yard": yard}).text()
    assert "5.00x jobs/s, 0.15x CPU" in text
    assert "13%" in text


def test_what_is_kept_can_be_read_again(tmp_path):
    path = tmp_path / "below" / "report.json"
    Report(machine={"cpus": 2}, sides={"threads": PEER}, runs=[PEER], room=ROOM).keep(path)
    kept = msgspec.json.decode(path.read_bytes())
    assert kept["sides"]["threads"]["jobs_per_s"] == 200
    assert [bar["is_met"] for bar in kept["bars"]] == [True, True, True]


@pytest.mark.parametrize(
    "worse",
    [{"release_cpu_ms": [1.0, 10.1, 10.1]}, {"turns_crowded": [Pace(940.0, 1.4)]}, {"redis_mb": 5.1}],
    ids=["release", "pace", "redis"],
)
def test_each_bar_of_the_crowd_can_be_missed(worse):
    assert all(bar.is_met for bar in Report(machine={}, crowd=CROWD).bars())
    found = Report(machine={}, crowd=msgspec.structs.replace(CROWD, **worse)).bars()
    assert [bar.is_met for bar in found].count(False) == 1
