"""What a page can do, a program and a terminal can do too."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

import flywheel
from flywheel.cli.app import app
from flywheel.curate import ReviewQueue
from flywheel.records import Group, Selection
from flywheel.server import make_app
from flywheel.server.groups import all_routes
from flywheel.wheel import Flywheel

SOURCE = Path(flywheel.__file__).parent
NEITHER = {
    "note": "writes a line into the audit trail beside an action; each route and command does so itself",
    "download": "for who is elsewhere; beside the folder `flywheel export` writes a file",
    "turning": "is in what `flywheel status` tells",
}
"""Verbs that pages call and that have no route or command of their own, and why."""


def public(name: str) -> bool:
    return not name.startswith("_") and inspect.isfunction(getattr(Flywheel, name, None))


def called(text: str) -> set[str]:
    """The verbs of the wheel that a piece of source calls."""
    return {name for name in re.findall(r"\b(?:wheel|fw)\.(\w+)", text) if public(name)}


def by_pages() -> list[str]:
    text = "".join(page.read_text(encoding="utf-8") for page in (SOURCE / "web").glob("*.py"))
    return sorted({name for name in re.findall(r"\bwheel\.(\w+)", text) if public(name)})


def by_routes() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for group in all_routes():
        for route in group.router.routes:
            for verb in called(inspect.getsource(route.endpoint)):
                found.setdefault(verb, set()).add(f"{'/'.join(sorted(route.methods))} {route.path}")
    return found


def by_commands() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for info in app.registered_commands:
        module = inspect.getmodule(info.callback)
        assert module is not None
        for verb in called(inspect.getsource(module)):
            found.setdefault(verb, set()).add(str(info.name or info.callback.__name__))  # type: ignore[union-attr]
    return found


ROUTES, COMMANDS = by_routes(), by_commands()


@pytest.mark.parametrize("verb", [verb for verb in by_pages() if verb not in NEITHER])
def test_a_verb_that_a_page_calls_is_reachable_by_a_program_and_a_terminal(verb: str) -> None:
    assert verb in ROUTES, f"fw.{verb} is called by a page and by no route"
    assert verb in COMMANDS, f"fw.{verb} is called by a page and by no command"


def test_pages_call_more_than_a_few_verbs_and_no_reason_is_left_over() -> None:
    assert {"review_progress", "label_group", "arrivals", "spin", "rollback", "answer_why"} <= set(by_pages())
    for verb in NEITHER:
        assert verb in by_pages()
        assert verb not in ROUTES or verb not in COMMANDS or verb == "note"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[tuple[Any, TestClient, Any]]:
    with flywheel.open(tmp_path, task="classification") as fw:
        keys = [fw.log(input=f"text {k}", output="a", error="broken" if k else None) for k in range(3)]
        alike = Group(id="g1", name="parking", members=tuple(keys), size=3)
        chosen = [Selection(interaction_id=key, propensity=1.0, audit=False, why="doubt") for key in keys]
        ReviewQueue(fw._store.state).fill(
            chosen, [fw.interaction(key)[0] for key in keys], 1, dict.fromkeys(keys, alike)
        )

        def command(*words: str) -> Any:
            done = CliRunner().invoke(app, [*words, "--folder", str(tmp_path), "--json"])
            assert done.exit_code == 0, done.output
            return json.loads(done.stdout)

        with TestClient(make_app({"bot": fw}), base_url="http://127.0.0.1") as client:
            yield fw, client, command


def test_labeling_together_over_http_and_in_a_terminal_says_the_same(house: Any) -> None:
    fw, client, command = house
    first, second, third = (item.id for item in fw.review_queue())
    given = client.post(f"/v1/review/{first}/label-group", json={"label": "park"}).json()["items"]
    assert [item["label"] for item in given] == ["park"] * 3
    assert client.get("/v1/labels").json()["items"] == command("review", "labels") == ["park"]
    told = client.get("/v1/review-progress").json()
    assert told == command("review", "progress") == json.loads(json.dumps(fw.review_progress()))
    assert command("label", second, "--undo")["status"] == "waiting"
    assert command("label", second, "--unsure", "--by", "ana")["unsure"] == ["ana"]
    assert command("label", second, "pay", "--by", "ana")["label"] == "pay"
    assert client.post(f"/v1/review/{third}/undo").json()["status"] == "waiting"
    assert [item["label"] for item in command("label", third, "pay", "--group", "--by", "ben")] == ["pay"]
    assert command("label", first, "pay", "--by", "ben")["label"] == "pay"
    (apart,) = client.get("/v1/disagreements").json()["items"]
    assert apart["stands"] == "pay"
    assert [(one["by"], one["label"]) for one in apart["said"]] == [("this machine", "park"), ("ben", "pay")]
    assert command("review", "disagreements")[0]["item"]["id"] == first


def test_what_arrives_is_told_page_by_page_without_a_gap(house: Any) -> None:
    fw, client, command = house
    whole = client.get("/v1/arrivals").json()
    assert [one["interaction"]["input"] for one in whole["items"]] == ["text 0", "text 1", "text 2"]
    assert [sign["kind"] for sign in whole["items"][1]["signs"]] == ["error"]
    assert command("arrivals")["items"] == whole["items"]
    seen, after = [], "0"
    while part := client.get("/v1/arrivals", params={"after": after, "limit": 2}).json():
        if not part["items"]:
            break
        seen += part["items"]
        after = part["next"]
    assert seen == whole["items"]
    fw.log(input="new", output="b")
    assert [one["interaction"]["input"] for one in command("arrivals", "--after", after)["items"]] == ["new"]


def test_the_status_over_http_does_not_say_where_the_folder_lies(house: Any) -> None:
    fw, client, _ = house
    told = client.get("/v1/status")
    assert told.json()["interactions"] == 3
    assert str(fw.folder) not in told.text
    assert client.get("/v1/datasets").json() == {"items": [], "next": None}
    assert client.get("/v1/datasets/abcdef").status_code == client.get("/v1/lineage/abcdef").status_code == 404
    assert client.get("/v1/fix-first").json()["items"] == []
