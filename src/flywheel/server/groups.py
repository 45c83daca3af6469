"""The groups of routes there are, and what each leaves to be closed."""

from __future__ import annotations

from fastapi import FastAPI

from flywheel.server import (
    act,
    bulk,
    datasets,
    disagreements,
    health,
    ingest,
    labeling,
    look,
    mending,
    otlp,
    plain_form,
    proxy,
    read,
    reports,
    showing,
    slices,
    tracing,
    turn,
)  # fmt: skip
from flywheel.server.routes import Routes

__all__ = ["all_routes", "closing"]


def all_routes() -> tuple[Routes, ...]:
    """Every group, in the order in which the description lists them."""
    taking = (ingest.routes, otlp.routes, bulk.routes, proxy.routes)
    looking = (read.routes, look.routes, showing.routes, tracing.routes, datasets.routes)
    acting = (act.routes, labeling.routes, turn.routes, mending.routes)
    reporting = (reports.routes, plain_form.routes)
    return (*taking, *looking, *acting, *reporting, health.routes, slices.routes, disagreements.routes)


async def closing(app: FastAPI) -> None:
    """Close what the groups keep open between requests."""
    await proxy.close(app)
