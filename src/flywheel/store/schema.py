"""The database's tables as the newest schema has them; `migrations` brings an older database here."""

from __future__ import annotations

import sqlalchemy as sa

__all__ = [
    "candidates",
    "conflicts",
    "contacts",
    "counters",
    "dataset_sources",
    "datasets",
    "dead_letters",
    "examples",
    "facts",
    "items",
    "keys",
    "metadata",
    "modes",
    "releases",
    "reports",
    "sessions",
    "settings",
    "spins",
    "steps",
    "tally",
    "trail",
    "whys",
]

metadata = sa.MetaData()
_position = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # only INTEGER counts up by itself on SQLite


def _ordered() -> sa.Column[int]:
    return sa.Column("position", _position, primary_key=True, autoincrement=True)


# --- log ---

facts = sa.Table(
    "facts",
    metadata,
    sa.Column("seq", _position, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.SmallInteger, nullable=False),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("about", sa.Text),  # the interaction a feedback speaks of
    sa.Column("received", sa.BigInteger, nullable=False),  # microseconds since 1970, UTC
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("kind", "id", name="facts_kind_id"),
)
sa.Index(
    "facts_about",
    facts.c.about,
    sqlite_where=facts.c.about.is_not(None),
    postgresql_where=facts.c.about.is_not(None),
)

tally = sa.Table(
    "tally",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    *(
        sa.Column(name, sa.BigInteger, nullable=False)
        for name in ("seq", "interactions", "feedback", "duplicates", "conflicts", "dead_letters")
    ),
)

conflicts = sa.Table(
    "conflicts",
    metadata,
    _ordered(),
    sa.Column("kind", sa.SmallInteger, nullable=False),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("received", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("kind", "id", "digest", name="conflicts_kind_id_digest"),
)

dead_letters = sa.Table(
    "dead_letters",
    metadata,
    _ordered(),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("kind", sa.Text, nullable=False, server_default=""),  # `draft` (JSON that can be tried again) or `bytes`
    sa.Column("digest", sa.Text, unique=True),  # the same letter is kept once
)

counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

# --- state: a JSON document each, and the columns that queries need ---

settings = sa.Table(
    "settings", metadata, sa.Column("key", sa.Text, primary_key=True), sa.Column("doc", sa.Text, nullable=False)
)

modes = sa.Table(
    "modes",
    metadata,
    _ordered(),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("doc", sa.Text, nullable=False),
)

items = sa.Table(
    "items",
    metadata,
    _ordered(),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("spin", sa.Integer, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("doc", sa.Text, nullable=False),
    sa.Index("items_status", "status"),
    sa.Index("items_spin", "spin"),
)

examples = sa.Table(
    "examples",
    metadata,
    _ordered(),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("doc", sa.Text, nullable=False),
)

datasets = sa.Table(
    "datasets",
    metadata,
    _ordered(),
    sa.Column("hash", sa.Text, nullable=False, unique=True),
    sa.Column("doc", sa.Text, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
)

dataset_sources = sa.Table(
    "dataset_sources",
    metadata,
    sa.Column("interaction_id", sa.Text, primary_key=True),
    sa.Column("dataset", sa.Text, sa.ForeignKey("datasets.hash"), primary_key=True),
)

spins = sa.Table(
    "spins",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("doc", sa.Text, nullable=False),
)

steps = sa.Table(
    "steps",
    metadata,
    sa.Column("spin", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("step", sa.Text, primary_key=True),
    sa.Column("doc", sa.Text, nullable=False),
)

releases = sa.Table(
    "releases",
    metadata,
    _ordered(),
    sa.Column("version", sa.Text, nullable=False, unique=True),
    sa.Column("doc", sa.Text, nullable=False),
)

keys = sa.Table("keys", metadata, sa.Column("id", sa.Text, primary_key=True), sa.Column("doc", sa.Text, nullable=False))

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),  # of the token in the browser's cookie
    sa.Column("expires", sa.BigInteger, nullable=False),  # microseconds since 1970, UTC
    sa.Column("doc", sa.Text, nullable=False),
)

trail = sa.Table("trail", metadata, _ordered(), sa.Column("doc", sa.Text, nullable=False))

candidates = sa.Table(
    "candidates",
    metadata,
    _ordered(),
    sa.Column("version", sa.Text, nullable=False, unique=True),
    sa.Column("doc", sa.Text, nullable=False),
    sa.Column("extra", sa.Text, nullable=False),
)

whys = sa.Table(
    "whys",
    metadata,
    sa.Column("mode", sa.Text, primary_key=True),
    sa.Column("doc", sa.Text, nullable=False),
)

reports = sa.Table(
    "reports",
    metadata,
    _ordered(),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("digest", sa.Text, nullable=False, unique=True),  # of the token that the reporter was given
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("doc", sa.Text, nullable=False),
)

contacts = sa.Table(
    "contacts",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # the report's
    sa.Column("doc", sa.Text, nullable=False),  # how its reporter can be reached, kept until they have heard
)
