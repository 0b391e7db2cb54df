"""The record: tenants, keys, batches, jobs, attempts, payloads, idempotency."""

import datetime as dt

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB

from jobs.store.partitions import statements

revision = "m0001"
down_revision = None

MONEY = sa.Numeric(20, 12)
TIME = sa.DateTime(timezone=True)


def now() -> sa.TextClause:
    return sa.text("now()")


def upgrade() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("max_queued_jobs", sa.Integer, nullable=False, server_default="1000000"),
        sa.Column("created_at", TIME, nullable=False, server_default=now()),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("tenant_id", sa.Uuid, sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("short_id", sa.Text, nullable=False, unique=True),
        sa.Column("secret_sha256", BYTEA, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", ARRAY(sa.Text), nullable=False),
        sa.Column("created_at", TIME, nullable=False, server_default=now()),
        sa.Column("revoked_at", TIME),
    )
    op.create_table(
        "batches",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("tenant_id", sa.Uuid, sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("skipped", sa.Integer, nullable=False, server_default="0"),
        sa.Column("metadata", JSONB),
        sa.Column("created_at", TIME, nullable=False, server_default=now()),
        sa.Column("cancelled_at", TIME),
    )
    op.create_index("batches_of_tenant", "batches", ["tenant_id", "id"])
    create_jobs()
    create_ledger()
    op.create_table(
        "idempotency",
        sa.Column("tenant_id", sa.Uuid, nullable=False),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("body_sha256", BYTEA, nullable=False),
        sa.Column("status", sa.SmallInteger),
        sa.Column("response", BYTEA),
        sa.Column("created_at", TIME, nullable=False, server_default=now()),
        sa.PrimaryKeyConstraint("tenant_id", "route", "key"),
    )
    op.create_index("idempotency_age", "idempotency", ["created_at"])


def create_jobs() -> None:
    op.execute("""
        create table jobs (
            id uuid primary key,
            tenant_id uuid not null references tenants (id),
            batch_id uuid, batch_seq integer, custom_id text,
            state text not null default 'queued',
            lane text not null, policy text not null, model text not null, task text,
            intent jsonb, strict boolean not null default false, metadata jsonb,
            retry_of uuid, traceparent text,
            created_at timestamptz not null default now(),
            deadline_at timestamptz not null,
            urgent_at timestamptz not null,
            run_at timestamptz not null default now(),
            released_at timestamptz,
            token uuid, lease_until timestamptz,
            claims integer not null default 0,
            deaths smallint not null default 0,
            cancel_requested_at timestamptz,
            started_at timestamptz, finished_at timestamptz,
            answer_attempt uuid, error jsonb, receipt jsonb, adaptations jsonb, intent_kept boolean,
            purged_at timestamptz,
            constraint jobs_state_known
                check (state in ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'expired')),
            constraint jobs_running_has_token check ((state = 'running') = (token is not null)),
            constraint jobs_terminal_has_finished_at
                check ((state in ('queued', 'running')) = (finished_at is null))
        ) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05)
    """)
    op.execute("create index jobs_waiting on jobs (lane, urgent_at) where state = 'queued' and released_at is null")
    op.execute(
        "create index jobs_released on jobs (lane, released_at) where state = 'queued' and released_at is not null"
    )
    op.execute("create index jobs_leased on jobs (lease_until) where state = 'running'")
    op.execute("create index jobs_deadline on jobs (deadline_at) where state = 'queued'")
    op.execute("create index jobs_of_batch on jobs (batch_id, batch_seq) where batch_id is not null")
    op.execute("create index jobs_of_tenant on jobs (tenant_id, id)")


def create_ledger() -> None:
    op.execute("""
        create table attempts (
            id uuid primary key,
            job_id uuid not null, tenant_id uuid not null, token uuid not null,
            deployment text not null, model text not null, provider text not null, task text,
            tier smallint not null, sandbox boolean not null default false,
            opened_at timestamptz not null default now(), closed_at timestamptz,
            outcome text, failure text, status smallint, finish_reason text,
            confidence double precision,
            input_tokens integer, output_tokens integer,
            cost_usd numeric(20, 12), cost_bound_usd numeric(20, 12),
            cost_basis text not null default 'none', price_version text,
            first_token_ms integer, total_ms integer,
            constraint attempts_outcome_known check (outcome in
                ('accepted', 'rejected', 'failed', 'cancelled', 'orphaned', 'unknown', 'not_sent')),
            constraint attempts_basis_known check (cost_basis in ('usage', 'estimate', 'none')),
            constraint attempts_closed_has_outcome check ((outcome is null) = (closed_at is null))
        ) partition by range (id)
    """)
    op.execute("create index attempts_of_job on attempts (job_id)")
    op.execute("create index attempts_of_tenant on attempts (tenant_id, id)")
    op.execute("create table payloads (id uuid primary key, body bytea not null) partition by range (id)")
    for table in ("attempts", "payloads"):
        op.execute(f"create table {table}_default partition of {table} default")
    for _, statement in statements(dt.datetime.now(dt.UTC).date()):
        op.execute(statement)


def downgrade() -> None:
    for table in ("idempotency", "payloads", "attempts", "jobs", "batches", "api_keys", "tenants"):
        op.execute(f"drop table {table}")
