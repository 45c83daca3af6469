"""How unlike the known inputs is a new one?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from flywheel.ports import Embedder

__all__ = ["novelty"]

_MOST = 5000


def novelty(inputs: Sequence[Any], known: Sequence[Any], embedder: Embedder) -> np.ndarray[Any, Any]:
    """How novel each of n inputs is beside the known ones, 0 to 1.

    The distance to the nearest known input, as a quantile of the distances from each known input to its own nearest
    neighbour: 0.5 is as far as known inputs usually lie from each other, 1 farther than any of them (the p-value of
    a one-class conformal test, turned round; Laxhammar & Falkman 2010). With fewer than two known inputs everything
    is novel. At most 5,000 known inputs, evenly spaced, are compared: O(n × known).
    """
    from sklearn.neighbors import NearestNeighbors

    if not len(inputs):
        return np.zeros(0)
    if len(known) < 2:
        return np.ones(len(inputs))
    if len(known) > _MOST:
        known = [known[int(place)] for place in np.linspace(0, len(known) - 1, _MOST)]
    vectors = np.asarray(embedder.embed([*inputs, *known]), dtype=np.float64)
    there, base = vectors[: len(inputs)], vectors[len(inputs) :]
    index = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(base)
    own = np.sort(index.kneighbors()[0][:, 0])
    apart = index.kneighbors(there)[0][:, 0]
    # An input that is itself among the known ones is not novel, however isolated it lies; rounding must not make it so.
    return np.where(apart < 1e-7, 0.0, np.searchsorted(own, apart - 1e-9, side="right") / len(own))
