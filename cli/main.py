"""The `tokenyard` command. Each group of commands lives in a file of its own; here they are only named."""

from collections.abc import Callable

import typer

from cli import starters
from cli.demo import demo
from cli.status import status
from cli.up import down, up

app = typer.Typer(
    name="tokenyard", help="A freight yard for LLM jobs.", no_args_is_help=True, pretty_exceptions_show_locals=False
)

HERE: tuple[Callable[..., None], ...] = (up, down, status, demo)
STARTERS: tuple[Callable[..., None], ...] = (
    starters.api,
    starters.worker,
    starters.dispatcher,
    starters.migrate,
    starters.sandbox,
)
for _command in HERE:
    app.command(rich_help_panel="A yard on this machine")(_command)
for _command in STARTERS:
    app.command(rich_help_panel="One process, for production")(_command)


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
