"""`tokenyard keys`: make, list and revoke API keys of the tenant that asks."""

import datetime as dt
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import typer

from cli.client import errors, visit
from cli.costs import read_moment
from cli.up import Var, console
from cli.wording import show, table, typed

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)


class Scope(StrEnum):
    """What a key may do."""

    SUBMIT = "submit"
    READ = "read"
    ADMIN = "admin"


@app.command("create")
def create(
    name: Annotated[str, typer.Option(help="What the key is for; only you see it.")],
    scope: Annotated[list[Scope] | None, typer.Option(help="May be given several times; default submit, read.")] = None,
    expires: Annotated[str | None, typer.Option(help="When it stops working: a time, or a span such as 90d.")] = None,
    var: Var = None,
) -> None:
    """Make a key and print it, this one time: stdout holds the key alone.

    Example: TOKENYARD_API_KEY=$(tokenyard keys create --name importer --scope submit --scope read)
    """
    until = read_moment(expires, dt.datetime.now(dt.UTC), "--expires", sign=1)
    scopes = list(dict.fromkeys(scope or [Scope.SUBMIT, Scope.READ]))
    with visit(var) as client:
        made = client.post(
            "/v1/keys", content=msgspec.json.encode({"name": name, "scopes": scopes, "expires_at": until})
        )
        print(made["key"])
        said = f"{made['id']} ({', '.join(made['scopes'])}): keep the key now, it is not shown again."
        errors.print(said, markup=False, soft_wrap=True)
        errors.print("To take it back:", typed(var, "keys", "revoke", made["id"]), markup=False, soft_wrap=True)


@app.command("list")
def list_keys(var: Var = None) -> None:
    """List the keys without their secrets, newest first, revoked ones too.

    Example: tokenyard keys list
    """
    with visit(var) as client:
        rows = [
            (
                key["id"],
                key["name"],
                f"{key['prefix']}_...",
                ", ".join(key["scopes"]),
                key["created_at"][:10],
                _state(key),
            )
            for key in client.get("/v1/keys")["data"]
        ]
        show(console, table(("id", "name", "key", "scopes", "made", ""), rows))


@app.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id, key_... (not the secret).")], var: Var = None
) -> None:
    """Revoke a key; it stops working within 5 seconds.

    Example: tokenyard keys revoke key_01kxw3d7j4e8tbq5v6n2m9r0ya
    """
    if key.startswith("ty_"):
        raise typer.BadParameter("this is the secret; `tokenyard keys list` shows the id, key_...", param_hint="KEY")
    with visit(var) as client:
        client.delete(f"/v1/keys/{key}")
        console.print(f"{key} is revoked; it stops working within 5 seconds.", markup=False)


def _state(key: dict[str, Any]) -> str:
    if key["revoked_at"]:
        return f"revoked {key['revoked_at'][:10]}"
    if key["is_expired"]:
        return f"expired {key['expires_at'][:10]}"
    return f"works till {key['expires_at'][:10]}" if key["expires_at"] else "works"
