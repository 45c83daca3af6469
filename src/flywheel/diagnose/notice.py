"""Telling another system that a report is fixed: a POST with its id and the version, and nothing that anybody wrote."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any

from flywheel.errors import StoreUnavailable
from flywheel.records import Report, to_dict

__all__ = ["post_fixed"]

_PATIENCE = 10.0


class _Straight(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: what the operator named is where it goes, or it does not go."""

    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        """Refuse."""


def post_fixed(url: str, flywheel: str, report: Report) -> None:
    """POST `{"event", "flywheel", "report", "state", "fixed_in", "fixed_at"}` to a URL; an answer of 2xx is a success.

    Raises `StoreUnavailable`, after which the same call may work later, for any other answer and for none within ten
    seconds.
    """
    told = {
        "event": "report fixed",
        "flywheel": flywheel,
        "report": report.id,
        "state": report.state,
        "fixed_in": report.fixed_in,
        "fixed_at": to_dict(report.fixed_at),
    }
    request = urllib.request.Request(  # noqa: S310  (the operator's own setting, checked to be http or https)
        url, json.dumps(told).encode(), {"Content-Type": "application/json", "User-Agent": "flywheel"}, method="POST"
    )
    try:
        with urllib.request.build_opener(_Straight).open(request, timeout=_PATIENCE) as answer:
            answer.read(1024)
    except (OSError, http.client.HTTPException) as problem:
        said = f"it answered {problem.code}" if isinstance(problem, urllib.error.HTTPError) else str(problem)
        raise StoreUnavailable(
            f"reports.webhook did not take the news of report {report.id}: {said}. Nobody counts as told; the next "
            "`flywheel report --tell` tries again"
        ) from problem
