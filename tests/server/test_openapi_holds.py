"""The OpenAPI description is true: whatever is asked, within it or beside it, is answered as it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

import flywheel
from flywheel.server import make_app
from flywheel.server.groups import all_routes

schemathesis = pytest.importorskip("schemathesis")
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

pytestmark = pytest.mark.slow

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with flywheel.open(tmp_path_factory.mktemp("api") / "a") as fw:
        key = fw.log(input="where is my card", output="card_arrival", context={"device": "ios"})
        fw.feedback(key, rating=-1, comment="wrong")
        yield schemathesis.openapi.from_asgi("/openapi.json", make_app({"a": fw}), headers={"Host": "127.0.0.1"})


@schemathesis.serializer("application/x-ndjson")
def _as_lines(_context: Any, value: Any) -> bytes:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else json.dumps(value).encode()


OPERATIONS = sorted(
    (method.lower(), route.path)
    for group in all_routes()
    for route in group.router.routes
    if route.include_in_schema and not route.path.startswith("/openai/")  # which answers as its upstream does
    for method in route.methods
)


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=str)
def test_every_answer_is_described(api: Any, method: str, path: str) -> None:
    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=api[path][method].as_strategy())
    def holds(case: Any) -> None:
        case.call_and_validate(headers={"Host": "127.0.0.1"}, checks=CHECKS, timeout=120)  # a busy machine

    holds()
