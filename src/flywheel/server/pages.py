"""Pages of what is known: a list by key, at most a thousand at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from flywheel.records import to_dict

__all__ = ["After", "Limit", "Page", "page_of", "shown"]

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]
After = Annotated[str, Query(max_length=200, description="`next` of the page before.")]


class Page(BaseModel, Generic[T]):
    """One page. `next` goes into `after` of the next request; null at the end."""

    items: list[T]
    next: str | None


def shown(items: Iterable[Any], following: Any = None) -> Response:
    """A page as the answer."""
    return JSONResponse({"items": to_dict(list(items)), "next": None if following is None else str(following)})


def page_of(items: Iterable[T], key: Callable[[T], str], after: str, limit: int) -> Response:
    """Cut a page out of a list whose items have a key of their own and keep their order."""
    everything = list(items)
    start = 0
    if after:
        start = next((place + 1 for place, item in enumerate(everything) if key(item) == after), len(everything))
    part = everything[start : start + limit]
    return shown(part, key(part[-1]) if start + limit < len(everything) else None)
