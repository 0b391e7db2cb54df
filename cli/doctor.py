"""`tokenyard doctor`: everything a person would look at when something is wrong, with what to type."""

from typing import Annotated

import msgspec
import typer
from rich.text import Text

from cli.checkup.finding import Finding, Level
from cli.up import Var, console
from cli.yard import Yard

STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red", Level.SKIPPED: "dim"}


def doctor(
    json: Annotated[bool, typer.Option("--json", help="One object a check, one a line.")] = False, var: Var = None
) -> None:
    """Look at everything and say what to type; exit 1 if anything is broken.

    Works on a yard that is up, half up or down, and in production with TOKENYARD_DATABASE_URL and TOKENYARD_REDIS_URL.

    Example: tokenyard doctor
    """
    from cli.checkup.examination import examine  # noqa: PLC0415 - no other command is to load SQLAlchemy and Alembic

    findings = examine(Yard(var))
    if json:
        for finding in findings:
            print(msgspec.json.encode(finding).decode())
    else:
        _print(findings)
    if any(finding.level is Level.FAIL for finding in findings):
        raise typer.Exit(1)


def _print(findings: list[Finding]) -> None:
    """A line a check, with its remedy below it; what was skipped stands at the end, by its reason."""
    reasons: dict[str, list[str]] = {}
    for finding in findings:
        if finding.level is Level.SKIPPED:
            reasons.setdefault(finding.says, []).append(finding.name)
            continue
        _line(finding.level, f"{finding.name:<18}", finding.says)
        if finding.remedy:
            console.print(f"{'':<8}-> {finding.remedy}", markup=False, soft_wrap=True)
    for says, names in reasons.items():
        _line(Level.SKIPPED, f"{', '.join(names)}: ", says)


def _line(level: Level, name: str, says: str) -> None:
    line = Text(f"{level:<8}", style=STYLES[level])
    line.append(name, style="bold")
    line.append(says)
    console.print(line, soft_wrap=True)
