"""Judges the settings and the providers' keys."""

import datetime as dt
from collections.abc import Mapping

from cli.checkup.finding import Finding, fail, ok, warn
from cli.wording import counted
from jobs.configuration import config_paths, providers_on
from jobs.settings import Settings
from routing.catalog import Catalog

FEW = 5
SOON = dt.timedelta(days=30)
CHECKS = ("settings", "providers", "prices")


def judge(settings: Settings, catalog: Catalog, environ: Mapping[str, str], today: dt.date) -> list[Finding]:
    """One finding for each of this module's checks; `environ` names the keys that are there."""
    files = ", ".join(str(path) for path in config_paths(environ)) or "no file, the defaults"
    policies = ", ".join(settings.policies) or "no policy"
    return [
        ok("settings", f"read ({files}); policies: {policies}"),
        _providers(settings, catalog, environ),
        _prices(settings, catalog, providers_on(settings, environ), today),
    ]


def _providers(settings: Settings, catalog: Catalog, environ: Mapping[str, str]) -> Finding:
    on = providers_on(settings, environ)
    if not on:
        wanted = sorted({key.env for provider in settings.providers.values() for key in provider.keys if key.env})
        remedy = f"set a key ({', '.join(wanted)}) for API, workers and this shell, then restart them"
        return fail("providers", "none has a key here: no job can be answered", remedy)
    dead = [
        name
        for name, policy in settings.policies.items()
        if not any(
            served.provider in on for tier in policy.tiers for wanted in tier for served in catalog.candidates(wanted)
        )
    ]
    says = f"on: {', '.join(sorted(on))}"
    if dead:
        remedy = "set the key of a provider that serves one of its models, or change its tiers"
        return warn("providers", f"{says}; nobody serves policy {', '.join(dead)}", remedy)
    return ok("providers", f"{says}; {counted(len(settings.providers) - len(on), 'provider')} without a key")


def _prices(settings: Settings, catalog: Catalog, on: frozenset[str], today: dt.date) -> Finding:
    """Whether every deployment that a policy may call has a price today: calls without one are booked as unknown."""
    named = {wanted for policy in settings.policies.values() for tier in policy.tiers for wanted in tier}
    callable_now = {served.id: served for name in named for served in catalog.candidates(name) if served.provider in on}
    unpriced = sorted(name for name, served in callable_now.items() if served.price_on(today) is None)
    leaving = sorted(
        f"{name} on {served.retires_on}"
        for name, served in callable_now.items()
        if served.retires_on is not None and served.retires_on <= today + SOON
    )
    if unpriced:
        shown = ", ".join(unpriced[:FEW]) + (f" and {len(unpriced) - FEW} more" if len(unpriced) > FEW else "")
        remedy = "add a price under [[deployments]], or import a newer list: tokenyard catalog import"
        return warn("prices", f"unknown today: {shown}; their calls are booked with an unknown cost", remedy)
    if leaving:
        remedy = "name a successor in the policies; tokenyard catalog show has the day and its source"
        return warn("prices", f"their providers take away: {', '.join(leaving[:FEW])}", remedy)
    return ok("prices", f"known today for all {counted(len(callable_now), 'deployment')} that a policy may call")
