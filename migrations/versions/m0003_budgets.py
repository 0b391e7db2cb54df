"""Budgets of tenants and keys, what each call was charged to, who submitted a job, and keys that expire."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "m0003"
down_revision = "m0002"

MONEY = sa.Numeric(20, 12)
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    # No foreign keys on the hot tables: keys are revoked, never deleted, and each one costs every insert a lookup.
    op.add_column("jobs", sa.Column("key_id", sa.Uuid))
    op.add_column("attempts", sa.Column("key_id", sa.Uuid))
    op.add_column("attempts", sa.Column("budget_ids", ARRAY(sa.Uuid)))
    op.add_column("api_keys", sa.Column("expires_at", TIME))
    op.create_table(
        "budgets",
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
        sa.Column("created_at", TIME, nullable=False, server_default=sa.text("now()")),
        sa.CheckConstraint("period in ('total', 'day', 'month')", name="budgets_period_known"),
        sa.CheckConstraint("cap_usd >= 0", name="budgets_cap_not_negative"),
        sa.UniqueConstraint(
            "tenant_id", "key_id", "period", name="budgets_one_a_period", postgresql_nulls_not_distinct=True
        ),
    )


def downgrade() -> None:
    op.drop_table("budgets")
    op.drop_column("api_keys", "expires_at")
    op.drop_column("attempts", "budget_ids")
    op.drop_column("attempts", "key_id")
    op.drop_column("jobs", "key_id")
