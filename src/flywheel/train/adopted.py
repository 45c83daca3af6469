"""The model a team already has: any fitted scikit-learn estimator, kept as the first champion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from sklearn.base import BaseEstimator

from flywheel.errors import InvalidConfig, InvalidRecord, UntrustedModel
from flywheel.ports import Predictions
from flywheel.train import files

__all__ = ["AdoptedModel", "load_adopted", "save_adopted"]

_HOMES = ("sklearn.", "numpy.", "scipy.")
_NEVER = ("numpy.f2py", "numpy.distutils", "numpy.testing", "sklearn.utils._testing", "scipy._lib", "numpy.lib.npyio")


class AdoptedModel:
    """A scikit-learn estimator behind the `Model` port. It gets the logged inputs: strings, or lists as a number
    array."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def predict(self, inputs: Sequence[Any]) -> Predictions:
        """Answer a batch. Raises `InvalidRecord` naming the first input the estimator cannot take."""
        if not len(inputs):
            return Predictions([])
        try:
            return self._predict(inputs)
        except (ValueError, TypeError, AttributeError, IndexError, KeyError) as problem:
            raise InvalidRecord(*self._first_bad(inputs, problem)) from problem

    def _predict(self, inputs: Sequence[Any]) -> Predictions:
        rows = _rows(inputs)
        found = self.estimator.predict(rows)
        outputs = [value.item() if isinstance(value, np.generic) else value for value in np.asarray(found).tolist()]
        if not hasattr(self.estimator, "predict_proba") or not hasattr(self.estimator, "classes_"):
            return Predictions(outputs)
        shares = np.asarray(self.estimator.predict_proba(rows), dtype=np.float64)
        return Predictions(outputs, shares.max(axis=1), tuple(self.estimator.classes_.tolist()), shares)

    def _first_bad(self, inputs: Sequence[Any], problem: Exception) -> tuple[str, str, str]:
        fix = "The adopted model's own preprocessing has to accept every logged input"
        for row, value in enumerate(inputs):
            try:
                self._predict([value])
            except (ValueError, TypeError, AttributeError, IndexError, KeyError) as own:
                return f"inputs[{row}]", f"the adopted model cannot answer {repr(value)[:80]}: {own}", fix
        return "inputs", f"the adopted model cannot answer these {len(inputs)} inputs together: {problem}", fix


def _rows(inputs: Sequence[Any]) -> Any:
    first = inputs[0]
    if isinstance(first, str):
        return list(inputs)
    if isinstance(first, dict):
        raise TypeError("scikit-learn estimators take strings or lists of numbers, not dicts")
    rows = np.asarray(inputs, dtype=np.float64)
    return rows.reshape(len(rows), -1)


def save_adopted(model: Any, folder: Path) -> None:
    """Keep a fitted scikit-learn estimator (a pipeline too) in `folder`.

    Raises `InvalidConfig` when it is no scikit-learn estimator, and `UntrustedModel` when it holds types from elsewhere
    (a lambda, a class of your own): those could not be loaded again without trusting code. Write a trainer for such a
    model.
    """
    estimator = model.estimator if isinstance(model, AdoptedModel) else model
    if not isinstance(estimator, BaseEstimator) or not hasattr(estimator, "predict"):
        raise InvalidConfig(
            f"{type(model).__name__} is not a scikit-learn estimator with predict(). "
            f"Give a fitted one, or write a trainer for it"
        )
    foreign = _foreign(skops.io.get_untrusted_types(data=skops.io.dumps({"estimator": estimator})))
    if foreign:
        raise UntrustedModel(
            f"the model holds types that are not scikit-learn's, numpy's or scipy's: {', '.join(foreign)}. "
            f"It was not saved; write a trainer (train.py:make_trainer) for it"
        )
    files.write(folder, "adopted", {"type": type(estimator).__qualname__}, {"estimator": estimator})


def load_adopted(folder: Path) -> AdoptedModel:
    """Bring back an adopted model; only types from scikit-learn, numpy and scipy are trusted, else `UntrustedModel`."""
    archive = folder / "model.skops"
    asked = files.types_of(archive) if archive.is_file() else []
    _, parts = files.read(folder, "adopted", [name for name in asked if name not in _foreign(asked)])
    return AdoptedModel(parts["estimator"])


def _foreign(types: Sequence[str]) -> list[str]:
    return sorted(name for name in types if not name.startswith(_HOMES) or name.startswith(_NEVER))
