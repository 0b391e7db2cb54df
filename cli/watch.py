"""Watches a batch to its end: a bar with done, running, jobs/s, cost so far and ETA."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from cli.client import Client, NoAnswer
from cli.wording import UNKNOWN
from jobs.durations import span

LOOK_S = 0.5
RATE_WINDOW_S = 5.0
PATIENCE_S = 30.0
"""So long an API that does not answer (it is being restarted) is asked again; the batch runs on without it."""
TERMINAL = ("succeeded", "failed", "cancelled", "expired")
Look = Callable[[int, int], None]
"""Called at every look with the jobs done and the total."""


def done_in(batch: dict[str, Any]) -> int:
    """Jobs of a batch that have ended, whatever the end."""
    return sum(int(batch["counts"].get(state, 0)) for state in TERMINAL)


def watch(client: Client, batch_id: str, console: Console, look: Look | None = None) -> dict[str, Any]:
    """Poll the batch until every job has ended; returns its last view. Raises YardError."""
    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn("{task.fields[running]} running"),
        TextColumn("[cyan]{task.fields[rate]:.0f} jobs/s"),
        TextColumn("[green]{task.fields[cost]}"),
        TextColumn("{task.fields[eta]}"),
    )
    seen: deque[tuple[float, int]] = deque()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=None, running=0, rate=0.0, cost="", eta="")
        while True:
            batch = _ask(client, batch_id)
            done, total = done_in(batch), int(batch["total"])
            rate = _rate(seen, done)
            bar.update(
                task,
                total=total,
                completed=done,
                running=batch["counts"].get("running", 0),
                rate=rate,
                cost=_so_far(batch),
                eta=f"{span((total - done) / rate)} left" if rate and done < total else "",
            )
            if look is not None:
                look(done, total)
            if done >= total:
                return batch
            time.sleep(LOOK_S)


def _ask(client: Client, batch_id: str) -> dict[str, Any]:
    """The batch as it is now; an API that is away for a while is waited for."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return client.get(f"/v1/batches/{batch_id}")
        except NoAnswer:
            if time.monotonic() > until:
                raise
            time.sleep(LOOK_S)


def _so_far(batch: dict[str, Any]) -> str:
    """Calls that are still open have no bill yet: the known sum, or that none is known."""
    usd = batch["cost_usd"]
    return f"cost {UNKNOWN}" if usd is None else f"${float(usd):.4f}"


def _rate(seen: deque[tuple[float, int]], done: int) -> float:
    """Jobs per second over the last few seconds."""
    now = time.monotonic()
    seen.append((now, done))
    while now - seen[0][0] > RATE_WINDOW_S:
        seen.popleft()
    (then, before) = seen[0]
    return (done - before) / (now - then) if now > then else 0.0
