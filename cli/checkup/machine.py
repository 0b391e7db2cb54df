"""Looks at this machine and what answers on it: the yard's processes, ports, disk, the API, Flower."""

import shutil
import tempfile
from pathlib import Path

from cli import ask
from cli.checkup.finding import Finding, Level, fail, ok, warn
from cli.yard import State, Yard, YardError, next_free_port
from jobs.settings import Settings

CHECKS = ("processes", "api", "flower", "ports", "disk")
DISK_WARN_BYTES, DISK_FAIL_BYTES = 2_000_000_000, 300_000_000


def judge(yard: Yard, settings: Settings, remote_url: str) -> list[Finding]:
    """One finding for each of this module's checks. `remote_url`: a yard elsewhere, or empty."""
    state = yard.running()
    return [
        _processes(yard, state, settings),
        _api(remote_url or (state.api_url if state is not None else "")),
        _flower(state),
        _ports(state, settings),
        disk(yard.var),
    ]


def _skip(name: str, why: str) -> Finding:
    return Finding(name, Level.SKIPPED, why)


def _processes(yard: Yard, state: State | None, settings: Settings) -> Finding:
    if state is None:
        if settings.database_url:
            return _skip("processes", "no yard of `tokenyard up` here; the database is named by the settings")
        return fail("processes", f"the yard in {yard.var} is down", "tokenyard up")
    down = [name for name, running in state.processes.items() if running is None or running.process() is None]
    if down:
        return fail("processes", f"down: {', '.join(down)}", f"see {yard.log}/{down[0]}.log for why; it is restarted")
    restarted = [f"{name} {run.restarts} times" for name, run in state.processes.items() if run and run.restarts]
    if restarted:
        remedy = f"the logs in {yard.log} say why"
        return warn("processes", f"all {len(state.processes)} run; restarted: {', '.join(restarted)}", remedy)
    return ok("processes", f"all {len(state.processes)} run; yard: {state.phase}")


def _api(url: str) -> Finding:
    if not url:
        return _skip("api", "no yard runs here; set TOKENYARD_URL to ask one elsewhere")
    reply = ask.get(url, "/readyz")
    if reply is None:
        return fail("api", f"{url} does not answer", "tokenyard status; the API's log says why")
    if reply.status != 200:
        return fail("api", f"{url} is not ready: {reply.body.decode(errors='replace')[:200]}", "mend what it names")
    return ok("api", f"{url} is ready")


def _flower(state: State | None) -> Finding:
    if state is None or not state.flower_url:
        return _skip("flower", "no yard of `tokenyard up` here")
    reply = ask.get(state.flower_url, "/healthcheck")
    if reply is None or reply.status != 200:
        return warn("flower", f"{state.flower_url} does not answer; jobs are carried all the same", "tokenyard status")
    return ok("flower", f"{state.flower_url} answers")


def _ports(state: State | None, settings: Settings) -> Finding:
    if state is not None or settings.database_url:
        return _skip("ports", "only asked before `tokenyard up`")
    asked = {"api": (settings.api.host, settings.api.port), "flower": (settings.flower.host, settings.flower.port)}
    try:
        found = {name: next_free_port(*address) for name, address in asked.items()}
    except YardError as error:
        return fail("ports", str(error), "set another port in tokenyard.toml")
    taken = [f"{name}.port {asked[name][1]}" for name in asked if found[name] != asked[name][1]]
    if taken:
        return warn("ports", f"taken by somebody else: {', '.join(taken)}", "`up` takes the next free one and says so")
    return ok("ports", f"free: {', '.join(str(port) for port in found.values())}")


def disk(folder: Path) -> Finding:
    """Room where the yard keeps its data, and where bulk submits are spooled."""
    while not folder.exists():
        folder = folder.parent
    places = {str(place): shutil.disk_usage(place).free for place in (folder, Path(tempfile.gettempdir()))}
    fullest = min(places, key=lambda place: places[place])
    free = places[fullest]
    says = f"{free / 1e9:.1f} GB free for {fullest}"
    if free >= DISK_WARN_BYTES:
        return ok("disk", says)
    remedy = "make room: Postgres refuses to write on a full disk; shorter retention.days drops prompts sooner"
    return (fail if free < DISK_FAIL_BYTES else warn)("disk", says, remedy)
