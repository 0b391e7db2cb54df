"""Fairness: a tenant's weight, the lanes' turns, and deferred jobs apart from those that are due."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "m0006"
down_revision = "m0005"

LANES = ("interactive", "standard", "bulk", "quarantine")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("tenants", sa.Column("weight", sa.Integer, nullable=False, server_default="1"))
    op.create_check_constraint("tenants_weight_in_bounds", "tenants", "weight between 1 and 1000")
    op.add_column("jobs", sa.Column("deferred", sa.Boolean, nullable=False, server_default=sa.false()))
    op.execute("update jobs set deferred = true where state = 'queued' and released_at is null and run_at > now()")
    op.execute("drop index jobs_waiting")
    op.execute(
        "create index jobs_waiting on jobs (lane, tenant_id, urgent_at)"
        " where state = 'queued' and released_at is null and not deferred"
    )
    op.execute("create index jobs_deferred on jobs (run_at, tenant_id) where state = 'queued' and deferred")
    op.execute("drop index jobs_deadline")
    op.execute("create index jobs_deadline on jobs (deadline_at) where state = 'queued' and released_at is null")
    turns = op.create_table(
        "lane_turns",
        sa.Column("lane", sa.Text, primary_key=True),
        sa.Column("turn", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("last_tenant", sa.Uuid, nullable=False, server_default="00000000-0000-0000-0000-000000000000"),
        sa.Column("deficits", JSONB, nullable=False, server_default="{}"),
        sa.Column("stock", sa.Integer, nullable=False, server_default="0"),
        sa.Column("depth", sa.Integer, nullable=False, server_default="0"),
        sa.Column("turned_at", TIME, nullable=False, server_default=sa.text("now()")),
    )
    op.bulk_insert(turns, [{"lane": lane} for lane in LANES])


def downgrade() -> None:
    op.drop_table("lane_turns")
    op.execute("drop index jobs_deadline")
    op.execute("create index jobs_deadline on jobs (deadline_at) where state = 'queued'")
    op.execute("drop index jobs_deferred")
    op.execute("drop index jobs_waiting")
    op.execute("create index jobs_waiting on jobs (lane, urgent_at) where state = 'queued' and released_at is null")
    op.drop_column("jobs", "deferred")
    op.drop_constraint("tenants_weight_in_bounds", "tenants")
    op.drop_column("tenants", "weight")
