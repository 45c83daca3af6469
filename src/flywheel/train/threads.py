"""How many cores the linear algebra may take."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import scipy.linalg  # noqa: F401  its BLAS has to be loaded before the libraries are listed
import sklearn.ensemble  # noqa: F401  and scikit-learn's OpenMP
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # comes with scikit-learn

__all__ = ["threads"]


def threads(limit: int | None) -> AbstractContextManager[Any]:
    """Inside, BLAS and OpenMP use at most `limit` threads (None: all).

    One thread is faster on small matrices, where starting the others costs more than they do, and gives the same bits
    on machines with different numbers of cores.
    """
    found: AbstractContextManager[Any] = _controller().limit(limits=limit)
    return found


@cache
def _controller() -> Any:
    """List the loaded libraries once: it takes longer than a small prediction."""
    return ThreadpoolController()
