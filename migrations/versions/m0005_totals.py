"""Sums of the ledger for metrics: read once a row, kept by provider, model and outcome."""

import sqlalchemy as sa
from alembic import op

revision = "m0005"
down_revision = "m0004"


def upgrade() -> None:
    op.create_table(
        "ledger_totals",
        *(sa.Column(name, sa.Text, nullable=False) for name in ("provider", "model", "outcome", "failure")),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        sa.Column("cost_usd", sa.Numeric(24, 12), nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("unknown_cost", "input_tokens", "output_tokens")),
        sa.PrimaryKeyConstraint("provider", "model", "outcome", "failure"),
    )
    op.create_table(
        "ledger_mark",
        sa.Column("is_only", sa.Boolean, primary_key=True, server_default=sa.true()),
        sa.Column("mark", sa.Uuid, nullable=False),
        sa.CheckConstraint("is_only", name="ledger_mark_is_only"),
    )
    op.create_table(
        "ledger_watched",
        sa.Column("attempt_id", sa.Uuid, primary_key=True),
        sa.Column("is_counted", sa.Boolean, nullable=False),
    )


def downgrade() -> None:
    for table in ("ledger_watched", "ledger_mark", "ledger_totals"):
        op.drop_table(table)
