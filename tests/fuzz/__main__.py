"""`python -m tests.fuzz MINUTES [TEST ...]`: rounds of all property tests with new seeds; what fails is kept.

A failing case lies in tests/examples from then on, where every later run tries it first, until the test passes with it
in a further `make fuzz`. Commit the folder with the mend, or with the test that shows what is to be mended.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cli.leash import leash
from tests.guardian import interrupt_on_stops
from tests.properties import EXAMPLES

ROOT = Path(__file__).resolve().parent.parent.parent
HISTORIES = "60"
"""What state machines that run themselves try in a round (their TOKENYARD_SEEDS)."""
LEAST_LEFT_S = 5.0
SOUND = (0, 1, 2, 5)
"""Exits of pytest: passed, failed, stopped in time, no tests."""


def fuzz(minutes: float, tests: list[str]) -> int:
    """Run rounds for so many minutes; the exit status: 1 when something was found."""
    until_s = time.time() + minutes * 60
    found: dict[str, tuple[str, str]] = {}
    ran = rounds = 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        while time.time() < until_s - LEAST_LEFT_S or not rounds:
            rounds += 1
            seed = str(secrets.randbits(32))
            report = Path(folder) / f"{seed}.ndjson"
            status = _round(seed, until_s, report, tests)
            lines = [json.loads(line) for line in report.read_text().splitlines()] if report.exists() else []
            ran += len(lines)
            for line in lines:
                if line["said"]:
                    found.setdefault(line["test"], (seed, line["said"]))
            _say(f"== round {rounds}, seed {seed}: {len(lines)} tests, {len(found)} found so far")
            if status not in SOUND or not lines:
                _say(f"== pytest ended with {status}; no further round")
                break
    return _told(found, ran, rounds)


def _round(seed: str, until_s: float, report: Path, tests: list[str]) -> int:
    options = ["-p", "tests.fuzz.picking", "-p", "no:cacheprovider", "--hypothesis-profile=fuzz", f"--seed={seed}"]
    options += [f"--fuzz-until={until_s}", f"--fuzz-report={report}", "--tb=short", *tests]
    environment = {**os.environ, "TOKENYARD_SEEDS": HISTORIES}
    command = [sys.executable, "-m", "pytest", *options]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        check=False,
        preexec_fn=leash(signal.SIGTERM),
    ).returncode


def _told(found: dict[str, tuple[str, str]], ran: int, rounds: int) -> int:
    for test, (seed, said) in found.items():
        _say(f"\n== {test} (seed {seed})\n{said}")
    _say(f"\n== {rounds} rounds, {ran} runs of property tests, {len(found)} tests failed")
    if found:
        _say(f"What failed is kept in {os.path.relpath(EXAMPLES, ROOT)} and tried first from now on. To run just that:")
        for test, (seed, _) in found.items():
            _say(f"  .venv/bin/python -m pytest '{test}'    # as it was drawn: --seed={seed} --hypothesis-profile=fuzz")
    return 1 if found else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    interrupt_on_stops()
    try:
        sys.exit(fuzz(float(sys.argv[1]), sys.argv[2:]))
    except (IndexError, ValueError):
        sys.exit(f"usage: {Path(sys.argv[0]).parent.name} MINUTES [TEST ...]")
    except KeyboardInterrupt:
        sys.exit("stopped")
