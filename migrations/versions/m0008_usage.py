"""Usage by kind: what of an attempt's tokens came from a cache, went into one, was thought or was sound."""

import sqlalchemy as sa
from alembic import op

revision = "m0008"
down_revision = "m0007"

KINDS = (
    "cached_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
)


def upgrade() -> None:
    # Nullable and without a default: Postgres only notes them, however many attempts there are.
    for name in KINDS:
        op.add_column("attempts", sa.Column(name, sa.Integer))


def downgrade() -> None:
    for name in KINDS:
        op.drop_column("attempts", name)
