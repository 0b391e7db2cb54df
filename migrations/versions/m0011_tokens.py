"""What reported usage teaches about token counts: sums for each deployment and kind of text."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, DOUBLE_PRECISION

revision = "m0011"
down_revision = "m0010"


def upgrade() -> None:
    op.create_table(
        "token_sums",
        sa.Column("deployment", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("layout", sa.SmallInteger, nullable=False),
        sa.Column("sums", ARRAY(DOUBLE_PRECISION), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
    )


def downgrade() -> None:
    op.drop_table("token_sums")
