"""Alembic migrations of the library's database; they travel in the wheel."""
