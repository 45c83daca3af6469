"""The promise of the roles: who sees which page, who may do what there, who may call which route; and no more.

The tables below are the promise. A page, a route or a way of changing something without a row fails.
"""

from __future__ import annotations

import ast
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flywheel
from flywheel import wheel
from flywheel.curate import ReviewQueue
from flywheel.govern.keys import ROLES
from flywheel.records import Mode, Selection, Why, WhyChain

pytest.importorskip("nicegui", reason="the dashboard needs the extra `web`")
from nicegui import Client
from sklearn.dummy import DummyClassifier
from starlette.testclient import TestClient

from flywheel.server import make_app
from flywheel.server.groups import all_routes
from flywheel.web import frame

ALL = ("viewer", "labeler", "releaser", "admin")
LABELERS, RELEASERS, ADMINS = ("labeler", "admin"), ("releaser", "admin"), ("admin",)
NOBODY: tuple[str, ...] = ("nobody", "program", *ALL)
"""Who needs no key at all is everybody; a program is a key that may only send facts."""

PAGES: dict[str, tuple[str, ...]] = {
    "/": ALL,
    "/live": ALL,
    "/modes": ALL,
    "/modes/{mode_id}": ALL,
    "/interactions/{interaction_id:path}": ALL,
    "/review": LABELERS,
    "/health": ALL,
    "/spins": ALL,
    "/spins/{number}": ALL,
    "/releases": ALL,
    "/data": ALL,
    "/data/{hash}": ALL,
    "/data/{hash}/copy": ALL,
    "/slices": ALL,
    "/reports": ALL,
    "/sign-in": NOBODY,
    "/sign-in/link": NOBODY,
    "/sign-in/oidc": NOBODY,
    "/sign-in/oidc/callback": NOBODY,
    "/sign-out": NOBODY,
}
"""Who sees which page."""
SENT_TO = ("/data/{hash}/copy",)
"""What a form on a page sends to."""

ACTIONS: list[tuple[str, str, tuple[str, ...]]] = [
    ("/review", "1", LABELERS),
    ("/review", "Skip: nobody can tell (s)", LABELERS),
    ("/review", "Not sure: ask somebody else (n)", LABELERS),
    ("/modes/m1", "Save", LABELERS),
    ("/reports", "Acknowledge", LABELERS),
    ("/spins", "Start a spin", RELEASERS),
    ("/releases", "Yes: roll back", RELEASERS),
]
"""Who may do what on which page: the button's words, or its key."""

ASKED = {"modes": {"label": 2}, "reports": {"label": 1}, "review": {"label": 2}, "spins": {"release": 1},
         "releases": {"release": 1}, "later": {"read": 1}}  # fmt: skip
"""In which module of the dashboard how many verbs run under which scope: all that change something."""

ROUTES: dict[tuple[str, ...], str] = {
    ("program", "admin"): """
        POST /v1/interactions   POST /v1/feedback   POST /v1/traces   POST /v1/logs   POST /v1/reports
        POST /_bulk   PUT /_bulk   POST /{index}/_bulk   PUT /{index}/_bulk
        GET /   GET /_license   GET /_xpack   GET /_cat/health   GET /_cluster/health   GET /_template/{name}
        GET /_index_template/{name}   GET /_ilm/policy/{name}
        POST /openai/v1/chat/completions   POST /openai/v1/responses   GET /openai/v1/models
    """,
    ALL: """
        GET /v1/interactions   GET /v1/interactions/{id}   GET /v1/failures   GET /v1/findings   GET /v1/modes
        GET /v1/modes/{id}   GET /v1/modes/{id}/whys   GET /v1/edge-cases   GET /v1/groups   GET /v1/spins
        GET /v1/spins/{number}   GET /v1/releases   GET /v1/books   GET /v1/status   GET /v1/arrivals
        GET /v1/fix-first   GET /v1/datasets   GET /v1/datasets/{id}   GET /v1/lineage/{id}   GET /v1/labels
        GET /v1/datasets/{id}/export   GET /v1/datasets/{id}/provenance   GET /v1/interactions/{id}/belief
        GET /v1/interactions/{id}/datasets   GET /v1/interactions/{id}/neighbours   GET /v1/interactions/{id}/replays
        GET /v1/modes/{id}/story   GET /v1/failure-history   GET /v1/standing   GET /v1/slice   GET /v1/turning
        GET /v1/usual   GET /v1/comparison
        GET /v1/reports   GET /v1/report-figures   GET /metrics
    """,
    LABELERS: """
        GET /v1/review   POST /v1/review/{id}/label   POST /v1/review/{id}/skip   POST /v1/review/{id}/unsure
        POST /v1/review/{id}/undo   POST /v1/review/{id}/label-group   GET /v1/review-progress   GET /v1/disagreements
        POST /v1/reports/{id}/acknowledge   POST /v1/modes/{id}/whys/{number}   POST /v1/modes/{id}/fix-next
        DELETE /v1/fix-next   POST /v1/review/{id}/resolve
    """,
    RELEASERS: "POST /v1/releases/promote   POST /v1/releases/rollback   POST /v1/spins",
    ADMINS: "GET /v1/keys   DELETE /v1/keys/{id}   GET /v1/dead-letters   POST /v1/dead-letters/retry",
    NOBODY: """
        GET /v1/reports/{token}   GET /report-form   POST /report-form   GET /healthz   GET /readyz   GET /openapi.json
    """,
}
"""Who may call which route. HEAD goes with GET."""

PROMISED = {
    (method, path): who
    for who, lines in ROUTES.items()
    for method, path in re.findall(r"(GET|POST|PUT|DELETE) (\S+)", lines)
}
HTML = {"accept": "text/html"}


def declared() -> set[tuple[str, str]]:
    routes = [route for group in all_routes() for route in group.router.routes]
    return {(method, route.path) for route in routes for method in route.methods if method != "HEAD"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Any, dict[str, str]]]:
    """A small flywheel with something to do on every page, and a key for each role."""
    with wheel.open(tmp_path_factory.mktemp("roles"), task="classification", release={"registry": "folder"}) as fw:
        ids = [fw.log(input=f"text {k}", output="a", confidence=0.4) for k in range(40)]
        chosen = [Selection(interaction_id=key, propensity=1.0, audit=False, why="doubt") for key in ids]
        ReviewQueue(fw._store.state).fill(chosen, [fw.interaction(key)[0] for key in ids], 1)
        fw._store.state.save_modes([Mode(id="m1", name="what fails")])
        chain = WhyChain(mode="m1", whys=(Why(topic="ask", question="Why?"),))
        fw._store.state.change_why("m1", lambda _: chain)
        for k in range(12):
            fw.report(f"it broke, time {k}")
        for answer in "abc":
            model = DummyClassifier(strategy="constant", constant=answer).fit([["x"], ["y"]], [answer, answer])
            fw.adopt(model)
        keys = {role: fw.keys.create(role, scopes)[0] for role, scopes in ROLES.items()}
        keys["program"] = fw.keys.create("program", ["ingest"])[0]
        with TestClient(
            make_app({"bot": fw}), base_url="http://127.0.0.1", follow_redirects=False, raise_server_exceptions=False
        ) as client:
            yield client, fw, keys


def enter(client: TestClient, keys: dict[str, str], role: str) -> str:
    """Sign in as a role; its session's token."""
    client.cookies.clear()
    if role in keys:
        entered = client.post("/sign-in", data={"key": keys[role]})
        assert entered.status_code == (401 if role == "program" else 303)
    return client.cookies.get("flywheel_session", "")


# --- no row, no page ---


def test_every_page_every_route_and_every_role_has_its_row() -> None:
    import flywheel.web.mounting as mounting

    assert mounting.PAGES
    assert set(ROLES) == set(ALL)
    assert declared() == set(PROMISED), "routes and their rows"


def test_every_page_that_is_registered_has_its_row(house: Any) -> None:
    assert set(frame.scopes()) == set(PAGES)


def test_every_way_of_changing_something_from_a_page_asks_for_a_scope() -> None:
    """Whoever adds a verb under a scope adds a row; a changing verb outside of one is a hole."""
    found: dict[str, dict[str, int]] = {}
    for path in sorted((Path(flywheel.__file__).parent / "web").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "ask"):
                continue
            given = [*node.args[1:], *(word.value for word in node.keywords if word.arg == "scope")]
            for scope in given:
                assert isinstance(scope, ast.Constant), f"{path.name}:{node.lineno}: the scope is no plain word"
                counted = found.setdefault(path.stem, {})
                counted[str(scope.value)] = counted.get(str(scope.value), 0) + 1
    assert found == ASKED


# --- pages ---


@pytest.mark.parametrize("role", ["nobody", "program", *ALL])
def test_a_role_sees_its_pages_and_no_others(house: Any, role: str) -> None:
    client, _, keys = house
    enter(client, keys, role)
    for path, who in PAGES.items():
        if who is NOBODY:
            continue
        filled = path.replace("{mode_id}", "m1").replace("{number}", "7")
        filled = re.sub(r"\{.*?\}", "nothing", filled)
        ask = client.post if path in SENT_TO else client.get
        status = ask(filled, headers=HTML).status_code
        if role in who:
            assert status in (200, 404, 422 if path in SENT_TO else 200), f"{role} on {path}: {status}"
        else:
            assert status == (303 if role in ("nobody", "program") else 403), f"{role} on {path}: {status}"
    offered = client.get("/data", headers=HTML).text  # the navigation leads only to where they may go
    assert ('"/review"' in offered) == (role in LABELERS)


@pytest.mark.parametrize("role", ALL)
def test_a_role_is_offered_its_actions_and_no_others(house: Any, role: str) -> None:
    client, _, keys = house
    enter(client, keys, role)
    for page, words, who in ACTIONS:
        if page == "/review" and role not in who:
            continue  # the whole page is not theirs
        text = client.get(page, headers=HTML).text
        assert (words in text) == (role in who), f"{role} is {'not ' * (role in who)}offered {words!r} on {page}"


# --- actions: the button is there, pressed by somebody else ---


def press(client: TestClient, opened: Client, words: str) -> None:
    """Send the event of a button, as its browser would, and wait until what it does is done."""
    button = next(
        element
        for element in opened.elements.values()
        if words
        in (getattr(element, "_text", None), element._props.get("label"), element._props.get("aria-keyshortcuts"))
        and any(one.type == "click" for one in element._event_listeners.values())
    )
    listener = next(one for one in button._event_listeners.values() if one.type == "click")

    async def fire() -> None:
        opened.handle_event({"id": button.id, "listener_id": listener.id, "args": []})

    client.portal.call(fire)


def state_of(fw: Any) -> Any:
    state = fw._store.state
    items = Counter((item.status, item.unsure) for item in state.items())
    reports = Counter(report.state for report in state.reports())
    return items, reports, state.why("m1"), [one["action"] for one in fw.trail()], len(state.releases())


def settled(fw: Any, before: Any, changed: bool) -> bool:
    """Does the state become another one? Waits longer for what ought to happen than for what ought not to."""
    until = time.monotonic() + (60 if changed else 1.5)
    while time.monotonic() < until:
        if state_of(fw) != before:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
@pytest.mark.parametrize(("page", "words", "who"), ACTIONS, ids=lambda value: str(value)[:20])
def test_a_forged_button_does_nothing_for_a_role_that_may_not(
    house: Any, page: str, words: str, who: tuple[str, ...]
) -> None:
    """An admin's page with all its buttons; the session behind it is another role's when the event arrives."""
    client, fw, keys = house
    for role in sorted(ALL, key=lambda role: role in who):
        token = enter(client, keys, role)
        enter(client, keys, "admin")
        known = set(Client.instances)
        assert client.get(page, headers=HTML).status_code == 200
        (new,) = set(Client.instances) - known
        opened = Client.instances[new]
        if page == "/modes/m1":
            next(one for one in opened.elements.values() if one._props.get("label") == "Your answer").value = role
        opened.request.scope["flywheel.session"] = token
        before = state_of(fw)
        press(client, opened, words)
        assert settled(fw, before, role in who) == (role in who), f"{role} pressed {words!r}"
        if page == "/spins" and role in who:
            break  # one real spin says enough


# --- routes ---


@pytest.mark.parametrize("role", ["nobody", "program", *ALL])
def test_a_role_calls_its_routes_and_no_others(house: Any, role: str) -> None:
    client, _, keys = house
    client.cookies.clear()
    headers = {"authorization": f"Bearer {keys[role]}"} if role in keys else {}
    for (method, path), who in PROMISED.items():
        if path == "/v1/spins" and method == "POST" and role in who:
            filled = "/v1/spins?budget=-1"  # let in, and refused for what it asks
        else:
            filled = re.sub(r"\{number\}", "1", re.sub(r"\{\w+\}", "x", path))
        status = client.request(method, filled, headers=headers).status_code
        if role in who:
            assert status not in (401, 403), f"{role} on {method} {path}: {status}"
        else:
            assert status == (401 if role == "nobody" else 403), f"{role} on {method} {path}: {status}"
