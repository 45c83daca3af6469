"""Failures fall into the groups they have, with names people understand and ids that last."""

from datetime import UTC, datetime

import numpy as np
import pytest
from diagnose_window import WindowOf as window_of

from flywheel.config import DetectSettings, DiagnoseSettings
from flywheel.diagnose import detect, failures, group, signs
from flywheel.diagnose.embed import FeatureEmbedder, TextEmbedder
from flywheel.diagnose.evidence import context_shares
from flywheel.records import Failure

AT = datetime(2026, 1, 1, tzinfo=UTC)
SUBJECTS = {
    "card": "card arrival delivery post envelope waiting",
    "rate": "exchange rate euro dollar conversion market",
    "pin": "pin forgotten reset blocked tries code",
}
FILLERS = ["hello", "please", "today", "again", "quickly", "honestly", "somehow", "really", "still", "anyway"]


def texts(subjects, spin=1, each=30):
    rng = np.random.default_rng(spin)
    found = []
    for subject in subjects:
        words = SUBJECTS[subject].split()
        for k in range(each):
            said = [words[0], *rng.choice(words[1:], 3, replace=False), *rng.choice(FILLERS, 2, replace=False)]
            found.append(
                Failure(
                    interaction_id=f"{spin}-{subject}-{k}",
                    at=AT,
                    probability=0.9,
                    input=" ".join(said),
                    output="lost_card" if subject == "card" else f"other{k % 5}",
                )
            )
    return found


def modes_of(found, previous=(), inputs=None, spin=1, embedder=None, **options):
    return group(
        found,
        previous,
        spin=spin,
        total=sum(f.probability for f in found),
        window_size=1000,
        embedder=embedder or TextEmbedder(),
        previous_inputs=inputs or {},
        settings=DiagnoseSettings(),
        **options,
    )


def test_subjects_become_modes_named_by_their_words():
    found = texts(SUBJECTS)
    modes, assigned = modes_of(found)
    subject_of = {mode.id: {key.split("-")[1] for key, m in assigned.items() if m == mode.id} for mode in modes}
    assert all(len(subjects) == 1 for subjects in subject_of.values())
    assert 3 <= len(modes) <= 4
    name = {next(iter(subject_of[mode.id])): mode.name for mode in reversed(modes)}
    assert name["card"].startswith('"card')
    assert name["card"].endswith("answered as lost_card")
    assert "exchange" in name["rate"]
    assert "pin" in name["pin"]
    assert sum(mode.count for mode in modes) == pytest.approx(90 * 0.9)
    assert modes[0].share == pytest.approx(modes[0].count / 1000)


def test_the_same_failures_give_the_same_modes_in_any_order():
    found = texts(SUBJECTS)
    assert modes_of(found) == modes_of(found[::-1])


def test_a_mode_keeps_its_id_from_spin_to_spin_and_a_new_one_gets_its_own():
    first, _ = modes_of(texts(["card", "rate"]))
    inputs = {f.interaction_id: f.input for f in texts(["card", "rate"])}
    second, assigned = modes_of(texts(["pin", "rate"], spin=2, each=40), first, inputs, spin=2)
    before = {"card" if "card" in m.name else "rate": m.id for m in first}
    after = {key.split("-")[1]: mode for key, mode in assigned.items()}
    assert after["rate"] == before["rate"]
    assert after["pin"] not in before.values()
    kept = next(m for m in second if m.id == after["rate"])
    assert (kept.first_spin, kept.last_spin) == (1, 2)


def test_a_matched_mode_keeps_its_state():
    from dataclasses import replace

    found = texts(["card", "rate"])
    first, _ = modes_of(found)
    fixed = [replace(mode, state="fixed", fixed_in="v3") for mode in first]
    second, _ = modes_of(texts(["card", "rate"], spin=2), fixed, {f.interaction_id: f.input for f in found}, spin=2)
    kept = [mode for mode in second if mode.id in {m.id for m in first}]
    assert len(kept) >= 2
    assert {(mode.state, mode.fixed_in) for mode in kept} == {("fixed", "v3")}
    assert all(mode.state == "open" for mode in second if mode not in kept)


def test_few_failures_are_no_mode_and_one_kind_is_not_split():
    assert modes_of([]) == ([], {})
    assert modes_of(texts(["card"], each=2)) == ([], {})
    same = [Failure(interaction_id=f"s{k}", at=AT, probability=0.8, input="hello", output="x") for k in range(40)]
    modes, assigned = modes_of(same)
    assert len(modes) == 1
    assert len(assigned) == 40


def test_noise_without_structure_is_not_cut_into_many_modes():
    rng = np.random.default_rng(0)
    found = [
        Failure(interaction_id=f"n{k:03}", at=AT, probability=0.9, input=rng.normal(size=20).tolist(), output=k % 7)
        for k in range(150)
    ]
    assert len(modes_of(found, embedder=FeatureEmbedder())[0]) <= 2


def test_records_are_named_by_the_values_that_set_them_apart():
    rng = np.random.default_rng(1)
    found = [
        Failure(
            interaction_id=f"r{k:03}",
            at=AT,
            probability=0.9,
            input={
                "age": float(rng.normal(75 if k < 40 else 35, 3)),
                "job": "retired" if k < 40 else ["cook", "judge"][k % 2],
            },
            output="no",
        )
        for k in range(80)
    ]
    modes, assigned = modes_of(found, embedder=FeatureEmbedder())
    old = next(mode for mode in modes if mode.id == assigned["r001"])
    assert "age high" in old.name or "job=retired" in old.name
    assert {assigned[f"r{k:03}"] for k in range(40)} == {old.id}
    assert old.id not in {assigned[f"r{k:03}"] for k in range(40, 80)}


class Exact:
    name = "classification"

    def correct(self, output, truth):
        return output == truth


def digits(seed, labelled=0.15):
    """Traffic of digits to a model that has never seen 8 and 9, a quarter through a blurred and noisy scanner."""
    from scipy.ndimage import gaussian_filter
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(seed)
    data = load_digits()
    order = rng.permutation(len(data.data))
    x, y = data.data[order], data.target[order]
    seen = np.flatnonzero(y[:300] < 8)
    model = LogisticRegression(max_iter=2000, C=0.01).fit(x[seen], y[seen])
    x, y = x[300:].copy(), y[300:]
    scanner = rng.random(len(x)) < 0.25
    for k in np.flatnonzero(scanner):
        x[k] = np.clip(gaussian_filter(x[k].reshape(8, 8), 0.8) + rng.normal(0, 3, (8, 8)), 0, 16).ravel()
    scores = model.predict_proba(x)
    said = model.classes_[scores.argmax(axis=1)]
    rows = [
        {
            "input": x[k].round(2).tolist(),
            "output": int(said[k]),
            "confidence": float(scores[k].max()),
            "context": {"scanner": "B" if scanner[k] else "A"},
        }
        for k in range(len(x))
    ]
    told = [
        {"of": f"i{k + 1}", "kind": "rating", "value": -1}
        for k in range(len(x))
        if rng.random() < (0.6 if said[k] != y[k] else 0.02)
    ]
    told += [
        {"of": f"i{k + 1}", "kind": "label", "value": int(y[k]), "source": "reviewer"}
        for k in range(len(x))
        if rng.random() < labelled
    ]
    truth = {f"i{k + 1}": "scanner" if scanner[k] else str(y[k]) if y[k] >= 8 else "known" for k in range(len(x))}
    return window_of(rows, told), truth, (x, y)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_unseen_digits_and_a_bad_scanner_become_modes(seed):
    from sklearn.metrics import normalized_mutual_info_score

    window, truth, _ = digits(seed)
    found = failures(window, detect(signs(window, DetectSettings())), seed=seed)
    modes, assigned = modes_of(
        found, embedder=FeatureEmbedder(), task=Exact(), seed=seed, shares=context_shares(window)
    )
    ids = [f.interaction_id for f in found]
    score = normalized_mutual_info_score([truth[key] for key in ids], [assigned.get(key, "") for key in ids])
    assert score > 0.5
    names = [mode.name for mode in modes]
    assert any("scanner=B" in name for name in names), names
    assert any("8" in name for name in names), names
    assert any("people say 9" in name or "misses 9" in name for name in names), names
    for mode in modes:
        here = [truth[key] for key, m in assigned.items() if m == mode.id]
        if "scanner=B" in mode.name:
            assert here.count("scanner") / len(here) > 0.9


def test_a_context_that_failures_share_with_all_traffic_splits_nothing():
    rng = np.random.default_rng(5)
    rows = [
        {"input": rng.normal(size=20).tolist(), "output": 1, "error": "x", "context": {"device": ["ios", "web"][k % 2]}}
        for k in range(300)
    ]
    window = window_of(rows)
    found = failures(window, detect(signs(window, DetectSettings())))
    modes, _ = modes_of(found, embedder=FeatureEmbedder(), shares=context_shares(window))
    assert not any("device" in mode.name for mode in modes)
