"""`tokenyard models`: which models there are, what they can do, who serves them at what price, and which are on."""

import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from cli.client import URL_VARIABLE, errors, visit
from cli.up import Var, console, plain_errors
from cli.wording import UNKNOWN, show, table
from cli.yard import Yard
from jobs.configuration import load, load_catalog, providers_on
from routing.catalog_shown import shown

HEADS = ("model", "can", "context", "served by", "", "in $/M", "out $/M", "valid from")
ABILITIES = ("tools", "vision", "logprobs")


def models(
    is_on: Annotated[bool, typer.Option("--on", help="Only what a job could reach now.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The API's own objects, one a line.")] = False,
    var: Var = None,
) -> None:
    """List the catalogue: abilities, prices in USD per million tokens, and whose key is there.

    What a running yard knows; without one, what the settings here say.

    Example: tokenyard models --on
    """
    found = _known(var)
    if is_on:
        found = [model | {"deployments": on} for model in found if (on := _enabled(model))]
    if json:
        for model in found:
            print(msgspec.json.encode(model).decode())
        return
    show(console, table(HEADS, [row for model in found for row in rows(model)], frozenset({2, 5, 6})))
    served = [deployment for model in found for deployment in model["deployments"]]
    off = sorted({deployment["provider"] for deployment in served if not deployment["enabled"]})
    if off:
        console.print(f"Off, because no key of theirs is in the environment: {', '.join(off)}.", soft_wrap=True)


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


def _known(var: Path | None) -> list[dict[str, Any]]:
    """As the API says, or from the settings here when there is no yard to ask."""
    if os.environ.get(URL_VARIABLE) or Yard(var).running() is not None:
        with visit(var) as client:
            entries: list[dict[str, Any]] = client.get("/v1/models", all="true")["data"]
            return [entry for entry in entries if "deployments" in entry]  # the others are policies
    with plain_errors():
        settings = load()
        catalog = load_catalog(settings)
    errors.print("No yard runs here: this is what the settings say.")
    return shown(catalog, providers_on(settings))
