"""Judges the record and who works on it: partitions, dead rows, leases, queues, workers, dispatchers, webhooks."""

from collections.abc import Sequence

from cli.checkup.finding import Finding, fail, ok, warn
from cli.wording import counted
from jobs.durations import span
from jobs.lanes import SUBMITTABLE, TERMS, Lane
from jobs.store.fleet import LiveWorker
from jobs.store.vitals import Record, Session

CHECKS = ("partitions", "dead-rows", "leases", "queues", "workers", "dispatchers", "webhooks")
DAYS_WARN = 3
DEAD_ROWS_WARN = 100_000
LATE_RESCUE_WARN_S, LATE_RESCUE_FAIL_S = 5.0, 60.0
"""A sweep comes every second; one that was blind waits a lease of 30 s first."""
PATIENCE = 10
"""A job older than a tenth of its lane's default deadline has waited long."""
LOOP_LAG_S = 5.0
OVERDUE_S = 60.0
"""A delivery is due and nobody made it: a working process takes it within a second."""
SILENT_S = 15.0
"""A dispatcher asks the record ten times a second; one that said nothing for so long hangs or is gone."""


def judge(record: Record, sessions: Sequence[Session]) -> list[Finding]:
    """One finding for each of this module's checks."""
    return [
        _partitions(record.days_ahead),
        _dead_rows(record),
        _leases(record),
        _queues(record),
        _workers(record.workers),
        _dispatchers(sessions),
        _webhooks(record, sessions),
    ]


def is_lively(session: Session, role: str) -> bool:
    """True for a process of that role that works on the record."""
    return session.role == role and session.silent_s <= SILENT_S


def _partitions(days: int) -> Finding:
    if days > DAYS_WARN:
        return ok("partitions", f"made for the next {days} days")
    remedy = "run a dispatcher, which makes them every hour; its log says what keeps it from doing so"
    if days == 0:
        return fail("partitions", "today's are missing: rows go to the default partitions", remedy)
    return warn("partitions", f"made for the next {counted(days, 'day')} only", remedy)


def _dead_rows(record: Record) -> Finding:
    says = f"{record.dead_rows:,} dead beside {record.live_rows:,} living rows in jobs"
    if record.dead_rows <= max(DEAD_ROWS_WARN, record.live_rows):
        return ok("dead-rows", says)
    remedy = "vacuum (analyze) jobs; if they come back: end old transactions, and let autovacuum run more often"
    return warn("dead-rows", says, remedy)


def _leases(record: Record) -> Finding:
    if not record.expired_leases:
        return ok("leases", "none has run out")
    says = f"{counted(record.expired_leases, 'lease')} ran out up to {span(record.oldest_expired_s)} ago"
    remedy = "run a dispatcher, which rescues their jobs; after an outage it waits one lease of 30 s first"
    if record.oldest_expired_s <= LATE_RESCUE_WARN_S:
        return ok("leases", f"{says}; the next sweep takes them")
    return (fail if record.oldest_expired_s > LATE_RESCUE_FAIL_S else warn)("leases", says, remedy)


def _queues(record: Record) -> Finding:
    waiting = [lane for lane in record.lanes if lane.state == "queued"]
    if not waiting:
        return ok("queues", "nothing waits")
    says = "; ".join(f"{lane.lane}: {lane.jobs:,} waiting, the oldest for {span(lane.oldest_s)}" for lane in waiting)
    late = [lane.lane for lane in waiting if lane.oldest_s > TERMS[Lane(lane.lane)].deadline_s / PATIENCE]
    if not late:
        return ok("queues", says)
    remedy = f"add workers for {', '.join(late)}, or see what holds jobs back: tokenyard providers, tokenyard why JOB"
    return warn("queues", says, remedy)


def _workers(workers: Sequence[LiveWorker]) -> Finding:
    carried = {lane for worker in workers for lane in worker.lanes}
    if not workers:
        return fail("workers", "none lives", "tokenyard up, or tokenyard worker")
    says = ", ".join(f"{worker.name} ({' '.join(worker.lanes)}: {worker.jobs_in_hand} in hand)" for worker in workers)
    missing = [lane.value for lane in SUBMITTABLE if lane.value not in carried]
    if missing:
        lanes = " ".join(f"--lane {lane}" for lane in missing)
        return fail("workers", f"nobody carries {', '.join(missing)}; {says}", f"tokenyard worker {lanes}")
    if Lane.QUARANTINE.value not in carried:
        remedy = "tokenyard worker --lane quarantine --slots 1"
        return warn("workers", f"nobody carries quarantine; {says}", remedy)
    stuck = [worker for worker in workers if worker.loop_lag_s > LOOP_LAG_S]
    if stuck:
        remedy = "its log says what blocks it; more workers if the machine is full"
        return warn("workers", f"the loop of {stuck[0].name} stood still for {span(stuck[0].loop_lag_s)}", remedy)
    return ok("workers", says)


def _dispatchers(sessions: Sequence[Session]) -> Finding:
    ours = [session for session in sessions if session.role == "dispatcher"]
    lively = [session for session in ours if is_lively(session, "dispatcher")]
    if lively:
        where = ", ".join(sorted({session.host for session in lively}))
        return ok("dispatchers", f"at work on {where}")
    remedy = "tokenyard up, or tokenyard dispatcher (started in another way it can't be seen here)"
    if ours:
        return fail("dispatchers", f"connected, and silent for {span(min(each.silent_s for each in ours))}", remedy)
    return fail("dispatchers", "none lives: only interactive jobs are released", remedy)


def _webhooks(record: Record, sessions: Sequence[Session]) -> Finding:
    lively = any(is_lively(session, "webhooks") for session in sessions)
    says = f"{counted(record.endpoints, 'endpoint')}, " + ("delivered to" if lively else "nobody delivers")
    if record.endpoints and not lively:
        return fail("webhooks", says, "tokenyard up, or tokenyard webhooks")
    if record.overdue_delivery_s > OVERDUE_S:
        remedy = "its log says what holds it up; run another `tokenyard webhooks` if it is full"
        return warn("webhooks", f"{says}; a delivery is {span(record.overdue_delivery_s)} late", remedy)
    if record.endpoints_given_up:
        remedy = "tokenyard hooks list says why; when the receiver is mended: tokenyard hooks enable HOOK"
        return warn("webhooks", f"{says}; {counted(record.endpoints_given_up, 'endpoint')} given up", remedy)
    return ok("webhooks", says if record.endpoints else "no endpoint")
