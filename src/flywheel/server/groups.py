"""The groups of routes there are, and what each leaves to be closed."""

from __future__ import annotations

from fastapi import FastAPI

from flywheel.server import act, bulk, health, ingest, labeling, look, mending, otlp, proxy, read, reports, turn
from flywheel.server.routes import Routes

__all__ = ["all_routes", "closing"]


def all_routes() -> tuple[Routes, ...]:
    """Every group, in the order in which the description lists them."""
    taking = (ingest.routes, otlp.routes, bulk.routes, proxy.routes)
    looking, acting = (read.routes, look.routes), (act.routes, labeling.routes, turn.routes, mending.routes)
    return (*taking, *looking, *acting, reports.routes, health.routes)


async def closing(app: FastAPI) -> None:
    """Close what the groups keep open between requests."""
    await proxy.close(app)
