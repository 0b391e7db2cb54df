"""`tokenyard up` and `tokenyard down`: a yard on this machine, in the background or in this terminal."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import psutil
import typer
from rich.console import Console
from rich.panel import Panel

from cli.plan import compose, embedded_servers
from cli.servers import ServerError, read, still_alive
from cli.supervisor import Supervisor, stop_leftovers
from cli.yard import CHECKOUT, VAR_VARIABLE, State, Yard, YardError
from jobs.configuration import CONFIG_VARIABLE, config_paths, load
from jobs.settings import Settings, SettingsError

Var = Annotated[Path | None, typer.Option("--var", envvar=VAR_VARIABLE, help="The yard's folder (default ./var).")]
Foreground = Annotated[bool, typer.Option("--foreground", help="Stay in this terminal until Ctrl-C.")]
Erase = Annotated[bool, typer.Option("--erase", help="Remove the yard's data too: jobs, ledger, key and logs.")]
STOP_LIMIT_S = 120.0
"""Workers drain for 30 s, the rest and Postgres' last checkpoint take their time."""
LOOK_S = 0.1
console = Console(highlight=False)


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Print what went wrong as a sentence and exit 1; a traceback tells a user nothing."""
    try:
        yield
    except (YardError, ServerError, SettingsError) as error:
        console.print(f"tokenyard: {error}", markup=False, style="red", soft_wrap=True)
        raise typer.Exit(1) from error


def up(var: Var = None, foreground: Foreground = False) -> None:
    """Start a yard here: Postgres, Redis, the API, workers, Flower, and a sandbox when no provider has a key."""
    yard = Yard(var)
    with plain_errors():
        running = yard.running()
        if running is not None:
            console.print(f"This yard is up already (supervisor {running.supervisor.pid}).")
        elif foreground:
            Supervisor(yard, compose(yard, os.environ)).run()
            return
        else:
            running = start_detached(yard)
        _welcome(yard, running)


def down(var: Var = None, erase: Erase = False) -> None:
    """Stop the yard here, also one whose supervisor was killed."""
    yard = Yard(var)
    with plain_errors():
        console.print("Stopped." if stop(yard) else "Nothing of this yard runs.")
        if erase:
            for server in embedded_servers(yard, _settings_or_none()).values():
                server.erase()
            yard.erase()
            console.print(f"Erased {yard.var}.")


def stop(yard: Yard) -> bool:
    """Stop the yard, and what a killed supervisor left; False if nothing ran."""
    running = yard.running()
    process = running.supervisor.process() if running is not None else None
    if process is not None:
        console.print("Stopping; workers finish what they hold (up to 30 s).")
        _end(process)
    left = stop_leftovers(yard, tuple(embedded_servers(yard, _settings_or_none()).values()))
    if left:
        console.print(f"Stopped what was left running: {', '.join(left)}.")
    return process is not None or bool(left)


def _settings_or_none() -> Settings:
    """The settings, or the defaults when they can't be read: stopping must not depend on a typo."""
    try:
        return load()
    except SettingsError:
        return Settings()


def start_detached(yard: Yard, extra: Mapping[str, str] | None = None) -> State:
    """Start the supervisor in the background, with `extra` in its environment; return when the yard is ready.

    Raises YardError with the end of the supervisor's log if it is never ready, typer.Exit after a Ctrl-C.
    """
    yard.make()
    log_path = yard.log / "supervisor.log"
    configs = os.pathsep.join(str(path.absolute()) for path in config_paths(os.environ))
    with log_path.open("wb") as log:
        supervisor = psutil.Popen(
            [sys.executable, "-m", "cli.main", "up", "--foreground", "--var", str(yard.var)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=CHECKOUT,
            env={**os.environ, CONFIG_VARIABLE: configs, "PYTHONUNBUFFERED": "1", **(extra or {})},
            start_new_session=True,
        )
    try:
        with console.status("Starting (the first start trains the sandbox's models)"):
            return _wait_until_ready(yard, supervisor, log_path)
    except KeyboardInterrupt:
        console.print("Interrupted: stopping what has started.")
        _end(supervisor)
        raise typer.Exit(130) from None


def _wait_until_ready(yard: Yard, supervisor: psutil.Popen, log_path: Path) -> State:
    """The supervisor bounds the wait: it ends when the yard can't be made ready."""
    while True:
        state = yard.running()
        if state is not None and state.phase == "ready" and state.supervisor.pid == supervisor.pid:
            return state
        if supervisor.poll() is not None:
            raise YardError(f"the yard did not start; the end of {log_path}:\n{read(log_path)[-3000:]}")
        time.sleep(LOOK_S)


def _end(supervisor: psutil.Process) -> None:
    """SIGTERM and wait; a supervisor that hangs is killed, its children are found afterwards."""
    with contextlib.suppress(psutil.NoSuchProcess):
        supervisor.send_signal(signal.SIGTERM)
        if still_alive([supervisor], STOP_LIMIT_S):
            supervisor.kill()


def _welcome(yard: Yard, state: State) -> None:
    """Where everything is, and what to type next."""
    if any(name.startswith("sandbox-") for name in state.processes):
        console.print(
            Panel(
                "No provider has a key, so this yard runs on the SANDBOX: small offline models that know one task, "
                "the intents of bank customers' questions. For real models name a provider in tokenyard.toml, set "
                "its key in the environment, then `tokenyard down` and `tokenyard up`.",
                title="sandbox",
                style="yellow",
            )
        )
    with contextlib.suppress(SettingsError):
        settings = load()
        for url, asked, what in (
            (state.api_url, settings.api.port, "this yard serves"),
            (state.flower_url, settings.flower.port, "Flower serves"),
        ):
            if url and urlsplit(url).port != asked:
                console.print(f"Port {asked} is taken: {what} on {urlsplit(url).port}.", style="yellow")
    command = "tokenyard" if yard.var == Path("var").absolute() else f"TOKENYARD_VAR={yard.var} tokenyard"
    lines = {
        "API": f"{state.api_url}/v1   (documentation: {state.api_url}/docs)",
        "Page": f"{state.api_url}/   (sign in with the key)",
        "Key": str(yard.key_path),
        "Flower": f"{state.flower_url}   (user tokenyard, password in {yard.flower_password_path}; it only shows)",
        "Hooks": "webhooks may also call 127.0.0.1, by http and on any port: fine here, not where others hold keys",
        "Logs": str(yard.log),
        "Next": f"{command} status   or   {command} down",
        "Try": f'curl -s {state.api_url}/v1/jobs -H "Authorization: Bearer $(cat {yard.key_path})" '
        """-d '{"request":{"model":"auto","messages":[{"role":"user","content":"Hello"}]}}'""",
    }
    for name, text in lines.items():
        console.print(f"{name:<7} {text}", markup=False, soft_wrap=True)  # a wrapped command can't be copied
