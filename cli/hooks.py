"""`tokenyard hooks`: make, list, test and delete webhook endpoints, see what was sent to them, send it again."""

import datetime as dt
from typing import Annotated, Any

import msgspec
import typer

from cli.client import errors, visit
from cli.costs import read_moment
from cli.up import Var, console
from cli.wording import counted, show, table, typed

app = typer.Typer(help="Webhooks: endpoints that are told of ended jobs and batches.", no_args_is_help=True)
Hook = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Its id, wh_...")]


@app.command("create")
def create(
    url: Annotated[str, typer.Argument(help="https://... ; docs/webhooks.md has the network rules.")],
    name: Annotated[str, typer.Option(help="What it is for; only you see it.")],
    event: Annotated[
        list[str] | None, typer.Option(help="May be given several times: job.*, job.failed, batch.finished, ...")
    ] = None,
    var: Var = None,
) -> None:
    """Make an endpoint and print its secret, this one time: stdout holds the secret alone.

    Example: tokenyard hooks create https://app.example.com/hooks/yard --name app
    """
    wanted: dict[str, Any] = {"url": url, "name": name} | ({"events": event} if event else {})
    with visit(var) as client:
        made = client.post("/v1/webhooks", content=msgspec.json.encode(wanted))
        print(made["secret"])
        said = f"{made['id']} ({', '.join(made['events'])}): keep the secret now, it is not shown again."
        errors.print(said, markup=False, soft_wrap=True)
        errors.print("To try it:", typed(var, "hooks", "test", made["id"]), markup=False, soft_wrap=True)


@app.command("list")
def list_hooks(var: Var = None) -> None:
    """List the endpoints without their secrets, newest first.

    Example: tokenyard hooks list
    """
    with visit(var) as client:
        rows = [
            (hook["id"], hook["name"], hook["url"], ", ".join(hook["events"]), _standing(hook))
            for hook in client.get("/v1/webhooks")["data"]
        ]
        if not rows:
            console.print(
                "No endpoints:", typed(var, "hooks", "create", "URL"), "makes one.", markup=False, soft_wrap=True
            )
            return
        show(console, table(("id", "name", "url", "events", ""), rows))


@app.command("deliveries")
def deliveries(
    hook: Hook,
    state: Annotated[str | None, typer.Option(help="pending, delivered, failed or held.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 20,
    var: Var = None,
) -> None:
    """Show what was sent to an endpoint, newest first, with the last try of each.

    Example: tokenyard hooks deliveries wh_01kxw3d7j4e8tbq5v6n2m9r0ya --state failed
    """
    with visit(var) as client:
        rows = [
            (
                event["id"],
                event["type"],
                event["job_id"] or event["batch_id"] or "",
                event["state"],
                _last(event["tries"]),
                (event["next_try_at"] or "")[:19],
            )
            for event in client.pages(f"/v1/webhooks/{hook}/deliveries", limit, state=state)
        ]
        show(console, table(("event", "type", "of", "state", "last try", "next try"), rows))


@app.command("replay")
def replay(
    hook: Hook,
    event: Annotated[str | None, typer.Option(help="One event, evt_...")] = None,
    since: Annotated[str | None, typer.Option(help="All that did not arrive since: 24h, 7d, a day or a time.")] = None,
    until: Annotated[str | None, typer.Option(help="And until; default: now.")] = None,
    var: Var = None,
) -> None:
    """Send events again, under their old ids.

    Example: tokenyard hooks replay wh_01kxw3d7j4e8tbq5v6n2m9r0ya --since 24h
    """
    if (event is None) == (since is None):
        raise typer.BadParameter("name either --event evt_... or --since 24h", param_hint="--since")
    now = dt.datetime.now(dt.UTC)
    named = {
        "event": event,
        "since": read_moment(since, now, "--since"),
        "until": read_moment(until, now, "--until"),
    }
    wanted = {name: value for name, value in named.items() if value is not None}
    with visit(var) as client:
        done = client.post(f"/v1/webhooks/{hook}/replay", content=msgspec.json.encode(wanted))
        goes = "goes" if done["replayed"] == 1 else "go"
        console.print(f"{counted(done['replayed'], 'event')} {goes} out again.", markup=False)


@app.command("rotate")
def rotate(hook: Hook, var: Var = None) -> None:
    """Make a new secret and print it, this one time; the old one signs too for 24 hours.

    Example: tokenyard hooks rotate wh_01kxw3d7j4e8tbq5v6n2m9r0ya
    """
    with visit(var) as client:
        made = client.post(f"/v1/webhooks/{hook}/rotate")
        print(made["secret"])
        said = f"Until {made['old_secret_until'][:19]}Z the old secret signs too; keep the new one now."
        errors.print(said, markup=False, soft_wrap=True)


@app.command("test")
def try_out(hook: Hook, var: Var = None) -> None:
    """Send a webhook.test event.

    Example: tokenyard hooks test wh_01kxw3d7j4e8tbq5v6n2m9r0ya
    """
    with visit(var) as client:
        sent = client.post(f"/v1/webhooks/{hook}/test")
        shown = typed(var, "hooks", "deliveries", hook)
        console.print(f"{sent['id']} is on its way:", shown, markup=False, soft_wrap=True)


@app.command("enable")
def enable(hook: Hook, var: Var = None) -> None:
    """Enable an endpoint that was disabled; it gets what was held for it.

    Example: tokenyard hooks enable wh_01kxw3d7j4e8tbq5v6n2m9r0ya
    """
    with visit(var) as client:
        client.patch(f"/v1/webhooks/{hook}", content=msgspec.json.encode({"enabled": True}))
        console.print(f"{hook} is enabled.", markup=False)


@app.command("delete")
def delete(hook: Hook, var: Var = None) -> None:
    """Delete an endpoint and the record of its deliveries.

    Example: tokenyard hooks delete wh_01kxw3d7j4e8tbq5v6n2m9r0ya
    """
    with visit(var) as client:
        client.delete(f"/v1/webhooks/{hook}")
        console.print(f"{hook} is deleted.", markup=False)


def _standing(hook: dict[str, Any]) -> str:
    if not hook["enabled"]:
        return f"disabled {hook['disabled_at'][:10]}: {hook['disabled_reason']}"
    return f"{hook['failures']} failures in a row" if hook["failures"] else "works"


def _last(tries: list[dict[str, Any]]) -> str:
    if not tries:
        return ""
    last = tries[-1]
    return f"{last['number']}: {last['status'] or last['error']}, {last['latency_ms']} ms"
