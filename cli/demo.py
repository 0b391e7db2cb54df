"""`tokenyard demo`: 10,003 real questions through two tiers, with two providers and a worker killed on the way."""

import csv
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from cli.client import Client
from cli.demo_report import Report, collect
from cli.plan import SANDBOX_VARIABLE, embedded_servers
from cli.processes import SANDBOX_DATA
from cli.up import Var, console, plain_errors, start_detached, stop
from cli.watch import watch
from cli.yard import Yard, YardError
from jobs.configuration import load

POLICY = "support"
TASK = "support-intent"
FOLDER = Path("var/demo")
"""A yard of its own: the demo begins with an empty record, and must not empty another."""


class Kill(msgspec.Struct, frozen=True):
    """A process to kill when so much of the batch is done."""

    name: str
    at: float
    """Share of the jobs."""
    meaning: str
    is_held: bool = False
    """It stays dead: the supervisor starts no other."""


KILLS = (
    Kill(
        "sandbox-east", 0.25, "its calls fail over to the other provider of the same model; it stays dead", is_held=True
    ),
    Kill("worker-bulk", 0.5, "a new one is started; the jobs it held are rescued when their leases run out"),
    Kill(
        "sandbox-north",
        0.75,
        "the dear calls fail over to another maker's model, from OpenAI's wire to Anthropic's; it stays dead",
        is_held=True,
    ),
)
Jobs = Annotated[int | None, typer.Option("--jobs", min=10, help="Only the first N questions (default: all 10,003).")]


class Saboteur:
    """Kills a cheap provider, a worker and a dear provider when the batch has come so far; says so."""

    def __init__(self, yard: Yard) -> None:
        self._yard = yard
        self.killed: list[str] = []

    def look(self, done: int, total: int) -> None:
        """Called by the watch at every look."""
        for kill in KILLS:
            if done / total >= kill.at and kill.name not in self.killed:
                if kill.is_held:
                    self._yard.hold(kill.name)
                self._kill(kill)

    def _kill(self, kill: Kill) -> None:
        self.killed.append(kill.name)
        state = self._yard.running()
        running = state.processes.get(kill.name) if state is not None else None
        process = running.process() if running is not None else None
        if process is None:
            raise YardError(f"{kill.name} does not run; see {self._yard.log}")
        process.send_signal(signal.SIGKILL)
        console.print(f"[bold red]kill -9 {kill.name}[/bold red] (pid {process.pid}): {kill.meaning}")


def demo(var: Var = None, jobs: Jobs = None) -> None:
    """Run 10,003 real customer questions through a cheap and a dear model, and kill things on the way."""
    yard = Yard(var or FOLDER)
    began_s = time.monotonic()
    with plain_errors():
        if yard.running() is not None:
            raise YardError(f"a yard runs in {yard.var}; stop it with `tokenyard down --var {yard.var}`")
        console.print(
            "[bold]Tokenyard demo[/bold]: Postgres, Redis, the API, two workers, a dispatcher and four offline "
            "providers over small real models start on this machine. Nothing leaves it; all of it stops at the end.\n"
        )
        _forget_the_last(yard)
        try:
            report = _run(yard, jobs)
        except KeyboardInterrupt:
            console.print("Interrupted.")
            raise typer.Exit(130) from None
        finally:
            stop(yard)
        path = (yard.var if var else FOLDER.parent) / "demo-report.json"
        path.write_text(json.dumps(report.as_json(), indent=2) + "\n", encoding="utf-8")
        report.show(console, path, var or FOLDER, time.monotonic() - began_s)


def _forget_the_last(yard: Yard) -> None:
    """Drop the jobs and call logs of the last demo; the trained models stay."""
    stop(yard)
    for server in embedded_servers(yard, load()).values():
        server.erase()
    for log in yard.sandbox.glob("*.calls.jsonl"):
        log.unlink()


def _run(yard: Yard, most: int | None) -> Report:
    """Start, submit, watch and collect. The yard is stopped by the caller, whatever happens."""
    start_detached(yard, {SANDBOX_VARIABLE: "only"})
    client = Client.of(yard)
    questions = read_questions(SANDBOX_DATA / "train.csv")[:most]
    began_s = time.monotonic()
    batch = client.post("/v1/jobs/bulk", content=lines(questions), policy=POLICY, task=TASK)
    console.print(
        f"{batch['total']:,} real bank customers' questions submitted in {time.monotonic() - began_s:.1f} s "
        f"as [bold]{batch['id']}[/bold]: a cheap model at two providers, below 0.7 confidence "
        "one of two makers' dear ones."
    )
    saboteur = Saboteur(yard)
    watch(client, batch["id"], console, saboteur.look)
    took_s = time.monotonic() - began_s
    return collect(client, yard, batch["id"], [label for _, label in questions], took_s)


def read_questions(path: Path) -> list[tuple[str, str]]:
    """(question, its true intent), in the file's order."""
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["category"]) for row in csv.DictReader(file)]


def lines(questions: list[tuple[str, str]]) -> Iterator[bytes]:
    """One job a line: any chat model could answer it, since the system prompt names the 77 intents."""
    system = {"role": "system", "content": instruction()}
    for number, (question, _) in enumerate(questions):
        request: dict[str, Any] = {
            "model": POLICY,
            "messages": [system, {"role": "user", "content": question}],
            "max_tokens": 24,
        }
        yield json.dumps({"custom_id": f"q-{number}", "request": request}).encode() + b"\n"


def instruction() -> str:
    """The system prompt: what to do, and the labels to choose from."""
    labels = json.loads((SANDBOX_DATA / "categories.json").read_text(encoding="utf-8"))
    return (
        "You sort the questions of a bank's customers. Answer with exactly one of these intents and nothing else: "
        + ", ".join(labels)
    )
