"""`tokenyard tenants`: who shares this yard, for its operator: it works on the database itself, not with a key."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.client import errors
from cli.record import asked
from cli.up import Var, console, plain_errors
from cli.wording import show, table
from cli.yard import YardError

if TYPE_CHECKING:
    from jobs.store.session import Connection
    from jobs.store.tenants import Tenant

app = typer.Typer(help="Make and list tenants and set their limits (on the database itself).", no_args_is_help=True)
NAME_MOST = 100


@app.command("create")
def create(name: Annotated[str, typer.Argument(help="Its name; the tenant sees it too.")], var: Var = None) -> None:
    """Make a tenant and print its first key, which may do everything: stdout holds the key alone.

    Example: tokenyard tenants create research
    """
    from jobs.store import accounts, tenants  # noqa: PLC0415 - few commands need SQLAlchemy

    if not 1 <= len(name) <= NAME_MOST or "\0" in name:
        raise typer.BadParameter(f"must be 1 to {NAME_MOST} characters", param_hint="NAME")

    async def make(connection: "Connection") -> str | None:
        if any(tenant.name == name for tenant in await tenants.every(connection)):
            return None
        tenant_id = await accounts.ensure_tenant(connection, name)
        return (await accounts.create_key(connection, tenant_id, "first", accounts.Scope))[1]

    with plain_errors():
        key = asked(var, make)
        if key is None:
            raise YardError(f"there is a tenant {name!r} already")
        print(key)
        errors.print(f"Tenant {name}: keep its key now, it is not shown again.", markup=False, soft_wrap=True)


@app.command("list")
def list_tenants(var: Var = None) -> None:
    """List the tenants with their limits.

    Example: tokenyard tenants list
    """
    from jobs.store import tenants  # noqa: PLC0415 - few commands need SQLAlchemy

    with plain_errors():
        _show([_row(tenant) for tenant in asked(var, tenants.every)])


@app.command("set")
def set_limits(
    name: Annotated[str, typer.Argument(help="The tenant's name.")],
    max_queued_jobs: Annotated[int | None, typer.Option(min=0, max=2**31 - 1, help="Jobs that may wait.")] = None,
    weight: Annotated[int | None, typer.Option(min=1, max=1000, help="Its share of the yard beside others.")] = None,
    var: Var = None,
) -> None:
    """Set a tenant's limits. The API notices within 5 seconds, the dispatcher at once.

    Example: tokenyard tenants set research --weight 3
    """
    from jobs.store import tenants  # noqa: PLC0415 - few commands need SQLAlchemy

    with plain_errors():
        found = asked(var, lambda connection: tenants.change(connection, name, max_queued_jobs, weight))
        if found is None:
            raise YardError(f"there is no tenant {name!r}; see `tokenyard tenants list`")
        _show([_row(found)])


def _show(rows: list[tuple[str, ...]]) -> None:
    show(console, table(("name", "jobs that may wait", "weight", "made"), rows, frozenset({1, 2})))


def _row(tenant: "Tenant") -> tuple[str, ...]:
    return tenant.name, f"{tenant.max_queued_jobs:,}", str(tenant.weight), f"{tenant.created_at:%Y-%m-%d}"
