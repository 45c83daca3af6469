"""The model a team already has is kept without pickle, or refused with the reason."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from flywheel.errors import InvalidConfig, InvalidRecord, UntrustedModel
from flywheel.train import load_adopted, save_adopted

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 4))
Y = np.where(X[:, 0] > 0, "up", "down")


@pytest.mark.parametrize(
    "model",
    [make_pipeline(StandardScaler(), LogisticRegression()), RandomForestClassifier(5, random_state=0)],
    ids=["pipeline", "forest"],
)
def test_an_estimator_answers_the_same_after_a_round_trip(model, tmp_path):
    model.fit(X, Y)
    save_adopted(model, tmp_path)
    said = load_adopted(tmp_path).predict(X.tolist())
    assert said.outputs == model.predict(X).tolist()
    np.testing.assert_allclose(said.scores, model.predict_proba(X))
    assert said.labels == ("down", "up")


def test_texts_and_numbers(tmp_path):
    save_adopted(
        make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["ab cd", "ef gh"] * 5, [0, 1] * 5), tmp_path
    )
    assert load_adopted(tmp_path).predict(["ab"]).outputs == [0]
    save_adopted(LinearRegression().fit(X, X[:, 1]), tmp_path)
    assert load_adopted(tmp_path).predict(X[:1].tolist()).outputs[0] == pytest.approx(X[0, 1])


def test_the_bad_input_is_named(tmp_path):
    save_adopted(LogisticRegression().fit(X, Y), tmp_path)
    with pytest.raises(InvalidRecord, match=r"inputs\[2\].*None"):
        load_adopted(tmp_path).predict([X[0].tolist(), X[1].tolist(), None])


def test_foreign_types_and_other_things_are_refused(tmp_path):
    model = make_pipeline(FunctionTransformer(test_the_bad_input_is_named), LogisticRegression())
    model.steps[1][1].fit(X, Y)
    with pytest.raises(UntrustedModel, match="test_the_bad_input_is_named"):
        save_adopted(model, tmp_path)
    with pytest.raises(InvalidConfig, match="not a scikit-learn estimator"):
        save_adopted(lambda rows: rows, tmp_path)
    assert not (tmp_path / "model.skops").exists()
