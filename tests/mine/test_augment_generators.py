"""What damages inputs is learnt from the inputs that fail, and done to examples that keep their origin."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from flywheel.mine.augment import Operation, images, propose, shown_by, smote, synthesise, text
from flywheel.records import Example

AT = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = tuple("where when what card account transfer balance money change address payment please order".split())  # noqa: SIM905


def sentences(n, seed):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=6)) for _ in range(n)]


def mistyped(said, rng, kinds=("replaced", "swapped", "dropped", "doubled"), rate=0.3):
    return text.disturb(said, "typing", {"rate": rate, **dict.fromkeys(kinds, 1.0)}, rng)[0]


def squares(n, seed, side=14):
    """Bright bars on a dark ground, as ink is."""
    rng = np.random.default_rng(seed)
    x = np.zeros((n, side, side), dtype=np.float32)
    for one in x:
        a, b = rng.integers(3, side - 5, 2)
        one[a : a + 2, 3 : side - 3] = 220
        one[3 : side - 3, b : b + 2] = 220
    return np.clip(x + rng.normal(0, 4, x.shape), 0, 255)


def scanned(x, rng):
    y = np.stack([ndimage.gaussian_filter(ndimage.shift(one, (0, -1.5)), 0.9) for one in x])
    return np.clip(0.5 * y + 70 + rng.normal(0, 15, y.shape), 0, 255)


def examples(inputs, labels=None, **more):
    labels = labels or ["a"] * len(inputs)
    return [
        Example(id=f"e{i}", input=x, label=y, origin="seed", group=f"g{i}", fold=i % 5, **more)
        for i, (x, y) in enumerate(zip(inputs, labels, strict=True))
    ]


@pytest.mark.parametrize("kind", ["replaced", "swapped", "dropped", "doubled"])
def test_the_kind_of_typing_error_is_recognised(kind):
    rng = np.random.default_rng(1)
    failed = [mistyped(said, rng, [kind]) for said in sentences(200, 2)]
    found = text.learn(failed, sentences(400, 1))
    assert found[0].name == "typing"
    rates = {
        name: found[0].parameters.get(name, 0.0) for name in ("replaced", "swapped", "dropped", "doubled", "added")
    }
    assert max(rates, key=rates.get) == kind, rates
    assert rates[kind] > 0.7
    assert 0.15 < found[0].parameters["rate"] < 0.45


def test_the_letters_that_were_confused_are_learnt():
    failed = [said.replace("a", "ä") for said in sentences(100, 3)]
    found = text.learn(failed, sentences(400, 1))
    assert next(iter(found[0].parameters["letters"])) == "aä"
    made = [text.disturb(said, "typing", found[0].parameters, np.random.default_rng(i))[0] for i, said in
            enumerate(sentences(50, 9))]  # fmt: skip
    assert sum("ä" in said for said in made) > 15


def test_cut_texts_and_joined_words_and_capitals_are_recognised():
    rng = np.random.default_rng(0)
    known = sentences(300, 1)
    cut = [text.disturb(said, "cutting", {}, rng)[0] for said in sentences(100, 2)]
    assert "cutting" in [one.name for one in text.learn(cut, known)]
    joined = [said.replace(" ", "", 1) for said in sentences(100, 3)]
    assert text.learn(joined, known)[0].name == "spacing"
    assert "upper" in [one.name for one in text.learn([said.upper() for said in sentences(50, 4)], known)]


def test_more_of_the_same_texts_teach_no_damage():
    found = [one.name for seed in range(40) for one in text.learn(sentences(60, 100 + seed), sentences(200, seed))]
    assert len(found) <= 2, found


@settings(max_examples=60, deadline=None)
@given(
    st.text(max_size=60),
    st.sampled_from(["typing", "spacing", "cutting", "upper", "lower", "title"]),
    st.integers(0, 9),
)
def test_any_text_can_be_disturbed(said, name, seed):
    parameters = {"rate": 0.5, "replaced": 1.0, "swapped": 1.0, "dropped": 1.0, "doubled": 1.0, "added": 1.0,
                  "joined": 1.0, "split": 1.0, "letters": {"ab": 1}}  # fmt: skip
    one, done = text.disturb(said, name, parameters, np.random.default_rng(seed))
    two, _ = text.disturb(said, name, parameters, np.random.default_rng(seed))
    assert one == two
    assert (one == said) or done


def test_a_second_scanner_is_imitated():
    rng = np.random.default_rng(0)
    plain, other = squares(300, 1), scanned(squares(200, 2), rng)
    failed = [one.ravel().tolist() for one in [*other[:80], *squares(80, 3)]]  # half of the failures are no scan
    found = images.learn(failed, [one.ravel().tolist() for one in plain])
    assert found[0].name == "scan"
    theta = found[0].parameters
    assert 0.15 <= theta["offset"] <= 0.35
    assert theta["gain"] < 0.9
    assert theta["right"] < 0
    assert {"noise", "blur"} & set(theta)
    made = images.disturb(plain, theta, [0])
    away = [
        float(np.abs(np.sort(x, axis=None) - np.sort(other[:200], axis=None)).mean()) for x in (plain[:200], made[:200])
    ]
    assert away[1] < 0.35 * away[0]
    assert made.min() >= plain.min()
    assert made.max() <= plain.max()


def test_more_of_the_same_pictures_teach_no_damage():
    plain = [one.ravel().tolist() for one in squares(200, 1)]
    found = [images.learn([one.ravel().tolist() for one in squares(60, 100 + seed)], plain) for seed in range(20)]
    assert sum(map(bool, found)) <= 1


def test_synthetic_examples_keep_their_lineage_group_and_fold():
    known = examples(sentences(100, 1), [f"l{i % 4}" for i in range(100)])
    rng = np.random.default_rng(0)
    operations = propose({f"i{i}": mistyped(said, rng) for i, said in enumerate(sentences(60, 2))}, known)
    made = synthesise(operations, known, most=40)
    assert 38 <= len(made) <= 40  # what an edit left as it was is no example
    parents = {example.id: example for example in known}
    for one in made:
        parent = parents[one.made["of"][0]]
        assert (one.origin, one.audit, one.failure) == ("synthetic", False, False)
        assert (one.group, one.fold, one.label) == (parent.group, parent.fold, parent.label)
        assert one.made["operation"] == "typing"
        assert one.made["parameters"] == operations[0].parameters
        assert one.made["done"]
        assert one.input != parent.input
    assert made == synthesise(operations, known[::-1], most=40)
    assert len({one.id for one in made}) == len(made)


def test_chats_and_whole_numbers_keep_their_form():
    chats = [{"messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": said}]} for said in
             sentences(80, 1)]  # fmt: skip
    made = synthesise([Operation(name="upper", kind="text")], examples(chats), most=5)
    assert all(one.input["messages"][0]["content"] == "be kind" for one in made)
    assert all(one.input["messages"][1]["content"].isupper() for one in made)
    pixels = [np.rint(one).astype(int).ravel().tolist() for one in squares(80, 1)]
    scan = Operation(name="noise", kind="image", parameters={"noise": 0.1, "low": 0.0, "high": 255.0})
    assert all(
        isinstance(v, int) and 0 <= v <= 255 for one in synthesise([scan], examples(pixels), most=3) for v in one.input
    )


def test_what_is_damaged_already_is_not_damaged_again():
    known = examples(sentences(100, 1))
    rng = np.random.default_rng(0)
    bad = [Example(id=f"b{i}", input=mistyped(said, rng, rate=0.9), label="a", failure=True) for i, said in
           enumerate(sentences(30, 5))]  # fmt: skip
    typing = Operation(name="typing", kind="text", parameters={"rate": 0.3, "swapped": 1.0})
    shown = shown_by(typing, [*known, *bad], [*known, *bad])
    assert len(shown & {one.id for one in bad}) > 20
    assert not shown & {one.id for one in known}
    made = synthesise([typing], [*known, *bad], most=60)
    assert not {one.made["of"][0] for one in made} & shown


def test_smote_stays_within_a_mode_a_label_and_a_fold():
    rng = np.random.default_rng(0)
    rows = [{"age": int(a), "income": float(a * 10 + rng.normal()), "job": "cook" if a < 40 else "clerk"} for a in
            rng.integers(20, 60, 120)]  # fmt: skip
    known = examples(rows, ["yes" if row["age"] < 40 else "no" for row in rows])
    failed = [
        Example(
            id=f"f{i}", input={"age": 25 + i, "income": 250.0 + 10 * i, "job": "cook"}, label="yes", mode="m1",
            failure=True, fold=i % 2, group=f"h{i}", interaction_id=f"x{i}",
        )
        for i in range(6)
    ]  # fmt: skip
    made = synthesise(propose({}, [*known, *failed]), [*known, *failed], most=20)
    by_id = {one.id: one for one in [*known, *failed]}
    assert len(made) == 20
    for one in made:
        first, second = (by_id[key] for key in one.made["of"])
        assert first.failure
        assert first.label == second.label == one.label == "yes"
        assert first.fold == second.fold == one.fold
        low, high = sorted([first.input["income"], second.input["income"]])
        assert low <= one.input["income"] <= high
        assert one.input["job"] == "cook"
        assert isinstance(one.input["age"], int)
        assert one.mode == "m1"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5), st.floats(0, 1), st.integers(0, 99))
def test_what_lies_between_is_between(one, share, seed):
    other = np.random.default_rng(seed).normal(size=len(one)).tolist()
    for a, b, c in zip(one, other, smote.between(one, other, [], share), strict=True):
        assert min(a, b) - 1e-6 <= c <= max(a, b) + 1e-6
