"""`tokenyard status`: what runs in the yard here, and how many jobs it holds."""

import datetime as dt
import re
import time

import psutil
import typer
from rich.table import Table

from cli import ask
from cli.up import Var, console
from cli.yard import Running, State, Yard

JOBS_METRIC = re.compile(rb"^tokenyard_jobs\{(?P<labels>[^}]*)\} (?P<count>[0-9.e+]+)$", re.MULTILINE)
"""A gauge of `/metrics`: jobs by lane and state."""
LABEL = re.compile(rb'(?P<name>\w+)="(?P<value>[^"]*)"')


def status(var: Var = None) -> None:
    """Show the yard's processes and jobs; exit 3 if it is down (as service managers do)."""
    yard = Yard(var)
    state = yard.running()
    if state is None:
        left = [name for name, running in _entries(yard.state()) if running is not None and running.process()]
        console.print(f"The yard in {yard.var} is down." + (f" Left running: {', '.join(left)}." if left else ""))
        raise typer.Exit(3)
    console.print(_processes(state))
    ready = ask.get(state.api_url, "/readyz")
    answer = "does not answer" if ready is None else "ready" if ready.status == 200 else f"not ready ({ready.status})"
    console.print(f"API {state.api_url}: {answer}; yard: {state.phase}")
    if state.flower_url:
        shown = ask.get(state.flower_url, "/healthcheck") is not None
        console.print(f"Flower {state.flower_url}: {'answers' if shown else 'does not answer'}")
    metrics = ask.get(state.api_url, "/metrics", yard.key())
    counts = jobs_by_lane(metrics.body) if metrics is not None else {}
    if counts:
        console.print(_jobs(counts))


def jobs_by_lane(metrics: bytes) -> dict[tuple[str, str], int]:
    """Jobs by (lane, state) from a Prometheus page; empty if it has no such gauge."""
    counts: dict[tuple[str, str], int] = {}
    for sample in JOBS_METRIC.finditer(metrics):
        labels = {label["name"]: label["value"].decode() for label in LABEL.finditer(sample["labels"])}
        if b"lane" in labels and b"state" in labels:
            counts[labels[b"lane"], labels[b"state"]] = int(float(sample["count"]))
    return counts


def _entries(state: State | None) -> list[tuple[str, Running | None]]:
    return list(state.processes.items()) if state is not None else []


def _processes(state: State) -> Table:
    table = Table("process", "pid", "state", "up", "restarts", "memory")
    for name, running in [("supervisor", state.supervisor), *_entries(state)]:
        process = running.process() if running is not None else None
        if running is None or process is None:
            table.add_row(name, "", "[red]down[/red]", "", "", "")
            continue
        memory = _memory(process)
        up = dt.timedelta(seconds=round(time.time() - running.create_time))
        table.add_row(name, str(running.pid), "running", str(up), str(running.restarts), memory)
    return table


def _memory(process: psutil.Process) -> str:
    """Resident memory; empty if the process has just ended."""
    try:
        return f"{process.memory_info().rss / 1_000_000:.0f} MB"
    except psutil.NoSuchProcess:
        return ""


def _jobs(counts: dict[tuple[str, str], int]) -> Table:
    states = sorted({state for _, state in counts})
    table = Table("lane", *states)
    for lane in sorted({lane for lane, _ in counts}):
        table.add_row(lane, *(str(counts.get((lane, state), 0)) for state in states))
    return table
