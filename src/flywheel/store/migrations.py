"""Numbered, forward-only steps from an older schema to the newest.

A new database is laid out as `schema` says; an older one is brought there one migration at a time. A released migration
is never changed. Each runs in one transaction together with the number it leaves behind, so that a kill leaves it done
or not begun.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import sqlalchemy as sa

from flywheel.errors import CorruptStore
from flywheel.store.database import Database
from flywheel.store.schema import metadata, tally

__all__ = ["MIGRATIONS", "migrate"]

Migration = Callable[[sa.Connection], None]


def _books(connection: sa.Connection) -> None:
    """Dead letters that are kept once and can be tried again; counters for the books; keys of the server."""
    position = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    old = sa.table("dead_letters", *(sa.column(name) for name in ("position", "at", "source", "reason", "body")))
    wanted = sa.select(old.c.at, old.c.source, old.c.reason, old.c.body).order_by(old.c.position)
    rows = connection.execute(wanted).mappings().all()
    connection.execute(sa.text("DROP TABLE dead_letters"))
    laid_out = sa.MetaData()
    letters = sa.Table(
        "dead_letters",
        laid_out,
        sa.Column("position", position, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("kind", sa.Text, nullable=False, server_default=""),
        sa.Column("digest", sa.Text, unique=True),
    )
    counters = sa.Table(
        "counters",
        laid_out,
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    sa.Table("keys", laid_out, sa.Column("id", sa.Text, primary_key=True), sa.Column("doc", sa.Text, nullable=False))
    laid_out.create_all(connection)
    if rows:
        connection.execute(letters.insert(), [{**row, "kind": "draft"} for row in rows])
    counted = sa.table(
        "tally",
        *(sa.column(name) for name in ("interactions", "feedback", "duplicates", "conflicts", "dead_letters")),
    )
    before = connection.execute(sa.select(counted)).one()
    connection.execute(counters.insert().values(name="received", value=sum(map(int, before))))


def _telling(connection: sa.Connection) -> None:
    """Chains of whys; reports, and how their reporters can be reached."""
    position = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    laid_out = sa.MetaData()
    sa.Table("whys", laid_out, sa.Column("mode", sa.Text, primary_key=True), sa.Column("doc", sa.Text, nullable=False))
    sa.Table(
        "reports",
        laid_out,
        sa.Column("position", position, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("digest", sa.Text, nullable=False, unique=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("doc", sa.Text, nullable=False),
    )
    sa.Table(
        "contacts", laid_out, sa.Column("id", sa.Text, primary_key=True), sa.Column("doc", sa.Text, nullable=False)
    )
    laid_out.create_all(connection)


def _sessions(connection: sa.Connection) -> None:
    """Who is signed in."""
    laid_out = sa.MetaData()
    sa.Table(
        "sessions",
        laid_out,
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("doc", sa.Text, nullable=False),
    )
    laid_out.create_all(connection)


MIGRATIONS: tuple[Migration, ...] = (_books, _telling, _sessions)
"""The n-th brings schema n to schema n + 1. Each is written in SQLAlchemy Core or fixed SQL, never from `schema`."""

_version = sa.Table(
    "schema_version",
    sa.MetaData(),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
)


def migrate(database: Database, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Bring a database to the newest schema and return that schema's number.

    Call it under a lock between processes. Raises `CorruptStore` when a newer Flywheel wrote the database.
    """
    newest = 1 + len(migrations)
    with database.read() as connection:
        fresh = not sa.inspect(connection).has_table(_version.name)
    if fresh:
        with database.write() as connection:
            metadata.create_all(connection)
            _version.create(connection)
            connection.execute(tally.insert().values({column.name: 0 for column in tally.columns} | {"id": 1}))
            connection.execute(_version.insert().values(number=newest))
        return newest
    with database.read() as connection:
        found: int = connection.scalar(sa.select(sa.func.max(_version.c.number))) or 0
    if found > newest:
        raise CorruptStore(
            f"the database has schema {found}; this Flywheel knows schemas up to {newest}, so a newer Flywheel "
            "wrote it. Run: pip install --upgrade dataflywheel"
        )
    if found < 1:
        raise CorruptStore(
            f"the database's schema_version holds {found or 'nothing'} and no number from 1 on: it is damaged. "
            "Restore it from a backup, or mend it with: sqlite3 .recover"
        )
    for number in range(found, newest):
        with database.write() as connection:
            migrations[number - 1](connection)
            connection.execute(_version.insert().values(number=number + 1))
    return newest
