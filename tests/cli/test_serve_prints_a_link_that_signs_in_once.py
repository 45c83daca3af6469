"""A newcomer needs no key: the command that serves prints the way in, once; keys for people come with a role."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import flywheel
from flywheel.cli.app import app
from flywheel.errors import Unauthenticated


def command(folder: Path, *words: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, [*words, "--folder", str(folder), "--json"])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


@pytest.mark.slow
def test_the_printed_link_signs_in_once_and_is_in_no_log(tmp_path: Path) -> None:
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("nicegui", reason="the dashboard needs the extra `web`")
    with flywheel.open(tmp_path) as fw:
        fw.keys.create("somebody", ["read"])
    code = "from flywheel.cli import main; main()"
    serve = [sys.executable, "-c", code, "serve", str(tmp_path), "--port", "0", "--json"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            told = running.stdout.readline()
            while not told.rstrip().endswith("}") and running.poll() is None:
                told += running.stdout.readline()
            (link,) = json.loads(told)["links"]
            token, address = link.partition("token=")[2], json.loads(told)["address"]
            with httpx.Client(headers={"accept": "text/html"}, timeout=60) as browser:
                assert browser.get(f"{address}/modes").status_code == 303
                assert browser.get(link).status_code == 303
                assert browser.get(f"{address}/modes").status_code == 200
            assert httpx.get(link, timeout=60).status_code == 401
        finally:
            running.terminate()
        assert running.stderr is not None
        assert token not in running.stderr.read()
    assert [one["who"] for one in command(tmp_path, "keys", "sessions")] == ["this machine"]


def test_a_key_is_made_for_a_role_and_its_sessions_are_listed_and_ended(tmp_path: Path) -> None:
    with flywheel.open(tmp_path) as fw:
        for role, scopes in (("viewer", ["read"]), ("labeler", ["read", "label"]), ("releaser", ["read", "release"]),
                             ("admin", ["admin"])):  # fmt: skip
            made = command(tmp_path, "keys", "create", role, "--role", role)
            assert (made["role"], made["scopes"]) == (role, scopes)
        assert "no role" in command(tmp_path, "keys", "create", "x", "--role", "king", code=1)["error"]["message"]
        assert command(tmp_path, "keys", "create", "shop")["scopes"] == ["ingest"]
        token = fw.sessions.begin(made["key"])
        (session,) = command(tmp_path, "keys", "sessions")
        assert (session["who"], session["role"], session["way"]) == (made["id"], "admin", "key")
        assert command(tmp_path, "keys", "end", session["id"])["state"] == "ended"
        with pytest.raises(Unauthenticated):
            fw.sessions.find(token)
        assert command(tmp_path, "keys", "sessions") == []
        assert fw.trail()[-1]["action"] == "session end"
        plain = CliRunner().invoke(app, ["keys", "link", "--folder", str(tmp_path)], env={"COLUMNS": "40"}).stdout
        link = plain.split("token=")[1].splitlines()[0]
        assert fw.sessions.find(fw.sessions.redeem(link)).scopes == ("admin",)
