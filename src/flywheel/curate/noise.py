"""Labels that look wrong: candidates for a second opinion, never silently dropped."""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from flywheel.curate.examples import canonical
from flywheel.records import Example

__all__ = ["Answered", "suspects"]

_FEW = 20
"""With fewer judged examples nothing is flagged: every label is then rare."""
_SURE = 0.3
"""A label to which the models give more than this is doubtful at most."""
_OUTLIER = 5.0
"""Residuals so many robust standard deviations out are flagged."""


class Answered(Protocol):
    """What a model that had not seen an example said about it."""

    @property
    def output(self) -> Any:
        """Its answer."""
        ...

    @property
    def confidence(self) -> float | None:
        """Its probability that the answer is right."""
        ...


def suspects(
    examples: Sequence[Example],
    oof: Mapping[str, Answered],
    *,
    limit: int = 3,
    regression: bool = False,
    exclude: Collection[str] = (),
) -> list[str]:
    """Find the ids of at most `limit` examples whose label looks wrong, the worst first.

    `oof` holds out-of-fold answers by example id (an answer's `scores`, a probability for each label, is used where it
    has one). Classification uses confident learning (Northcutt, Jiang and Chuang 2021, with cleanlab); regression
    flags residuals five robust standard deviations out. `exclude` names those that had their second opinion; synthetic
    examples are never flagged.
    """
    barred = set(exclude)
    judged = [e for e in examples if e.id in oof and e.evidence]
    if len(judged) < _FEW or limit < 1:
        return []
    ranked = _outliers(judged, oof) if regression else _confident(judged, oof)
    return [example_id for example_id in ranked if example_id not in barred][:limit]


def _confident(examples: Sequence[Example], oof: Mapping[str, Answered]) -> list[str]:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    classes = sorted({canonical(example.label) for example in examples})
    if len(classes) < 2:
        return []
    column = {label: i for i, label in enumerate(classes)}
    labels = np.asarray([column[canonical(example.label)] for example in examples])
    chances = np.vstack([_chances(oof[example.id], column) for example in examples])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes too small to flag: nobody has to act on that
        flagged = find_label_issues(labels, chances, filter_by="both", n_jobs=1)
    quality = get_label_quality_scores(labels, chances)
    found = [int(i) for i in np.flatnonzero(flagged) if chances[i, labels[i]] <= _SURE]
    return [examples[i].id for i in sorted(found, key=lambda i: (float(quality[i]), examples[i].id))]


def _chances(answer: Answered, column: Mapping[str, int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A probability for every label. An answer without scores leaves what it is not sure of evenly to the others."""
    scores = getattr(answer, "scores", None)
    row = np.full(len(column), 1e-6)
    if isinstance(scores, Mapping) and scores:
        for label, score in scores.items():
            place = column.get(canonical(label), column.get(str(label)))
            if place is not None:
                row[place] += max(0.0, float(score))
        return np.asarray(row / row.sum())
    sure = 1.0 if answer.confidence is None else min(1.0, max(0.0, answer.confidence))
    place = column.get(canonical(answer.output))
    if place is None:
        return np.full(len(column), 1 / len(column))
    row += (1 - sure) / (len(column) - 1)
    row[place] = max(sure, 1e-6)
    return np.asarray(row / row.sum())


def _outliers(examples: Sequence[Example], oof: Mapping[str, Answered]) -> list[str]:
    residuals = {example.id: _residual(oof[example.id].output, example.label) for example in examples}
    known = {example_id: residual for example_id, residual in residuals.items() if residual is not None}
    if len(known) < _FEW:
        return []
    middle = statistics.median(known.values())
    spread = 1.4826 * statistics.median(abs(residual - middle) for residual in known.values())
    if spread == 0:
        return []
    far = {example_id: abs(residual - middle) / spread for example_id, residual in known.items()}
    return sorted((i for i in far if far[i] > _OUTLIER), key=lambda i: (-far[i], i))


def _residual(output: Any, label: Any) -> float | None:
    try:
        residual = float(label) - float(output)
    except (TypeError, ValueError):
        return None
    return residual if math.isfinite(residual) else None
