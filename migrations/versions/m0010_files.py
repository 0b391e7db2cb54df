"""Files in OpenAI's sense and their contents in parts; what a batch made from a file remembers."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "m0010"
down_revision = "m0008"

TIME = sa.DateTime(timezone=True)
OF_BATCH: dict[str, sa.types.TypeEngine[Any]] = {
    "endpoint": sa.Text(),
    "completion_window": sa.Text(),
    "expires_at": TIME,
    "input_file_id": sa.Uuid(),
    "output_file_id": sa.Uuid(),
    "error_file_id": sa.Uuid(),
    "errors": JSONB(),
}


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("tenant_id", sa.Uuid, sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger),
        sa.Column("created_at", TIME, nullable=False, server_default=sa.text("now()")),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("batch_id", sa.Uuid),
        sa.CheckConstraint("bytes is not null or batch_id is not null", name="files_bytes_known"),
    )
    op.create_index("files_of_tenant", "files", ["tenant_id", "id"])
    op.create_index("files_by_expiry", "files", ["expires_at"])
    op.create_table(
        "file_parts",
        sa.Column("file_id", sa.Uuid, sa.ForeignKey("files.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    # A part is read and written whole, once each: squeezing it would cost more than the disk it saves.
    op.execute("alter table file_parts alter column body set storage external")
    for name, kind in OF_BATCH.items():
        op.add_column("batches", sa.Column(name, kind))


def downgrade() -> None:
    for name in reversed(OF_BATCH):
        op.drop_column("batches", name)
    op.drop_table("file_parts")
    op.drop_table("files")
