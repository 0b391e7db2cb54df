"""`python -m tests.faults`: the fault tests in their long form, one line each; exit code 1 if any of them fails."""

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from cli.embedded import Postgres
from migrations.run import upgrade
from tests.faults import f01, f02, f03, f04, f05, f07, f08, f09, f11, f15, f21, f24, f27, f28, f33, f34, money
from tests.faults.harness import Ground, Vain, provider

LATENCY_MS = 300
LEASE_S = 5.0
LIMIT_S = 600.0
TEMPLATE = "migrated"


async def _f01(ground: Ground, chosen: argparse.Namespace) -> bool:
    case = await f01.run(ground, chosen.jobs, _say, kills=chosen.kills, seed=chosen.seed, every_s=3.0, limit_s=LIMIT_S)
    return not case.faults


async def _f02(ground: Ground, chosen: argparse.Namespace) -> bool:
    cases = await f02.run(ground, chosen.jobs, _say, lease_s=LEASE_S, limit_s=LIMIT_S)
    return not any(case.faults for case in cases)


async def _f03(ground: Ground, chosen: argparse.Namespace) -> bool:
    return not (await f03.run(ground, chosen.jobs, _say, lease_s=LEASE_S, limit_s=LIMIT_S)).faults


async def _f04(ground: Ground, chosen: argparse.Namespace) -> bool:
    rolls = max(1, round(5 * chosen.scale))
    return not (await f04.run(ground, _say, rolls=rolls, lease_s=LEASE_S, limit_s=LIMIT_S)).faults


async def _f05(ground: Ground, chosen: argparse.Namespace) -> bool:
    cases = await f05.run(ground, chosen.jobs, _say, lease_s=LEASE_S, limit_s=LIMIT_S)
    return not any(case.faults for case in cases)


async def _f07(ground: Ground, chosen: argparse.Namespace) -> bool:
    async with f07.stage(ground, LEASE_S) as stage:
        cases = await f07.run(stage, 4 * chosen.jobs, _say, limit_s=LIMIT_S)
    return not any(case.faults for case in cases)


async def _f08(ground: Ground, chosen: argparse.Namespace) -> bool:
    async with f07.stage(ground, LEASE_S) as stage:
        freeze_s = 90.0 * min(1.0, chosen.scale)
        cases = await f08.run(stage, chosen.jobs // 2, _say, freeze_s=freeze_s, limit_s=LIMIT_S, has_time=True)
    return not any(case.faults for case in cases)


async def _f09(ground: Ground, chosen: argparse.Namespace) -> bool:
    return not (await f09.run(ground, chosen.jobs, _say, bells=max(1, chosen.jobs // 8), limit_s=LIMIT_S)).faults


async def _f11(ground: Ground, chosen: argparse.Namespace) -> bool:
    strikes = max(2, round(10 * chosen.scale))
    return not (await f11.run(ground, _say, strikes=strikes, limit_s=LIMIT_S)).faults


async def _f15(ground: Ground, chosen: argparse.Namespace) -> bool:
    whole = await f15.run(ground, chosen.jobs, _say, closed_s=20.0, limit_s=LIMIT_S)
    one = await f15.run_model(ground, min(200, chosen.jobs), _say, closed_s=60.0, windows=2)
    return not (whole.faults or one.faults)


async def _f21(ground: Ground, chosen: argparse.Namespace) -> bool:
    return not (await f21.run(ground, chosen.jobs, _say, dead_s=30.0, limit_s=LIMIT_S)).faults


async def _f24(ground: Ground, chosen: argparse.Namespace) -> bool:
    return not (await f24.run(ground, max(50, chosen.jobs // 2), _say)).faults


async def _f27(ground: Ground, chosen: argparse.Namespace) -> bool:
    return not (await f27.run(ground, _say, limit_s=LIMIT_S)).faults


async def _f28(ground: Ground, chosen: argparse.Namespace) -> bool:
    return not (await f28.run(ground, chosen.jobs, _say, limit_s=LIMIT_S)).faults


async def _f33(ground: Ground, chosen: argparse.Namespace) -> bool:
    return not (await f33.run(ground, chosen.jobs, _say, limit_s=LIMIT_S)).faults


async def _f34(ground: Ground, chosen: argparse.Namespace) -> bool:
    return not (await f34.run(ground, chosen.jobs, max(16, chosen.jobs // 4), _say, limit_s=LIMIT_S)).faults


async def _budget(ground: Ground, chosen: argparse.Namespace) -> bool:
    case = await money.run(ground, max(200, chosen.jobs), _say, lease_s=LEASE_S, limit_s=LIMIT_S)
    return not case.faults


TESTS: dict[str, Callable[[Ground, argparse.Namespace], Awaitable[bool]]] = {
    "F01": _f01,
    "F02": _f02,
    "F03": _f03,
    "F04": _f04,
    "F05": _f05,
    "F07": _f07,
    "F08": _f08,
    "F09": _f09,
    "F11": _f11,
    "F15": _f15,
    "F21": _f21,
    "F24": _f24,
    "F27": _f27,
    "F28": _f28,
    "F33": _f33,
    "F34": _f34,
    "BUDGET": _budget,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for. Exit code 1 when an invariant broke, 2 for a wrong argument."""
    chosen = _parser().parse_args(arguments)
    chosen.jobs = max(24, round(500 * chosen.scale))
    failed = False
    with _ground() as ground:
        for name in chosen.ids or TESTS:
            failed |= not asyncio.run(_run(name, ground, chosen))
    return int(failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("ids", nargs="*", choices=[[], *TESTS], help=f"which: {', '.join(TESTS)}; all by default")
    parser.add_argument("--scale", type=float, default=1.0, help="1: 500 jobs a test (F02: a point)")
    parser.add_argument("--kills", type=int, default=20, help="F01: workers killed, one every 3 s")
    parser.add_argument("--seed", type=int, default=1, help="F01: which worker is killed")
    return parser


async def _run(name: str, ground: Ground, chosen: argparse.Namespace) -> bool:
    try:
        return await TESTS[name](ground, chosen)
    except (AssertionError, OSError, psycopg.Error) as error:
        kind = "" if isinstance(error, Vain) else f"{type(error).__name__}: "
        _say(f"{error}\n{name} {kind}{str(error).partition(chr(10))[0]} FAIL")
        return False


@contextmanager
def _ground() -> Iterator[Ground]:
    """Servers of our own, in short folders that the database's user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    folder.chmod(0o711)
    postgres = Postgres(folder / "postgres")
    try:
        postgres.start()
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {TEMPLATE}")
        upgrade(postgres.url.replace("@/tokenyard?", f"@/{TEMPLATE}?"))
        lab = folder / "lab"
        lab.mkdir()
        with provider(lab, LATENCY_MS) as (url, calls):
            yield Ground(postgres.url, TEMPLATE, url, calls)
    finally:
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
