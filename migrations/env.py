"""Alembic's entry: runs the migrations on the database whose URL `migrations.run` passes in."""

from alembic import context
from sqlalchemy import create_engine

from jobs.store.session import sqlalchemy_url
from jobs.store.tables import metadata

config = context.config
engine = create_engine(sqlalchemy_url(config.attributes["database_url"]))
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
