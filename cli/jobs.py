"""`tokenyard jobs`: list, look at, cancel and retry jobs."""

import datetime as dt
from collections.abc import Iterator
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from cli.client import Client, errors, visit
from cli.results import answer_of
from cli.up import Var, console
from cli.wording import age, counted, moment, show, state, table, typed, usd
from jobs.durations import span
from jobs.lanes import Lane
from jobs.states import State

app = typer.Typer(help="List, look at, cancel and retry jobs.", no_args_is_help=True)
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Its id, job_...")]
MaybeJob = Annotated[str | None, typer.Argument(metavar="[JOB]", help="Its id, job_... (or name a --batch).")]
Batch = Annotated[str | None, typer.Option("--batch", help="The jobs of this batch.")]
MOST_CALLS = 3000
"""The list looks through so many calls for who answered; `jobs show` knows of any job."""


class Waiting(StrEnum):
    """The states out of which a job can be cancelled."""

    QUEUED = "queued"
    RUNNING = "running"


class Ended(StrEnum):
    """The states in which a job has ended (`jobs.states.TERMINAL`)."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@app.command("list")
def list_jobs(
    states: Annotated[list[State] | None, typer.Option("--state", help="May be given several times.")] = None,
    lane: Annotated[Lane | None, typer.Option(help="Only of this lane.")] = None,
    batch: Batch = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="The API's own objects, one a line.")] = False,
    var: Var = None,
) -> None:
    """List jobs, newest first.

    Example: tokenyard jobs list --state failed --limit 5
    """
    asked = {"state": [one.value for one in states] if states else None, "lane": lane and lane.value, "batch": batch}
    with visit(var) as client:
        jobs = client.pages("/v1/jobs", most=limit, **asked)
        if json:
            for job in jobs:
                print(msgspec.json.encode(job).decode())
            return
        found = list(jobs)
        if not found:
            console.print("No jobs.")
            return
        show(console, _listed(found, _answered_by(client, found, batch)))
        if len(found) == limit:
            errors.print(f"The newest {limit:,}; --limit shows more.")


def _listed(found: list[dict[str, Any]], answered_by: dict[str, str]) -> Table:
    now = dt.datetime.now(dt.UTC)
    rows = [
        (
            job["id"],
            state(job["state"]),
            job["lane"],
            job["policy"],
            age(job["created_at"], now),
            usd(job["cost_usd"]) if job["cost_complete"] else _open_cost(job),
            answered_by.get(job["id"]) or (job["error"]["code"] if job["error"] else ""),
        )
        for job in found
    ]
    return table(("job", "state", "lane", "policy", "age", "cost", "answered by / failure"), rows, frozenset({4, 5}))


def _open_cost(job: dict[str, Any]) -> str:
    """Some calls have no bill, or none yet."""
    return usd(None) if job["cost_usd"] is None else f"{usd(job['cost_usd'])} + {usd(None)}"


def _answered_by(client: Client, found: list[dict[str, Any]], batch: str | None) -> dict[str, str]:
    """Deployments by job, out of the ledger's accepted calls of that time: one question, not one a job."""
    ended = [job for job in found if job["state"] == State.SUCCEEDED]
    if not ended:
        return {}
    wanted = {job["id"] for job in ended}
    # The clocks of the one that opens a call and of the one that ends its job may differ a little.
    until = max(moment(job["finished_at"]) for job in ended) + dt.timedelta(minutes=1)
    since = min(job["created_at"] for job in ended)
    calls = client.pages(
        "/v1/ledger", most=MOST_CALLS, outcome="accepted", batch=batch, since=since, until=until.isoformat()
    )
    mine = ((call["job_id"], call["deployment"]) for call in calls if call["job_id"] in wanted)
    return dict(islice(mine, len(wanted)))


@app.command("show")
def show_job(
    job: JobId,
    json: Annotated[bool, typer.Option("--json", help="The API's own object.")] = False,
    var: Var = None,
) -> None:
    """Show a job: its answer, its calls, its costs and times. `tokenyard why JOB` says how it came to them.

    Example: tokenyard jobs show job_01kxw3d7j4e8tbq5v6n2m9r0ya
    """
    with visit(var) as client:
        found = client.get(f"/v1/jobs/{job}")
        if json:
            print(msgspec.json.encode(found).decode())
            return
        for name, value in _facts(found):
            console.print(f"{name:<10}", value, markup=False, soft_wrap=True)
        if found["attempts"]:
            console.print()
            show(console, calls(found["attempts"]))
        text = answer_of(found["result"])
        if text is not None:
            console.print("\nAnswer:", style="bold")
            console.print(text, markup=False, soft_wrap=True)
        elif found["result"] is not None:
            console.print("\nThe answer has no text (it calls tools, perhaps); --json shows it.")
        console.print("\nHow it came to this:", typed(var, "why", job), markup=False, soft_wrap=True)


def _facts(job: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "job", job["id"]
    yield "state", state(job["state"])
    if job["error"]:
        yield "failure", f"{job['error']['code']}: {job['error']['message']}"
    for name in ("lane", "policy", "model", "task", "custom_id", "batch_id", "retry_of"):
        if job[name]:
            yield name, job[name]
    bound = job["cost_bound_usd"]
    most = "" if job["cost_complete"] or bound is None else f", at most {usd(bound)}"
    yield "cost", (usd(job["cost_usd"]) if job["cost_complete"] else _open_cost(job)) + most
    yield "submitted", job["created_at"]
    if job["started_at"]:
        yield "waited", span((moment(job["started_at"]) - moment(job["created_at"])).total_seconds())
    if job["finished_at"]:
        yield "ended", job["finished_at"]
    else:
        yield "deadline", job["deadline_at"]
    if job["purged_at"]:
        yield "erased", f"{job['purged_at']}: its prompt and answers are gone, its costs are kept"
    if job["sandbox"]:
        yield "sandbox", "answered by an offline stand-in, not by a real model"


def calls(attempts: list[dict[str, Any]]) -> Table:
    """A job's calls, oldest first."""
    rows = [
        (
            call["deployment"],
            call["outcome"] or "open",
            call["failure"] or "",
            "" if call["confidence"] is None else f"{call['confidence']:.2f}",
            "" if call["total_ms"] is None else span(call["total_ms"] / 1000),
            "$0" if call["outcome"] == "not_sent" else usd(call["cost_usd"]),
        )
        for call in attempts
    ]
    return table(("call to", "outcome", "failure", "confidence", "took", "cost"), rows, frozenset({3, 4, 5}))


@app.command("cancel")
def cancel(
    job: MaybeJob = None,
    batch: Batch = None,
    only: Annotated[Waiting | None, typer.Option("--state", help="With --batch: only the jobs in this state.")] = None,
    var: Var = None,
) -> None:
    """Cancel a job, or what is left of a batch. Waiting jobs end at once, running ones when their workers have heard.

    Example: tokenyard jobs cancel --batch batch_01kxw3d7j4e8tbq5v6n2m9r0ya --state queued
    """
    _check_one(job, batch, only)
    with visit(var) as client:
        if job is not None:
            done = client.post(f"/v1/jobs/{job}/cancel")
            said = {
                "done": "cancelled.",
                "requested": "is running; its worker is told to stop.",
                "too_late": f"had ended already: {done['state']}.",
            }
            console.print(job, said[done["cancel"]], markup=False, soft_wrap=True)
            return
        if only is None:
            done = client.post(f"/v1/batches/{batch}/cancel")
            ended, told = done["cancelled"], done["cancel_requested"]
        else:
            ended, told = _cancel_each(client, batch, only)
        if ended or told:
            console.print(f"{counted(ended, 'job')} cancelled, {told:,} running told to stop.")
        else:
            console.print(f"Nothing to cancel: no job of this batch {'is ' + only if only else 'is left'}.")


def _cancel_each(client: Client, batch: str | None, only: Waiting) -> tuple[int, int]:
    """Cancel the jobs that are in a state now; one that has moved on since is told all the same."""
    found = [job["id"] for job in client.pages("/v1/jobs", batch=batch, state=only.value)]
    if not found:
        client.get(f"/v1/batches/{batch}")  # a batch that is not there is an error, not "0 jobs"
    said = [client.post(f"/v1/jobs/{job}/cancel")["cancel"] for job in found]
    return said.count("done"), said.count("requested")


@app.command("retry")
def retry(
    job: MaybeJob = None,
    batch: Batch = None,
    states: Annotated[
        list[Ended] | None, typer.Option("--state", help="With --batch; may be given several times; default failed.")
    ] = None,
    var: Var = None,
) -> None:
    """Submit again, as a new job or batch, what has ended. The old one stays as it is.

    Example: tokenyard jobs retry --batch batch_01kxw3d7j4e8tbq5v6n2m9r0ya --state failed --state expired
    """
    _check_one(job, batch, states)
    with visit(var) as client:
        if job is not None:
            new = client.post(f"/v1/jobs/{job}/retry")["id"]
            _tell_next(f"{job} is submitted again as {new}", var, ("jobs", "show", new))
            return
        wanted = [one.value for one in states] if states else ["failed"]
        made = client.post(f"/v1/batches/{batch}/retry", state=wanted)
        _tell_next(f"{counted(made['total'], 'job')} submitted again as {made['id']}", var, ("watch", made["id"]))


def _tell_next(said: str, var: Path | None, words: tuple[str, ...]) -> None:
    console.print(said, markup=False, soft_wrap=True)
    console.print("Next:", typed(var, *words), markup=False, soft_wrap=True)


def _check_one(job: str | None, batch: str | None, narrowed: object) -> None:
    """A job or a batch, not both and not neither. Raises typer.BadParameter (exit 2)."""
    if (job is None) == (batch is None):
        raise typer.BadParameter("name one JOB, or a whole --batch")
    if job is not None and narrowed:
        raise typer.BadParameter("--state goes with --batch; a single job is meant whatever its state")
