"""The tables of files in OpenAI's sense, and of their contents in parts."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA

from jobs.store.metadata import TIME, metadata

files = sa.Table(
    "files",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("tenant_id", sa.Uuid, sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("filename", sa.Text, nullable=False),
    sa.Column("bytes", sa.BigInteger),
    sa.Column("created_at", TIME, nullable=False, server_default=sa.func.now()),
    sa.Column("expires_at", TIME, nullable=False),
    sa.Column("batch_id", sa.Uuid),
    sa.CheckConstraint("bytes is not null or batch_id is not null", name="files_bytes_known"),
)
sa.Index("files_of_tenant", files.c.tenant_id, files.c.id)
sa.Index("files_by_expiry", files.c.expires_at)

file_parts = sa.Table(
    "file_parts",
    metadata,
    sa.Column("file_id", sa.Uuid, sa.ForeignKey("files.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("body", BYTEA, nullable=False),
)
