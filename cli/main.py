"""The `tokenyard` command. Each group of commands lives in a file of its own; here they are only named."""

from collections.abc import Callable

import typer

from cli import budgets, catalog, hooks, jobs, keys, ledger, starters, tenants
from cli.costs import costs
from cli.demo import demo
from cli.doctor import doctor
from cli.health import health
from cli.models import models
from cli.providers import providers
from cli.results import results
from cli.status import status
from cli.submit import follow, submit
from cli.up import down, up
from cli.why import why

app = typer.Typer(
    name="tokenyard", help="A freight yard for LLM jobs.", no_args_is_help=True, pretty_exceptions_show_locals=False
)

HERE: tuple[Callable[..., None], ...] = (up, down, status, doctor, demo)
STARTERS: tuple[Callable[..., None], ...] = (
    starters.api,
    starters.worker,
    starters.webhooks,
    starters.dispatcher,
    starters.flower,
    starters.migrate,
    starters.bootstrap_key,
    health,
    starters.sandbox,
)
for _command in HERE:
    app.command(rich_help_panel="A yard on this machine")(_command)
app.command(rich_help_panel="Jobs")(submit)
app.command("watch", rich_help_panel="Jobs")(follow)
app.add_typer(jobs.app, name="jobs", rich_help_panel="Jobs")
for _command in (results, why, costs, models, providers):
    app.command(rich_help_panel="Jobs")(_command)
app.add_typer(catalog.app, name="catalog", rich_help_panel="Jobs")
app.add_typer(ledger.app, name="ledger", rich_help_panel="Jobs")
app.add_typer(keys.app, name="keys", rich_help_panel="Jobs")
app.add_typer(budgets.app, name="budgets", rich_help_panel="Jobs")
app.add_typer(tenants.app, name="tenants", rich_help_panel="A yard on this machine")
app.add_typer(hooks.app, name="hooks", rich_help_panel="Jobs")
for _command in STARTERS:
    app.command(rich_help_panel="One process, for production")(_command)


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
