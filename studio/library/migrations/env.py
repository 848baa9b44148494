"""Alembic's entry: runs on the connection that the store hands over."""

from alembic import context

from studio.library.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,  # a crash in between leaves the schema as it was
)
with context.begin_transaction():
    context.run_migrations()
