"""Databases to test on: SQLite in a folder, and a real PostgreSQL, a new database a test."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import settings

# How long an example takes says how busy the machine is; what is slow is marked so.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

collect_ignore_glob = ["conftest.py", "*/conftest.py"]  # no doctests in these, and three modules cannot share a name

_BINARIES = Path("/usr/lib/postgresql/15/bin")


def _binary(name: str) -> str | None:
    found = shutil.which(name)
    if found:
        return found
    return str(_BINARIES / name) if (_BINARIES / name).exists() else None


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a server: FLYWHEEL_TEST_POSTGRES, or a throw-away cluster on a free loopback port."""
    given = os.environ.get("FLYWHEEL_TEST_POSTGRES")
    if given:
        yield given
        return
    initdb, postgres, ready = _binary("initdb"), _binary("postgres"), _binary("pg_isready")
    if not (initdb and postgres and ready):
        pytest.skip("there is no PostgreSQL here: install it, or point FLYWHEEL_TEST_POSTGRES at a server")
    owner = {"user": "postgres"} if os.geteuid() == 0 else {}  # initdb refuses root
    folder = Path(tempfile.mkdtemp(prefix="flywheel-pg-"))
    if owner:
        shutil.chown(folder, "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "data"
    subprocess.run(
        [initdb, "-D", data, "-U", "flywheel", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"],
        check=True,
        capture_output=True,
        cwd=folder,
        **owner,
    )
    with (folder / "server.log").open("wb") as out:
        server = subprocess.Popen(
            [
                postgres,
                "-D",
                data,
                "-p",
                str(port),
                "-k",
                folder,
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "fsync=off",
            ],
            stdout=out,
            stderr=out,
            cwd=folder,
            **owner,
        )
    try:
        for _ in range(200):
            if (
                subprocess.run([ready, "-h", "127.0.0.1", "-p", str(port)], capture_output=True, check=False).returncode
                == 0
            ):
                break
            time.sleep(0.1)
        else:
            pytest.fail(f"PostgreSQL did not start: {(folder / 'server.log').read_text()}")
        yield f"postgresql://flywheel@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)  # a fast shutdown
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def new_url(request: pytest.FixtureRequest) -> Iterator[Callable[[str], str]]:
    """Make an empty database of a kind, `sqlite` (its URL is empty) or `postgresql`."""
    made: list[tuple[sa.Engine, str]] = []

    def make(kind: str) -> str:
        if kind == "sqlite":
            return ""
        server = sa.make_url(request.getfixturevalue("postgresql_server")).set(drivername="postgresql+psycopg")
        name = f"flywheel_{uuid.uuid4().hex}"
        engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text(f'CREATE DATABASE "{name}"'))
        made.append((engine, name))
        return server.set(drivername="postgresql", database=name).render_as_string(hide_password=False)

    yield make
    for engine, name in made:
        with engine.connect() as connection:
            connection.execute(sa.text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        engine.dispose()
