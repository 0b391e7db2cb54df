"""More kinds of usage: pictures, and what a provider's own searches read and number."""

import sqlalchemy as sa
from alembic import op

revision = "m0012"
down_revision = "m0011"

KINDS = ("image_input_tokens", "image_output_tokens", "citation_tokens", "searches")


def upgrade() -> None:
    # Nullable and without a default: Postgres only notes them, however many attempts there are.
    for name in KINDS:
        op.add_column("attempts", sa.Column(name, sa.Integer))


def downgrade() -> None:
    for name in KINDS:
        op.drop_column("attempts", name)
