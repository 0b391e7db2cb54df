"""What the ledger knows of an attempt before its call."""

import uuid

from jobs.job import Job
from jobs.store.rows import Opening
from routing.eligibility import Step


def opening_of(attempt_id: uuid.UUID, job: Job, step: Step) -> Opening:
    """The row of an attempt that is about to be made, with the most that it can cost."""
    deployment = step.deployment
    return Opening(
        id=attempt_id,
        job_id=job.id,
        token=job.token,
        deployment=deployment.id,
        model=deployment.model,
        provider=deployment.provider,
        tier=step.tier,
        task=job.task,
        sandbox=deployment.is_sandbox,
        cost_bound_usd=step.bound_usd,
        price_version=step.price.version if step.price else None,
    )
