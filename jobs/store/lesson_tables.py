"""The table of what reported usage teaches about token counts: a row a deployment and kind of text."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, DOUBLE_PRECISION

from jobs.store.metadata import TIME, metadata

token_sums = sa.Table(
    "token_sums",
    metadata,
    sa.Column("deployment", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("layout", sa.SmallInteger, nullable=False),
    sa.Column("sums", ARRAY(DOUBLE_PRECISION), nullable=False),
    sa.Column("seen_at", TIME, nullable=False, server_default=sa.func.now()),
)
