"""Each page of a flywheel that has spun opens for whoever may read, and its links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from bank import knows, play
from flywheel import wheel

pytest.importorskip("nicegui", reason="the dashboard needs the extra `web`")
from starlette.testclient import TestClient

from flywheel.server import make_app

pytestmark = pytest.mark.slow
PLACES = (
    "/",
    "/live",
    "/modes",
    "/review",
    "/health",
    "/spins",
    "/spins/1",
    "/spins/2",
    "/releases",
    "/data",
    "/reports",
)


@pytest.fixture(scope="module")
def spun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with wheel.open(tmp_path_factory.mktemp("spun"), task="classification") as fw:
        truth = play(fw, 200, "a/b?{}#<script>".format)
        fw.report("it took the wrong card")
        fw.spin(budget=40, labeler=knows(truth))
        yield fw


@pytest.fixture(scope="module")
def client(spun: Any) -> Iterator[TestClient]:
    with TestClient(make_app({"bot": spun}), base_url="http://127.0.0.1", headers={"accept": "text/html"}) as client:
        yield client


@pytest.mark.parametrize("place", PLACES)
def test_a_page_opens_and_every_link_on_it_leads_somewhere(client: TestClient, place: str) -> None:
    page = client.get(place)
    assert page.status_code == 200
    assert "Traceback" not in page.text
    links = set(re.findall(r'"href":"(/[^"]*)"', page.text.replace("\\u0026", "&")))
    assert links
    for link in sorted(links)[:40]:
        assert client.get(link).status_code == 200, link


def test_a_verdict_names_the_inputs_it_fixed(client: TestClient, spun: Any) -> None:
    verdict = spun.spins()[-1].verdict
    assert verdict.fixed_ids
    page = client.get("/spins/2").text
    assert "/interactions/a%2Fb%3F" in page
    assert "send money" in page or "cannot sign in" in page
