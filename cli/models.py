"""`tokenyard models`: which models there are, what they can do, who serves them at what price, and which are on."""

import datetime as dt
import os
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import typer

from cli.catalog_words import facts_told
from cli.client import URL_VARIABLE, errors, visit
from cli.up import Var, console, plain_errors
from cli.wording import UNKNOWN, show, table
from cli.yard import Yard, YardError
from jobs.configuration import load, load_catalog, providers_on
from jobs.settings import Settings
from routing.catalog import nearest
from routing.catalog_shown import shown, shown_models, shown_on

HEADS = ("model", "can", "context", "served by", "", "in $/M", "out $/M", "valid from")
MATRIX = ("fact", "value", "source", "as of")
ABILITIES = ("tools", "vision", "logprobs")


def models(
    model: Annotated[str | None, typer.Argument(help="One model or deployment: all that is known of it.")] = None,
    everything: Annotated[
        bool, typer.Option("--all/--on", help="The whole catalogue; else only what a job could reach now.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="The API's own objects, one a line.")] = False,
    var: Var = None,
) -> None:
    """List models with their abilities and prices in USD per million tokens; or one model, fact by fact.

    What a running yard knows; without one, what the settings here say.

    Example: tokenyard models openai/gpt-4o
    """
    found = _known(var, everything=everything) if model is None else [_known_one(var, model)]
    if not everything and model is None:
        found = [each | {"deployments": on} for each in found if (on := _enabled(each))]
    if json:
        for each in found:
            print(msgspec.json.encode(each).decode())
        return
    if model is not None:
        tell_model(found[0])
        return
    show(console, table(HEADS, [row for each in found for row in rows(each)], frozenset({2, 5, 6})))
    if not everything:
        console.print("Of these, only providers with a key; --all lists the whole catalogue.", soft_wrap=True)


def tell_model(model: dict[str, Any]) -> None:
    """Print a model's matrix and its deployments, as the API shows them: each fact with its source and day."""
    show(console, table(MATRIX, facts_told(model)))
    for served in model["deployments"]:
        console.print()
        state = "on" if served["enabled"] else "off"
        console.print(f"{served['id']} ({state}), called {served['upstream']} there", markup=False, highlight=False)
        show(console, table(("", "", "", ""), facts_told(served)))


def rows(model: dict[str, Any]) -> list[tuple[str, ...]]:
    """A line for each deployment of a model as `/v1/models` shows it; one line for a model that nobody serves."""
    context = f"{model['context_tokens']:,}" if model["context_tokens"] is not None else UNKNOWN
    head = (model["id"], _abilities(model), context)
    if not model["deployments"]:
        return [(*head, "nobody", "", "", "", "")]
    return [(*head, *_served(deployment)) for deployment in model["deployments"]]


def _abilities(model: dict[str, Any]) -> str:
    """What it can do; a question mark stands at what nobody has written down."""
    known = {name: model[f"has_{name}"] for name in ABILITIES}
    return " ".join(f"{name}?" if can is None else name for name, can in known.items() if can is not False)


def _served(deployment: dict[str, Any]) -> tuple[str, ...]:
    state = "on" if deployment["enabled"] else "off"
    price = deployment["price"]
    if price is None:
        return (deployment["provider"], state, UNKNOWN, UNKNOWN, "")
    return (
        deployment["provider"],
        state,
        price["input_usd_per_mtok"],
        price["output_usd_per_mtok"],
        price["valid_from"],
    )


def _enabled(model: dict[str, Any]) -> list[dict[str, Any]]:
    return [deployment for deployment in model["deployments"] if deployment["enabled"]]


def _known(var: Path | None, *, everything: bool) -> list[dict[str, Any]]:
    """As the API says, or from the settings here when there is no yard to ask."""
    if _is_asked(var):
        with visit(var) as client:
            entries: list[dict[str, Any]] = client.get("/v1/models", all="true" if everything else None)["data"]
            return [entry for entry in entries if "deployments" in entry]  # the others are policies
    with plain_errors():
        settings = settings_of(var)
        catalog = load_catalog(settings)
    errors.print("No yard runs here: this is what the settings say.")
    return (shown if everything else shown_on)(catalog, providers_on(settings))


def _known_one(var: Path | None, name: str) -> dict[str, Any]:
    if not _is_asked(var):
        return local_model(var, name)
    with visit(var) as client:
        found = client.get(f"/v1/models/{quote(name)}")
    if "deployments" not in found:
        with plain_errors():
            raise YardError(f"{name} is a policy; tokenyard plan and GET /v1/models show what it names")
    return found


def _is_asked(var: Path | None) -> bool:
    return bool(os.environ.get(URL_VARIABLE)) or Yard(var).running() is not None


def local_model(var: Path | None, name: str) -> dict[str, Any]:
    """What the settings here say of a model or deployment. Ends the command with the nearest name if there is none."""
    with plain_errors():
        settings = settings_of(var)
        catalog, model = load_catalog(settings), name.partition("@")[0]
        if model not in catalog.models or (model != name and name not in catalog.deployments):
            near = nearest(name, (), catalog)
            raise YardError(f"nothing is called {name!r}" + (f"; did you mean {near!r}?" if near else ""))
        (known,) = shown_models(catalog, [model], providers_on(settings), dt.datetime.now(dt.UTC).date())
    served = [each for each in known["deployments"] if name in (model, each["id"])]
    return known | {"deployments": served}


def settings_of(var: Path | None) -> Settings:
    """The settings as the processes of this yard have them, its own catalogue file included."""
    yard = Yard(var)
    environ = yard.surroundings(os.environ)
    settings = load(environ=environ)
    return settings if settings.catalog.file else load({"catalog": {"file": str(yard.catalog_path)}}, environ)
