"""Judges the settings and the providers' keys."""

from collections.abc import Mapping

from cli.checkup.finding import Finding, fail, ok, warn
from cli.wording import counted
from jobs.configuration import config_paths, providers_on
from jobs.settings import Settings
from routing.catalog import Catalog

CHECKS = ("settings", "providers")


def judge(settings: Settings, catalog: Catalog, environ: Mapping[str, str]) -> list[Finding]:
    """One finding for each of this module's checks; `environ` names the keys that are there."""
    files = ", ".join(str(path) for path in config_paths(environ)) or "no file, the defaults"
    policies = ", ".join(settings.policies) or "no policy"
    return [ok("settings", f"read ({files}); policies: {policies}"), _providers(settings, catalog, environ)]


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
