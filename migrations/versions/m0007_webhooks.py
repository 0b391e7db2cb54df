"""Webhooks: endpoints, the outbox of their deliveries, the tries of each, and the trigger that fills it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "m0007"
down_revision = "m0006"

TIME = sa.DateTime(timezone=True)


def now() -> sa.TextClause:
    return sa.text("now()")


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("tenant_id", sa.Uuid, sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("events", ARRAY(sa.Text), nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("old_secret", sa.Text),
        sa.Column("old_secret_until", TIME),
        sa.Column("created_at", TIME, nullable=False, server_default=now()),
        sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
        sa.Column("failing_since", TIME),
        sa.Column("paused_until", TIME),
        sa.Column("disabled_at", TIME),
        sa.Column("disabled_reason", sa.Text),
    )
    op.create_index("webhooks_of_tenant", "webhooks", ["tenant_id", "id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("tenant_id", sa.Uuid, nullable=False),
        sa.Column("webhook_id", sa.Uuid, sa.ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("job_id", sa.Uuid),
        sa.Column("batch_id", sa.Uuid),
        sa.Column("data", JSONB, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="pending"),
        sa.Column("created_at", TIME, nullable=False, server_default=now()),
        sa.Column("next_at", TIME, nullable=False, server_default=now()),
        sa.Column("token", sa.Uuid),
        sa.Column("step", sa.SmallInteger, nullable=False, server_default="0"),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("delivered_at", TIME),
        sa.CheckConstraint(
            "state in ('pending', 'delivered', 'failed', 'held')", name="webhook_deliveries_state_known"
        ),
    )
    op.create_index("webhook_deliveries_of_webhook", "webhook_deliveries", ["webhook_id", "id"])
    op.create_index(
        "webhook_deliveries_due",
        "webhook_deliveries",
        ["webhook_id", "next_at"],
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "webhook_deliveries_in_flight",
        "webhook_deliveries",
        ["webhook_id"],
        postgresql_where=sa.text("token is not null"),
    )
    op.create_table(
        "webhook_tries",
        sa.Column("delivery_id", sa.Uuid, sa.ForeignKey("webhook_deliveries.id", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("status", sa.SmallInteger),
        sa.Column("error", sa.Text),
        sa.Column("latency_ms", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("delivery_id", "number"),
    )
    op.add_column("jobs", sa.Column("webhook_id", sa.Uuid))
    op.add_column("batches", sa.Column("webhook_id", sa.Uuid))
    op.add_column("batches", sa.Column("ended_to", sa.Integer, nullable=False, server_default="0"))
    op.add_column("batches", sa.Column("notified_at", TIME))
    op.create_index(
        "batches_to_notify",
        "batches",
        ["id"],
        postgresql_where=sa.text("webhook_id is not null and notified_at is null"),
    )
    create_outbox()


def create_outbox() -> None:
    # The bits of a UUIDv7: 48 of Unix ms, the version, and what gen_random_uuid gave. Here, not in Python, because
    # the rows are made where jobs end.
    op.execute("""
        create function tokenyard_uuid7() returns uuid language sql volatile as $$
            select encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
                placing substring(int8send(floor(extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
                from 1 for 6), 52, 1), 53, 1), 'hex')::uuid
        $$
    """)
    op.execute("""
        create function tokenyard_moment(moment timestamptz) returns text language sql immutable as $$
            select to_char(moment at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
        $$
    """)
    # Whoever ends a job writes finished_at, so one trigger sees every path, in the ending's own transaction. It runs
    # after the statement: the attempt that the same statement closes is in the sum. Jobs without an endpoint pay for
    # a comparison. The endpoint's row is held: deleted in this instant, it must be gone, not break the ending.
    op.execute("""
        create function announce_ended_job() returns trigger language plpgsql as $$
        begin
            insert into webhook_deliveries (id, tenant_id, webhook_id, type, job_id, batch_id, data, state)
            select tokenyard_uuid7(), new.tenant_id, w.id, 'job.' || new.state, new.id, new.batch_id,
                jsonb_build_object('state', new.state, 'custom_id', new.custom_id, 'task', new.task,
                    'error', new.error ->> 'kind', 'cost_usd', c.cost_usd::text, 'cost_complete', c.unknown = 0,
                    'intent_kept', new.intent_kept, 'created_at', tokenyard_moment(new.created_at),
                    'finished_at', tokenyard_moment(new.finished_at)),
                case when w.enabled then 'pending' else 'held' end
            from webhooks w cross join lateral (
                select case when count(a.id) = 0 then 0::numeric(20, 12) else sum(a.cost_usd) end as cost_usd,
                    count(a.id) filter (where a.cost_usd is null and a.outcome is distinct from 'not_sent') as unknown
                from attempts a where a.job_id = new.id
            ) c
            where w.id = new.webhook_id and w.tenant_id = new.tenant_id
                and ('job.' || new.state = any(w.events) or 'job.*' = any(w.events))
            for key share of w;
            return null;
        end $$
    """)
    op.execute("""
        create trigger jobs_ended after update of finished_at on jobs for each row
        when (new.webhook_id is not null and old.finished_at is null and new.finished_at is not null)
        execute function announce_ended_job()
    """)


def downgrade() -> None:
    op.execute("drop trigger jobs_ended on jobs")
    op.execute("drop function announce_ended_job()")
    op.execute("drop function tokenyard_moment(timestamptz)")
    op.execute("drop function tokenyard_uuid7()")
    op.drop_index("batches_to_notify", "batches")
    for column in ("notified_at", "ended_to", "webhook_id"):
        op.drop_column("batches", column)
    op.drop_column("jobs", "webhook_id")
    for table in ("webhook_tries", "webhook_deliveries", "webhooks"):
        op.drop_table(table)
