"""The registry of worker processes, and where a job in quarantine came from."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "m0002"
down_revision = "m0001"

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "workers",
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
        sa.Column("started_at", TIME, nullable=False, server_default=sa.text("now()")),
        sa.Column("seen_at", TIME, nullable=False, server_default=sa.text("now()")),
    )
    op.execute("alter table jobs add column home_lane text")


def downgrade() -> None:
    # Without the column nobody could send them home, and the code of that revision moves no job into quarantine.
    op.execute("update jobs set lane = home_lane where home_lane is not null")
    op.execute("alter table jobs drop column home_lane")
    op.drop_table("workers")
