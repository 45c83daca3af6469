"""scikit-learn: an estimator that logs what it predicts, and is an estimator still."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.utils.metaestimators import available_if

from flywheel.capture.integrations.teller import Teller, Told
from flywheel.capture.lines import fresh_id

__all__ = ["WatchedEstimator", "watch_estimator"]


def watch_estimator(
    estimator: Any,
    to: Told,
    *,
    model: str | None = None,
    confidence: bool = True,
    max_rows: int = 1000,
    ids: Callable[[Any, int], str] | None = None,
) -> WatchedEstimator:
    """Wrap an estimator, fitted or not, so that `predict` and `predict_proba` log each row as an interaction::

        model = watch_estimator(pipeline, connection, model="v7")
        model.predict(rows)

    The input is the row (a dict by column where columns have names), the output the prediction, with latency per row.
    With `confidence`, `predict` of a classifier also asks `predict_proba` for it, after the answer was timed.
    Of a larger call the first `max_rows` rows are logged and the others counted. `ids(row, place)` gives each row its
    id, for feedback later; `last_ids` has those of the last call.
    """
    return WatchedEstimator(estimator, Teller(to), model=model, confidence=confidence, max_rows=max_rows, ids=ids)


def _has(name: str) -> Callable[[WatchedEstimator], bool]:
    def has(watched: WatchedEstimator) -> bool:
        return hasattr(watched.estimator, name)

    return has


class WatchedEstimator(MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """An estimator around another; everything but logging is the other's. Made by `watch_estimator`.

    Cloning it clones the estimator inside and goes on logging to the same place; `fit` fits the one inside. `score` and
    what cross-validation does with it are not logged.
    """

    def __init__(
        self,
        estimator: Any,
        teller: Teller,
        *,
        model: str | None = None,
        confidence: bool = True,
        max_rows: int = 1000,
        ids: Callable[[Any, int], str] | None = None,
    ) -> None:
        self.estimator = estimator
        self.teller = teller
        self.model = model
        self.confidence = confidence
        self.max_rows = max_rows
        self.ids = ids

    @property
    def unrecorded(self) -> dict[str, int]:
        """What could not be logged, by the kind of trouble; `rows beyond max_rows` among them."""
        return dict(self.teller.unrecorded)

    @property
    def last_ids(self) -> list[str]:
        """The ids of the rows that the last call logged."""
        return list(getattr(self, "_last_ids", ()))

    def fit(self, X: Any, y: Any = None, **parameters: Any) -> WatchedEstimator:  # noqa: N803
        """Fit the estimator inside."""
        if y is None:
            self.estimator.fit(X, **parameters)
        else:
            self.estimator.fit(X, y, **parameters)
        return self

    @available_if(_has("predict"))  # type: ignore[untyped-decorator]
    def predict(self, X: Any, **parameters: Any) -> Any:  # noqa: N803
        """Predict, and log each row."""
        at, started = datetime.now(UTC), time.perf_counter()
        predicted = self.estimator.predict(X, **parameters)
        took = (time.perf_counter() - started) * 1000
        self.teller.quietly(lambda: self._log(X, predicted, self._shares(X) if self.confidence else None, at, took))
        return predicted

    @available_if(_has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any, **parameters: Any) -> Any:  # noqa: N803
        """Predict probabilities, and log each row with the most probable output."""
        at, started = datetime.now(UTC), time.perf_counter()
        shares = self.estimator.predict_proba(X, **parameters)
        took = (time.perf_counter() - started) * 1000
        if not isinstance(shares, list):  # which it is for several outputs at once
            self.teller.quietly(lambda: self._log(X, None, shares, at, took))
        return shares

    @available_if(_has("score"))  # type: ignore[untyped-decorator]
    def score(self, X: Any, y: Any = None, **parameters: Any) -> Any:  # noqa: N803
        """Score the estimator inside; nothing is logged."""
        return self.estimator.score(X, y, **parameters)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "estimator":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.estimator, name)

    def __sklearn_tags__(self) -> Any:
        return self.estimator.__sklearn_tags__()

    def __sklearn_is_fitted__(self) -> bool:
        from sklearn.exceptions import NotFittedError
        from sklearn.utils.validation import check_is_fitted

        try:
            check_is_fitted(self.estimator)
        except NotFittedError:
            return False
        return True

    def _shares(self, X: Any) -> Any:  # noqa: N803
        if not hasattr(self.estimator, "predict_proba") or not hasattr(self.estimator, "classes_"):
            return None
        shares = self.estimator.predict_proba(_head(X, self.max_rows))
        return None if isinstance(shares, list) else shares

    def _log(self, X: Any, predicted: Any, shares: Any, at: datetime, took: float) -> None:  # noqa: N803
        total = len(predicted if predicted is not None else shares)
        classes = [_plain(one) for one in getattr(self.estimator, "classes_", ())] if shares is not None else []
        logged: list[str] = []
        for place, row in enumerate(itertools.islice(_rows(X, self.estimator), self.max_rows)):
            fields: dict[str, Any] = {"input": row, "at": at, "latency_ms": took / total, "model": self.model}
            if shares is not None and classes:
                each = [float(share) for share in shares[place]]
                best = max(range(len(each)), key=each.__getitem__)
                fields["confidence"] = min(1.0, max(0.0, each[best]))
                fields["scores"] = {str(label): share for label, share in zip(classes, each, strict=True)}
                fields["output"] = classes[best]
            if predicted is not None:
                fields["output"] = _plain(predicted[place] if not hasattr(predicted, "iloc") else predicted.iloc[place])
            if classes and predicted is not None and fields["output"] in classes:
                fields["confidence"] = fields["scores"][str(fields["output"])]
            fields["id"] = self.ids(row, place) if self.ids is not None else fresh_id()
            if total > 1:
                fields["extra"] = {"rows_in_call": total}
            logged.append(self.teller.to.log(**fields))
        self._last_ids = logged
        if total > self.max_rows:
            self.teller.unrecorded["rows beyond max_rows"] += total - self.max_rows


def _head(X: Any, rows: int) -> Any:  # noqa: N803
    return X.iloc[:rows] if hasattr(X, "iloc") else X[:rows]


def _rows(X: Any, estimator: Any) -> Iterator[Any]:  # noqa: N803
    """Each row as JSON: by column name where there are names; of a sparse matrix what is not zero."""
    if hasattr(X, "iloc"):
        names = [str(name) for name in X.columns] if hasattr(X, "columns") else None
        for place in range(len(X)):
            row = X.iloc[place]
            values = row.tolist() if hasattr(row, "tolist") else row
            yield values if names is None else {name: _plain(one) for name, one in zip(names, values, strict=True)}
        return
    if hasattr(X, "tocsr"):
        rows = X.tocsr()
        for place in range(rows.shape[0]):
            row = rows[place : place + 1].tocoo()
            yield {str(int(column)): _plain(one) for column, one in zip(row.col, row.data, strict=True)}
        return
    names = _names(estimator)
    for one in X:
        row = _plain(one)
        named = names is not None and isinstance(row, list) and len(row) == len(names)
        yield dict(zip(names, row, strict=True)) if named and names is not None else row


def _names(estimator: Any) -> list[str] | None:
    known: Sequence[Any] | None = getattr(estimator, "feature_names_in_", None)
    return None if known is None else [str(name) for name in known]


def _plain(value: Any) -> Any:
    """numpy's numbers and arrays as Python's; NaN, which JSON does not have, as null."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and value != value else value
