"""The tables of webhooks: endpoints, the outbox of their deliveries, the tries of each."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from jobs.store.metadata import TIME, metadata

webhooks = sa.Table(
    "webhooks",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("tenant_id", sa.Uuid, sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("events", ARRAY(sa.Text), nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("secret", sa.Text, nullable=False),
    sa.Column("old_secret", sa.Text),
    sa.Column("old_secret_until", TIME),
    sa.Column("created_at", TIME, nullable=False, server_default=sa.func.now()),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("failing_since", TIME),
    sa.Column("paused_until", TIME),
    sa.Column("disabled_at", TIME),
    sa.Column("disabled_reason", sa.Text),
)
sa.Index("webhooks_of_tenant", webhooks.c.tenant_id, webhooks.c.id)

# The outbox: one row an event and endpoint, written in the transaction of what it tells of. A claim gives a token and
# moves next_at to the lease's end, so that a lost one is due again by itself.
webhook_deliveries = sa.Table(
    "webhook_deliveries",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("tenant_id", sa.Uuid, nullable=False),
    sa.Column("webhook_id", sa.Uuid, sa.ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("job_id", sa.Uuid),
    sa.Column("batch_id", sa.Uuid),
    sa.Column("data", JSONB, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="pending"),
    sa.Column("created_at", TIME, nullable=False, server_default=sa.func.now()),
    sa.Column("next_at", TIME, nullable=False, server_default=sa.func.now()),
    sa.Column("token", sa.Uuid),
    sa.Column("step", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("delivered_at", TIME),
    sa.CheckConstraint("state in ('pending', 'delivered', 'failed', 'held')", name="webhook_deliveries_state_known"),
)
sa.Index("webhook_deliveries_of_webhook", webhook_deliveries.c.webhook_id, webhook_deliveries.c.id)
sa.Index(
    "webhook_deliveries_due",
    webhook_deliveries.c.webhook_id,
    webhook_deliveries.c.next_at,
    postgresql_where=sa.text("state = 'pending'"),
)
sa.Index(
    "webhook_deliveries_in_flight",
    webhook_deliveries.c.webhook_id,
    postgresql_where=sa.text("token is not null"),
)

webhook_tries = sa.Table(
    "webhook_tries",
    metadata,
    sa.Column("delivery_id", sa.Uuid, sa.ForeignKey("webhook_deliveries.id", ondelete="CASCADE"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("started_at", TIME, nullable=False),
    sa.Column("status", sa.SmallInteger),
    sa.Column("error", sa.Text),
    sa.Column("latency_ms", sa.Integer, nullable=False),
    sa.PrimaryKeyConstraint("delivery_id", "number"),
)
