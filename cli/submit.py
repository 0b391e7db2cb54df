"""`tokenyard submit` and `tokenyard watch`: a file of jobs becomes a batch, and the batch is followed to its end."""

import datetime as dt
import functools
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_type_hints

import typer

from cli.client import Client, errors, visit
from cli.lines import Format, Lines, Prompt, opened
from cli.up import Var, console
from cli.watch import TERMINAL, watch
from cli.wording import counted, show, state, table, typed, usd
from cli.yard import YardError
from jobs.durations import span
from jobs.lanes import SUBMITTABLE

LANES = tuple(lane.value for lane in SUBMITTABLE)
SPAN = re.compile(r"(?P<number>\d{1,6})(?P<unit>[smhd])")
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
MOST_EXPLAINED = 1000
"""So many failed jobs are counted by their failure; a sample says enough of more."""
WATCHED = "The batch runs on without being watched; to watch it again:"


class Options(NamedTuple):
    """What `submit` may be told: the command's arguments and options, as typer reads them."""

    file: Annotated[Path, typer.Argument(metavar="FILE", help="`-` reads standard input.")]
    watch: Annotated[bool, typer.Option("--watch", help="Stay until every job has ended; exit 1 if one failed.")] = (
        False
    )
    task: Annotated[str | None, typer.Option(help="Name of the task, for costs and scores by task.")] = None
    policy: Annotated[str | None, typer.Option(help="Policy of lines that name none.")] = None
    lane: Annotated[str | None, typer.Option(help=f"{', '.join(LANES)} (default bulk).")] = None
    deadline: Annotated[
        str | None, typer.Option(help="Jobs not done by then expire: 30m, 2h, 3d, or 2026-12-01T00:00:00Z.")
    ] = None
    model: Annotated[str | None, typer.Option(help="Plain text: the model or policy asked (default auto).")] = None
    system: Annotated[
        str | None, typer.Option(metavar="TEXT|@FILE", help="Plain text: the system message before each line.")
    ] = None
    text: Annotated[bool, typer.Option("--text", help="Take the lines for plain text whatever they look like.")] = False
    on_error: Annotated[str, typer.Option(help="refuse: one wrong line refuses all; skip: leave wrong lines out.")] = (
        "refuse"
    )
    webhook: Annotated[
        str | None, typer.Option(help="An endpoint (wh_..., `tokenyard hooks`) to tell when the batch has finished.")
    ] = None
    idempotency_key: Annotated[
        str | None, typer.Option(help="Sent twice under one key, the file is submitted once (24 h).")
    ] = None
    var: Var = None


def _taking_options(command: Callable[[Options], None]) -> Callable[..., None]:
    """Let typer see the fields of `Options` as the parameters of a command that takes them as one value."""

    @functools.wraps(command)
    def called(**values: Any) -> None:
        command(Options(**values))

    hints = get_type_hints(Options, include_extras=True)
    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=Options._field_defaults.get(name, inspect.Parameter.empty),
            annotation=hints[name],
        )
        for name in Options._fields
    ]
    called.__dict__["__signature__"] = inspect.Signature(parameters)
    called.__annotations__ = hints
    return called


@_taking_options
def submit(options: Options) -> None:
    """Submit a file as one batch: our lines, an OpenAI batch file, or plain text with one prompt a line.

    Example: tokenyard submit questions.txt --system "Answer in one word." --policy support --watch
    """
    _check(options)
    deadline = read_deadline(options.deadline, dt.datetime.now(dt.UTC))
    prompt = Prompt(options.model or options.policy or "auto", read_system(options.system))
    with visit(options.var) as client:
        batch = _send(client, options, prompt, deadline)
        if options.watch:
            _follow(client, batch["id"], options.var)


def follow(
    batch: Annotated[str, typer.Argument(metavar="BATCH", help="Its id, batch_...")],
    var: Var = None,
) -> None:
    """Watch a batch until every job has ended; exit 1 if one did not succeed. Ctrl-C stops only the watching.

    Example: tokenyard watch batch_01kxw3d7j4e8tbq5v6n2m9r0ya
    """
    with visit(var) as client:
        _follow(client, batch, var)


def _check(options: Options) -> None:
    """What the API would say too, but said before anything is read. Raises typer.BadParameter (exit 2)."""
    if str(options.file) != "-" and (options.file.is_dir() or not options.file.exists()):
        what = "is a folder" if options.file.is_dir() else "does not exist"
        raise typer.BadParameter(f"{options.file} {what}", param_hint="FILE")
    if options.lane is not None and options.lane not in LANES:
        raise typer.BadParameter(f"{options.lane!r} is none of {', '.join(LANES)}", param_hint="--lane")
    if options.on_error not in {"refuse", "skip"}:
        raise typer.BadParameter(f"{options.on_error!r} is neither refuse nor skip", param_hint="--on-error")
    if options.file.suffix.lower() in {".csv", ".tsv", ".xlsx"} and not options.text:
        message = (
            f"{options.file} is a table; write its prompts to a file with one a line, or say --text to send "
            "each of its lines as it is, the heading too"
        )
        raise typer.BadParameter(message, param_hint="FILE")


def read_deadline(text: str | None, now: dt.datetime) -> str | None:
    """A deadline for the API, from a time or from a span such as 2h. Raises typer.BadParameter."""
    if text is None:
        return None
    if found := SPAN.fullmatch(text):
        ahead_s = int(found["number"]) * UNITS_S[found["unit"]]
        return (now + dt.timedelta(seconds=ahead_s)).isoformat()
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{text!r} is neither a span such as 30m, 2h or 3d nor a time such as 2026-12-01T00:00:00Z"
        raise typer.BadParameter(message, param_hint="--deadline") from error
    if when.tzinfo is None:
        raise typer.BadParameter(f"{text!r} has no time zone; add Z for UTC", param_hint="--deadline")
    return when.isoformat()


def read_system(text: str | None) -> str | None:
    """The system message, from a file if it begins with @. Raises typer.BadParameter."""
    if text is None or not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise typer.BadParameter(f"{text[1:]}: {error.strerror}", param_hint="--system") from error
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{text[1:]} is not UTF-8", param_hint="--system") from error


def _send(client: Client, options: Options, prompt: Prompt, deadline: str | None) -> dict[str, Any]:
    """Read, say what it is, and stream it. Raises YardError, typer.BadParameter."""
    name = "standard input" if str(options.file) == "-" else str(options.file)
    with opened(options.file) as file:
        try:
            lines = Lines(file, is_text=options.text)
        except YardError as error:
            raise YardError(f"{name}: {error}") from error
        if lines.format is not Format.TEXT and (options.model is not None or options.system is not None):
            message = f"{name} is {lines.format}: its lines carry their own requests; leave --model and --system out"
            raise typer.BadParameter(message)
        console.print(f"{name}: {lines.format}.", markup=False, soft_wrap=True)
        batch = client.post(
            "/v1/jobs/bulk",
            content=lines.pieces(prompt),
            once=options.idempotency_key,
            lane=options.lane,
            policy=options.policy,
            task=options.task,
            deadline=deadline,
            on_error=options.on_error,
            webhook=options.webhook,
        )
    _tell(lines.count, batch, options)
    return batch


def _tell(read: int, batch: dict[str, Any], options: Options) -> None:
    console.print(f"{counted(read, 'line')} read, {counted(batch['total'], 'job')} accepted as {batch['id']}")
    for bad in batch.get("errors", []):
        errors.print(f"  left out, line {bad['line']}: {bad['message']}", markup=False, style="yellow", soft_wrap=True)
    if options.watch:
        return
    console.print("Next:", typed(options.var, "watch", batch["id"]), markup=False, soft_wrap=True)
    console.print("     ", typed(options.var, "results", batch["id"]), markup=False, soft_wrap=True)


def _follow(client: Client, batch_id: str, var: Path | None) -> None:
    """Watch, sum up, and exit 1 if a job did not succeed, 130 after a Ctrl-C."""
    try:
        batch = watch(client, batch_id, console)
    except KeyboardInterrupt:
        console.print(WATCHED)
        console.print(" ", typed(var, "watch", batch_id), markup=False, soft_wrap=True)
        raise typer.Exit(130) from None
    summarise(client, batch, var)
    if batch["counts"]["succeeded"] < batch["total"]:
        raise typer.Exit(1)


def summarise(client: Client, batch: dict[str, Any], var: Path | None) -> None:
    """What came of a batch: its jobs by state, the cost by model, and why the failed ones failed."""
    counts = {name: batch["counts"][name] for name in TERMINAL if batch["counts"][name]}
    ends = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    took = ""
    if batch["took_s"] is not None:
        took = f" in {span(batch['took_s'])}"
    console.print(f"{counted(batch['total'], 'job')}{took}: {ends}")
    console.print(f"Cost: {_cost(batch)}")
    usage = client.get("/v1/usage", batch=batch["id"], group_by="model")["data"]
    rows = [
        (
            line["model"],
            f"{line['calls']:,}",
            f"{line['accepted']:,}",
            usd(line["cost_usd"]),
            f"{line['unknown_cost']:,}",
        )
        for line in usage
    ]
    if rows:
        heads = ("model", "calls", "accepted", "cost", "of unknown cost")
        show(console, table(heads, rows, frozenset({1, 2, 3, 4})))
    _explain(client, batch, var)
    console.print("Next:", typed(var, "results", batch["id"], "--out", "results.jsonl"), markup=False, soft_wrap=True)


def _cost(batch: dict[str, Any]) -> str:
    if batch["cost_complete"]:
        return usd(batch["cost_usd"])
    known = f"{usd(batch['cost_usd'])} known" if batch["cost_usd"] is not None else "none known"
    most = (
        f"at most {usd(batch['cost_bound_usd'])} in all" if batch["cost_bound_usd"] is not None else "without a bound"
    )
    return f"{known}; for some calls it is unknown, {most}"


def _explain(client: Client, batch: dict[str, Any], var: Path | None) -> None:
    """The failures of a batch by kind, each with a job to look at."""
    if not (batch["counts"]["failed"] or batch["counts"]["expired"]):
        return
    bad = client.pages("/v1/jobs", most=MOST_EXPLAINED, batch=batch["id"], state=["failed", "expired"])
    kinds: dict[str, list[str]] = {}
    for job in bad:
        kinds.setdefault(job["error"]["code"] if job["error"] else job["state"], []).append(job["id"])
    for kind, found in sorted(kinds.items(), key=lambda entry: -len(entry[1])):
        console.print(state("failed"), f"{kind}: {counted(len(found), 'job')};", typed(var, "why", found[0]))
