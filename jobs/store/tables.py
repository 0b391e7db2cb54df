"""The tables of the record, as SQLAlchemy Core sees them; `migrations/` builds them."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB

from jobs.chat import USAGE_KINDS
from jobs.store import file_tables, lesson_tables, webhook_tables
from jobs.store.metadata import MONEY, TIME, metadata

__all__ = ["file_tables", "lesson_tables", "metadata", "webhook_tables"]

tenants = sa.Table(
    "tenants",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("max_queued_jobs", sa.Integer, nullable=False, server_default="1000000"),
    sa.Column("created_at", TIME, nullable=False, server_default=sa.func.now()),
    sa.Column("weight", sa.Integer, nullable=False, server_default="1"),
    sa.CheckConstraint("weight between 1 and 1000", name="tenants_weight_in_bounds"),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("tenant_id", sa.Uuid, sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("short_id", sa.Text, nullable=False, unique=True),
    sa.Column("secret_sha256", BYTEA, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("scopes", ARRAY(sa.Text), nullable=False),
    sa.Column("created_at", TIME, nullable=False, server_default=sa.func.now()),
    sa.Column("expires_at", TIME),
    sa.Column("revoked_at", TIME),
)

batches = sa.Table(
    "batches",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("tenant_id", sa.Uuid, sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("skipped", sa.Integer, nullable=False, server_default="0"),
    sa.Column("metadata", JSONB),
    sa.Column("created_at", TIME, nullable=False, server_default=sa.func.now()),
    sa.Column("cancelled_at", TIME),
    sa.Column("webhook_id", sa.Uuid),
    sa.Column("ended_to", sa.Integer, nullable=False, server_default="0"),
    sa.Column("notified_at", TIME),
    sa.Column("endpoint", sa.Text),
    sa.Column("completion_window", sa.Text),
    sa.Column("expires_at", TIME),
    sa.Column("input_file_id", sa.Uuid),
    sa.Column("output_file_id", sa.Uuid),
    sa.Column("error_file_id", sa.Uuid),
    sa.Column("errors", JSONB),
)
sa.Index("batches_of_tenant", batches.c.tenant_id, batches.c.id)
sa.Index(
    "batches_to_notify",
    batches.c.id,
    postgresql_where=sa.text("webhook_id is not null and notified_at is null"),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("tenant_id", sa.Uuid, sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("key_id", sa.Uuid),
    sa.Column("batch_id", sa.Uuid),
    sa.Column("batch_seq", sa.Integer),
    sa.Column("custom_id", sa.Text),
    sa.Column("state", sa.Text, nullable=False, server_default="queued"),
    sa.Column("lane", sa.Text, nullable=False),
    sa.Column("policy", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("task", sa.Text),
    sa.Column("intent", JSONB),
    sa.Column("strict", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("metadata", JSONB),
    sa.Column("retry_of", sa.Uuid),
    sa.Column("traceparent", sa.Text),
    sa.Column("created_at", TIME, nullable=False, server_default=sa.func.now()),
    sa.Column("deadline_at", TIME, nullable=False),
    sa.Column("urgent_at", TIME, nullable=False),
    sa.Column("run_at", TIME, nullable=False, server_default=sa.func.now()),
    sa.Column("released_at", TIME),
    sa.Column("token", sa.Uuid),
    sa.Column("lease_until", TIME),
    sa.Column("claims", sa.Integer, nullable=False, server_default="0"),
    sa.Column("deaths", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("cancel_requested_at", TIME),
    sa.Column("started_at", TIME),
    sa.Column("finished_at", TIME),
    sa.Column("answer_attempt", sa.Uuid),
    sa.Column("error", JSONB),
    sa.Column("receipt", JSONB),
    sa.Column("adaptations", JSONB),
    sa.Column("intent_kept", sa.Boolean),
    sa.Column("purged_at", TIME),
    sa.Column("home_lane", sa.Text),
    sa.Column("deferred", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("webhook_id", sa.Uuid),
    sa.CheckConstraint(
        "state in ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'expired')", name="jobs_state_known"
    ),
    sa.CheckConstraint("(state = 'running') = (token is not null)", name="jobs_running_has_token"),
    sa.CheckConstraint(
        "(state in ('queued', 'running')) = (finished_at is null)", name="jobs_terminal_has_finished_at"
    ),
)
# Due rows by tenant, in the order of their urgency: what the dispatcher releases from. It finds the tenants that wait
# by leaping from one to the next, and the first of each without reading the others.
sa.Index(
    "jobs_waiting",
    jobs.c.lane,
    jobs.c.tenant_id,
    jobs.c.urgent_at,
    postgresql_where=sa.text("state = 'queued' and released_at is null and not deferred"),
)
# Rows that are due later: apart, so that fifty thousand of them at the head of a lane are not read at each release.
sa.Index(
    "jobs_deferred",
    jobs.c.run_at,
    jobs.c.tenant_id,
    postgresql_where=sa.text("state = 'queued' and deferred"),
)
# Released rows nobody has claimed yet: the depth of a lane, and what the two-second poll reads.
sa.Index(
    "jobs_released",
    jobs.c.lane,
    jobs.c.released_at,
    postgresql_where=sa.text("state = 'queued' and released_at is not null"),
)
sa.Index("jobs_leased", jobs.c.lease_until, postgresql_where=sa.text("state = 'running'"))
sa.Index("jobs_deadline", jobs.c.deadline_at, postgresql_where=sa.text("state = 'queued' and released_at is null"))
sa.Index("jobs_of_batch", jobs.c.batch_id, jobs.c.batch_seq, postgresql_where=sa.text("batch_id is not null"))
sa.Index("jobs_of_tenant", jobs.c.tenant_id, jobs.c.id)
# Ended rows by when: throughput of the last hour and the newest failures, however many ended before.
sa.Index(
    "jobs_ended",
    jobs.c.tenant_id,
    jobs.c.state,
    jobs.c.finished_at,
    postgresql_where=sa.text("finished_at is not null"),
)

# Each lane's round robin between the tenants, shared by all dispatchers. Whoever releases moves `turn` on, in the same
# statement and only from the turn it looked at: so no two fill the same room.
lane_turns = sa.Table(
    "lane_turns",
    metadata,
    sa.Column("lane", sa.Text, primary_key=True),
    sa.Column("turn", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("last_tenant", sa.Uuid, nullable=False, server_default="00000000-0000-0000-0000-000000000000"),
    sa.Column("deficits", JSONB, nullable=False, server_default="{}"),
    sa.Column("stock", sa.Integer, nullable=False, server_default="0"),
    sa.Column("depth", sa.Integer, nullable=False, server_default="0"),
    sa.Column("turned_at", TIME, nullable=False, server_default=sa.func.now()),
)

# Partitioned by month on the id itself: a UUIDv7 begins with its time, so the key is unique and prunes.
attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("job_id", sa.Uuid, nullable=False),
    sa.Column("tenant_id", sa.Uuid, nullable=False),
    sa.Column("key_id", sa.Uuid),
    sa.Column("budget_ids", ARRAY(sa.Uuid)),
    sa.Column("token", sa.Uuid, nullable=False),
    sa.Column("deployment", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("task", sa.Text),
    sa.Column("tier", sa.SmallInteger, nullable=False),
    sa.Column("sandbox", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("opened_at", TIME, nullable=False, server_default=sa.func.now()),
    sa.Column("closed_at", TIME),
    sa.Column("outcome", sa.Text),
    sa.Column("failure", sa.Text),
    sa.Column("status", sa.SmallInteger),
    sa.Column("finish_reason", sa.Text),
    sa.Column("confidence", sa.Float),
    sa.Column("input_tokens", sa.Integer),
    sa.Column("output_tokens", sa.Integer),
    sa.Column("cost_usd", MONEY),
    sa.Column("cost_bound_usd", MONEY),
    sa.Column("cost_basis", sa.Text, nullable=False, server_default="none"),
    sa.Column("price_version", sa.Text),
    sa.Column("first_token_ms", sa.Integer),
    sa.Column("total_ms", sa.Integer),
    *(sa.Column(name, sa.Integer) for name in USAGE_KINDS),
    sa.CheckConstraint(
        "outcome in ('accepted', 'rejected', 'failed', 'cancelled', 'orphaned', 'unknown', 'not_sent')",
        name="attempts_outcome_known",
    ),
    sa.CheckConstraint("cost_basis in ('usage', 'estimate', 'none')", name="attempts_basis_known"),
    sa.CheckConstraint("(outcome is null) = (closed_at is null)", name="attempts_closed_has_outcome"),
    postgresql_partition_by="RANGE (id)",
)
sa.Index("attempts_of_job", attempts.c.job_id)
sa.Index("attempts_of_tenant", attempts.c.tenant_id, attempts.c.id)

# A request under its job's id, an answer under its attempt's id: bytes exactly as received. Partitioned by day.
payloads = sa.Table(
    "payloads",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("body", BYTEA, nullable=False),
    postgresql_partition_by="RANGE (id)",
)

# What `totals.fold` has added up; rebuildable from the attempts.
ledger_totals = sa.Table(
    "ledger_totals",
    metadata,
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("failure", sa.Text, nullable=False),
    sa.Column("attempts", sa.BigInteger, nullable=False),
    sa.Column("cost_usd", sa.Numeric(24, 12), nullable=False),
    sa.Column("unknown_cost", sa.BigInteger, nullable=False),
    sa.Column("input_tokens", sa.BigInteger, nullable=False),
    sa.Column("output_tokens", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("provider", "model", "outcome", "failure"),
)
# How far it has come: one row.
ledger_mark = sa.Table(
    "ledger_mark",
    metadata,
    sa.Column("is_only", sa.Boolean, primary_key=True, server_default=sa.true()),
    sa.Column("mark", sa.Uuid, nullable=False),
    sa.CheckConstraint("is_only", name="ledger_mark_is_only"),
)
# Attempts it passed while they were open or unknown.
ledger_watched = sa.Table(
    "ledger_watched",
    metadata,
    sa.Column("attempt_id", sa.Uuid, primary_key=True),
    sa.Column("is_counted", sa.Boolean, nullable=False),
)

idempotency = sa.Table(
    "idempotency",
    metadata,
    sa.Column("tenant_id", sa.Uuid, nullable=False),
    sa.Column("route", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("body_sha256", BYTEA, nullable=False),
    sa.Column("status", sa.SmallInteger),
    sa.Column("response", BYTEA),
    sa.Column("created_at", TIME, nullable=False, server_default=sa.func.now()),
    sa.PrimaryKeyConstraint("tenant_id", "route", "key"),
)
sa.Index("idempotency_age", idempotency.c.created_at)

# Who lives, for shares and for the eye. Leases stand on the jobs' own rows.
workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("lanes", ARRAY(sa.Text), nullable=False),
    sa.Column("slots", sa.Integer, nullable=False),
    sa.Column("calls_in_flight", sa.Integer, nullable=False),
    sa.Column("beat_s", sa.Float, nullable=False),
    sa.Column("jobs_in_hand", sa.Integer, nullable=False),
    sa.Column("loop_lag_s", sa.Float, nullable=False),
    sa.Column("started_at", TIME, nullable=False, server_default=sa.func.now()),
    sa.Column("seen_at", TIME, nullable=False, server_default=sa.func.now()),
)

# Ceilings on spending. `settled_usd` and `reserved_usd` mirror the attempts that name the budget in `budget_ids` and
# were opened in its present period; they change only in the statements that change those rows (`jobs.store.charges`).
budgets = sa.Table(
    "budgets",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("tenant_id", sa.Uuid, sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("key_id", sa.Uuid, sa.ForeignKey("api_keys.id")),
    sa.Column("cap_usd", MONEY, nullable=False),
    sa.Column("period", sa.Text, nullable=False),
    sa.Column("alert_percents", ARRAY(sa.SmallInteger), nullable=False),
    sa.Column("period_start", TIME, nullable=False),
    sa.Column("settled_usd", MONEY, nullable=False, server_default="0"),
    sa.Column("reserved_usd", MONEY, nullable=False, server_default="0"),
    sa.Column("told_percent", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("exhausted_at", TIME),
    sa.Column("exhaustion_told_at", TIME),
    sa.Column("must_wake", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("created_at", TIME, nullable=False, server_default=sa.func.now()),
    sa.CheckConstraint("period in ('total', 'day', 'month')", name="budgets_period_known"),
    sa.CheckConstraint("cap_usd >= 0", name="budgets_cap_not_negative"),
    sa.UniqueConstraint(
        "tenant_id", "key_id", "period", name="budgets_one_a_period", postgresql_nulls_not_distinct=True
    ),
)

# Where events go. The secrets are kept in clear: they must sign.
