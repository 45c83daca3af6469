"""scikit-learn: a watched estimator predicts as before, logs each row, and is an estimator still."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.utils.validation import check_is_fitted
from told import Told

from flywheel.capture.integrations import watch_estimator

X = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 2.0], [2.0, 0.0]] * 5)
Y = np.array(["b", "a", "b", "a"] * 5)


@pytest.fixture
def told():
    return Told()


def test_predictions_are_logged_per_row(told):
    fitted = LogisticRegression().fit(X, Y)
    watched = watch_estimator(fitted, told, model="v7", ids=lambda row, place: f"r{place}")
    predicted = watched.predict(X[:3])
    assert (predicted == fitted.predict(X[:3])).all()
    assert [seen["input"] for seen in told.seen] == X[:3].tolist()
    assert [seen["output"] for seen in told.seen] == predicted.tolist()
    shares = fitted.predict_proba(X[:3])
    assert [seen["confidence"] for seen in told.seen] == pytest.approx(shares.max(axis=1).tolist())
    assert told.seen[0]["scores"] == pytest.approx({"a": shares[0][0], "b": shares[0][1]})
    assert {seen["model"] for seen in told.seen} == {"v7"}
    assert watched.last_ids == ["r0", "r1", "r2"]
    assert told.seen[0]["extra"] == {"rows_in_call": 3}


def test_probabilities_are_logged_with_the_likeliest_output(told):
    watched = watch_estimator(LogisticRegression().fit(X, Y), told)
    shares = watched.predict_proba(X[:1])
    assert told.seen[0]["output"] == ("a", "b")[int(shares[0].argmax())]
    assert told.seen[0]["confidence"] == pytest.approx(shares[0].max())


def test_texts_frames_and_sparse_rows(told):
    pd = pytest.importorskip("pandas")
    texts = make_pipeline(CountVectorizer(), LogisticRegression()).fit(["card lost", "pin new"], ["a", "b"])
    watch_estimator(texts, told).predict(["card"])
    frame = pd.DataFrame({"age": [1, 2], "city": [0.5, np.nan]})
    watch_estimator(LinearRegression().fit(frame.fillna(0), [1, 2]), told).predict(frame.fillna(0))
    watch_estimator(LogisticRegression().fit(sparse.csr_matrix(X), Y), told).predict(sparse.csr_matrix(X[:1]))
    inputs = [seen["input"] for seen in told.seen]
    assert inputs == ["card", {"age": 1.0, "city": 0.5}, {"age": 2.0, "city": 0.0}, {"1": 1.0}]
    assert told.seen[1]["output"] == pytest.approx(1.0)
    assert "confidence" not in told.seen[1]


def test_it_is_an_estimator_still(told):
    watched = watch_estimator(LogisticRegression(C=2.0), told)
    assert is_classifier(watched)
    assert is_regressor(watch_estimator(LinearRegression(), told))
    assert watched.get_params()["estimator__C"] == 2.0
    copy = clone(watched.set_params(estimator__C=3.0))
    assert copy is not watched
    assert copy.estimator is not watched.estimator
    assert copy.get_params()["estimator__C"] == 3.0
    assert copy.teller is watched.teller
    with pytest.raises(NotFittedError):
        check_is_fitted(copy)
    check_is_fitted(copy.fit(X, Y))
    assert list(copy.classes_) == ["a", "b"]
    assert copy.score(X, Y) == 1.0
    assert told.seen == []
    assert not hasattr(watch_estimator(LinearSVC(), told), "predict_proba")
    with pytest.raises(AttributeError):
        _ = copy.nothing


def test_in_pipelines_searches_and_cross_validation(told):
    pipeline = make_pipeline(watch_estimator(LogisticRegression(), told))
    assert pipeline.fit(X, Y).predict(X[:2]).tolist() == ["b", "a"]
    assert len(told.seen) == 2
    search = GridSearchCV(watch_estimator(LogisticRegression(), told), {"estimator__C": [0.1, 1.0]}, cv=2).fit(X, Y)
    assert search.best_params_["estimator__C"] in (0.1, 1.0)
    assert cross_val_score(watch_estimator(LogisticRegression(), told), X, Y, cv=2).tolist() == [1.0, 1.0]
    assert len(told.seen) == 2  # scoring is not traffic


def test_a_large_call_is_logged_up_to_its_bound(told):
    watched = watch_estimator(LogisticRegression().fit(X, Y), told, max_rows=5, confidence=False)
    assert len(watched.predict(X)) == 20
    assert len(told.seen) == 5
    assert watched.unrecorded == {"rows beyond max_rows": 15}


def test_trouble_stays_inside():
    watched = watch_estimator(LogisticRegression().fit(X, Y), Told(OSError("disk full")))
    assert watched.predict(X[:2]).tolist() == ["b", "a"]
    assert watched.unrecorded == {"OSError": 1}
    with pytest.raises(ValueError, match="features"):
        watched.predict(X[:, :1])
