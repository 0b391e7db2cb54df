"""The bench: `python -m benchmarks` (`make bench`) runs the yard and its peers side by side and prints one table.

    python -m benchmarks                        # all, once: three to five minutes
    python -m benchmarks --runs 3               # medians; sides take turns, so that a slow minute hits all
    python -m benchmarks --only yard threads    # some parts: prefork, threads, bare, yard, room, crowd, front,
                                                #   dialects, tokens

Exit status 1 when a bar was missed. `benchmarks/README.md` says what is measured and how, and where to look further.
"""

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from benchmarks import crowd, dialects, front, tokens, yard
from benchmarks.figures import Figures, medians
from benchmarks.peers import run as peers
from benchmarks.report import Report, machine
from benchmarks.stage import BenchError
from cli.servers import ServerError

FOLDER = Path("var/bench")
REPORT = Path("var/bench-report.json")
PREFORK_SHARE = 10
"""Prefork makes at most 40 jobs/s here (8 calls of 200 ms), so it gets a tenth of the jobs."""
SIDES: dict[str, Callable[[int], Figures]] = {
    "prefork": lambda jobs: peers.celery(FOLDER, "prefork", 8, jobs // PREFORK_SHARE),
    "threads": lambda jobs: peers.celery(FOLDER, "threads", 200, jobs),
    "bare": lambda jobs: peers.bare(FOLDER, jobs),
    "yard": lambda jobs: yard.end_to_end(FOLDER, jobs),
}
ROOM, CROWD, FRONT, DIALECTS, TOKENS = "room", "crowd", "front", "dialects", "tokens"
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main() -> int:
    """Run what was asked for, print and keep the report; returns the exit status."""
    chosen = arguments(sys.argv[1:])
    for number in STOP_SIGNALS:
        signal.signal(number, _interrupt)
    try:
        report = bench(chosen.runs, chosen.jobs, chosen.only)
    except KeyboardInterrupt:
        print("interrupted; everything is stopped", file=sys.stderr)
        return 130
    except (BenchError, ServerError) as error:
        print(f"bench: {error}\nlogs: {FOLDER}", file=sys.stderr)
        return 2
    shutil.rmtree(FOLDER, ignore_errors=True)
    report.keep(REPORT)
    print(f"\n{report.text()}\n\nkept in {REPORT}")
    return 0 if all(bar.is_met for bar in report.bars()) else 1


def arguments(argv: list[str]) -> argparse.Namespace:
    """The command line's choices: runs, jobs, only."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parts = [*SIDES, ROOM, CROWD, FRONT, DIALECTS, TOKENS]
    parser.add_argument("--runs", type=int, default=1, help="turns of all sides; the table has medians (default 1)")
    parser.add_argument("--jobs", type=int, default=4000, help="jobs for a side, prefork a tenth (default 4000)")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="parts to run (default all)")
    return parser.parse_args(argv)


def bench(runs: int, jobs: int, parts: list[str]) -> Report:
    """Run the parts in turn, then gather."""
    before = machine()
    found: dict[str, list[Figures]] = {name: [] for name in SIDES if name in parts}
    for turn in range(1, runs + 1):
        for name, turns in found.items():
            began_s = time.monotonic()
            turns.append(SIDES[name](jobs))
            figures = turns[-1]
            print(
                f"run {turn} {figures.side}: {figures.jobs_per_s:.0f} jobs/s, {figures.total_cpu_ms:.2f} CPU ms a job"
                f" ({time.monotonic() - began_s:.0f} s)",
                flush=True,
            )
    room = yard.room(FOLDER) if ROOM in parts else None
    return Report(
        machine=before,
        sides={name: medians(turns) for name, turns in found.items() if turns},
        runs=[figures for turns in found.values() for figures in turns],
        room=room,
        crowd=crowd.crowd(FOLDER) if CROWD in parts else None,
        door=front.front(FOLDER) if FRONT in parts else None,
        dialects=dialects.costs() if DIALECTS in parts else [],
        tokens=_tokens() if TOKENS in parts else [],
    )


def _tokens() -> list[tokens.Judged]:
    tokenizer = tokens.tekken()
    if tokenizer is None:
        print("tokens: skipped, mistral-common is not installed (requirements/test.lock has it)", flush=True)
        return []
    return tokens.table(tokenizer)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the stop itself is not to be interrupted
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
