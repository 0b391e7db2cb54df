"""What can be told to a webhook: the types of events, and the shape of secrets."""

JOB_EVENTS = ("job.succeeded", "job.failed", "job.cancelled", "job.expired")
EVENTS = (*JOB_EVENTS, "batch.finished", "budget.threshold", "budget.exhausted", "webhook.disabled")
FAMILIES = ("job.*", "budget.*")
SUBSCRIBABLE = (*EVENTS, *FAMILIES)
TEST = "webhook.test"
"""Sent on demand, to the endpoint that is tested, whatever it subscribes to."""
SECRET_PREFIX = "whsec_"  # noqa: S105 -- the prefix of secrets, not one
