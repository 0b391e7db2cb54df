"""Judges how the providers stand at the fleet's gates: breakers, and keys that were refused."""

from cli.checkup.finding import Finding, fail, ok, skipped, warn
from cli.wording import counted
from jobs.durations import span
from jobs.health import Health

CHECKS = ("breakers", "provider-keys")


def judge(health: Health) -> list[Finding]:
    """One finding for each of this module's checks."""
    if not health.is_known:
        return skipped(CHECKS, "Redis does not answer")
    return [_breakers(health), _keys(health)]


def _breakers(health: Health) -> Finding:
    troubled = [each for each in health.breakers if each.state != "closed"]
    if not troubled:
        return ok("breakers", f"all {len(health.breakers)} are closed")
    says = "; ".join(
        f"{each.name} {each.state.replace('_', ' ')}"
        + (f" for {span(each.tripped_s)}" if each.tripped_s is not None else "")
        for each in troubled
    )
    remedy = "nothing, if the provider is down: it is probed until it is back. What failed: tokenyard providers"
    return warn("breakers", says, remedy)


def _keys(health: Health) -> Finding:
    refused = [key for key in health.keys if key.trouble is not None]
    if refused:
        says = "; ".join(f"{key.provider} refused key {key.key_index} ({key.trouble})" for key in refused)
        remedy = "bad_key: set the right key and restart the workers; no_credit: pay in at the provider"
        return fail("provider-keys", says, remedy)
    closed = [(f"{key.provider}'s key {key.key_index}", key.closing) for key in health.keys if key.closing.closed_s]
    closed += [
        (f"{key.provider}'s key {key.key_index} for {each.model}", each.closing)
        for key in health.keys
        for each in key.models
        if each.closing.closed_s
    ]
    if closed:
        says = "; ".join(f"{name} waits {span(closing.closed_s)} ({closing.why})" for name, closing in closed)
        remedy = "the provider asked for the pause; give the key its true limits in tokenyard.toml, or add a key"
        return warn("provider-keys", says, remedy)
    return ok("provider-keys", f"none of {counted(len(health.keys), 'key')} was refused")
