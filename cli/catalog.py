"""`tokenyard catalog`: import price lists, look at what is known, check it."""

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from cli.catalog_words import changes_told, summary_told
from cli.client import errors
from cli.models import local_model, settings_of, tell_model
from cli.up import Var, console, plain_errors
from cli.wording import show, table
from cli.yard import YardError
from jobs.configuration import load_catalog, own_book, shipped_book
from routing.book import EMPTY, BookError, open_book
from routing.shelf import EntryError
from routing.sources.sighting import ListError
from routing.sources.update import READERS, update

app = typer.Typer(help="The catalogue of models and prices: import, show, check.", no_args_is_help=True)
MOST_BYTES = 200_000_000
"""A price list has a few megabytes."""


@app.command("import")
def import_list(
    source: Annotated[str, typer.Argument(help=f"Whose list it is: {', '.join(READERS)}.")],
    file: Annotated[Path, typer.Argument(help="The list, downloaded before; nothing is fetched.")],
    apply: Annotated[bool, typer.Option("--apply", help="Write it; without this the changes are only shown.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Every change, not only the first of each kind.")] = False,
    as_of: Annotated[
        str | None, typer.Option(help="The day on which the list was so, 2026-11-25; default today.")
    ] = None,
    var: Var = None,
) -> None:
    """Read a price list, show what it would change, and with --apply lay it over the catalogue.

    What was said later stands, whichever list said it; prices keep their history. docs/catalog.md has the rules.

    Example: tokenyard catalog import litellm model_prices_and_context_window.json --apply
    """
    if source not in READERS:
        raise typer.BadParameter(f"{source!r} is none of {', '.join(READERS)}", param_hint="SOURCE")
    day = _day(as_of)
    with plain_errors():
        settings = settings_of(var)
        path = Path(settings.catalog.file)
        try:
            made = update(source, _read(file), day, (shipped_book(),), own_book(str(path)))
        except (ListError, BookError, EntryError) as error:
            raise YardError(f"{file}: {error}") from error
        for line in (*summary_told(made), *changes_told(made.changes, everything=everything)):
            console.print(line, markup=False, soft_wrap=True, highlight=False)
        if not apply:
            errors.print(f"Nothing is written yet; add --apply to write {path}.", soft_wrap=True)
            return
        _write(path, made.file)
        load_catalog(settings)
        says = f"Written to {path}. Restart what runs (tokenyard down, up): processes read it when they start."
        errors.print(says, soft_wrap=True)


@app.command("build")
def build(
    into: Annotated[Path, typer.Argument(help="The catalogue file to write, from nothing but these lists.")],
    lists: Annotated[list[str], typer.Argument(help="SOURCE=FILE@DAY, such as litellm=prices.json@2026-11-25.")],
) -> None:
    """Build a catalogue file from price lists alone: so the shipped one was made.

    Example: tokenyard catalog build routing/catalog.json models.dev=api.json@2026-08-18 litellm=prices.json@2026-11-25
    """
    own = EMPTY
    with plain_errors():
        for given in lists:
            source, _, rest = given.partition("=")
            file, _, day = rest.rpartition("@")
            if source not in READERS or not file:
                raise typer.BadParameter(f"{given!r} is not SOURCE=FILE@DAY; sources: {', '.join(READERS)}")
            try:
                made = update(source, _read(Path(file)), _day(day), (), own)
            except (ListError, BookError) as error:
                raise YardError(f"{file}: {error}") from error
            for line in summary_told(made):
                console.print(line, markup=False, soft_wrap=True, highlight=False)
            own = open_book(made.file, str(into))
        if lists:
            _write(into, made.file)


@app.command("show")
def show_model(
    name: Annotated[str, typer.Argument(help="A model, maker/name, or a deployment, maker/name@provider.")],
    var: Var = None,
) -> None:
    """Show what is known of a model and of those who serve it: each fact with its source and day.

    Example: tokenyard catalog show openai/gpt-4o
    """
    tell_model(local_model(var, name))


@app.command("check")
def check(var: Var = None) -> None:
    """Open every entry, and count what is known. Exits 1 for a file that can't be read.

    Example: tokenyard catalog check
    """
    with plain_errors():
        settings = settings_of(var)
        catalog = load_catalog(settings)
        today = dt.datetime.now(dt.UTC).date()
        served = list(catalog.deployments.values())
        rows = [
            ("version", catalog.version),
            ("models", f"{len(catalog.models):,}"),
            ("deployments", f"{len(served):,}"),
            ("providers", f"{len({each.provider for each in served}):,}"),
            ("without a price today", f"{sum(each.price_on(today) is None for each in served):,}"),
            ("with a price history", f"{sum(bool(each.earlier_prices) for each in served):,}"),
            (
                "taken away by now",
                f"{sum(each.retires_on is not None and each.retires_on <= today for each in served):,}",
            ),
            ("your own file", f"{len(own_book(settings.catalog.file).raw):,} models in {settings.catalog.file or '-'}"),
        ]
        show(console, table(("", ""), rows, frozenset({1})))


def _day(text: str | None) -> dt.date:
    if text is None:
        return dt.datetime.now(dt.UTC).date()
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no day such as 2026-11-25", param_hint="--as-of") from error


def _read(file: Path) -> bytes:
    try:
        if file.stat().st_size > MOST_BYTES:
            raise YardError(f"{file} has more than {MOST_BYTES:,} bytes: a price list has a few million")
        return file.read_bytes()
    except OSError as error:
        raise YardError(f"{file} can't be read: {error.strerror}") from error


def _write(path: Path, raw: bytes) -> None:
    """In one step: a process that starts meanwhile never sees half a file. Raises YardError."""
    fresh = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(raw)
        fresh.replace(path)
    except OSError as error:
        raise YardError(f"{path} can't be written: {error.strerror}; [catalog] file names another") from error
