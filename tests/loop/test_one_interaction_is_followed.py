"""One interaction of a log whose answers are known: what says it failed, what is like it, where it went."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bank import SAYS, knows, play
from flywheel import wheel
from flywheel.errors import InvalidConfig, NotFound

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def spun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A champion that has never heard of `login`; its failures are labelled, a second version learns them."""
    with wheel.open(tmp_path_factory.mktemp("spun"), task="classification") as fw:
        truth = play(fw, 160, "i{}".format)
        fw.spin(budget=40, labeler=knows(truth))
        fw.__dict__["truth"] = truth
        yield fw


def labelled(fw: Any, wrong: bool) -> str:
    """An interaction of the last dataset that the first champion got wrong, or right."""
    newest = fw.dataset(fw.datasets()[-1].hash)
    return next(one.interaction_id for one in newest.examples if one.interaction_id and one.failure == wrong)


def test_evidence_is_weighed_as_a_spin_weighs_it(spun: Any) -> None:
    by_list = {one.interaction_id: one for one in spun.failures(limit=1000)}
    for id in list(by_list)[:5]:
        found = spun.belief(id)
        assert found.probability == pytest.approx(by_list[id].probability, abs=1e-6)
        assert {one.kind for one in by_list[id].evidence} <= {one.kind for one in found.evidence}
        assert found.mode == by_list[id].mode


def test_a_trusted_label_settles_it_and_is_named(spun: Any) -> None:
    found = spun.belief(labelled(spun, True))
    assert found.settled
    assert found.probability == pytest.approx(0.99)
    assert found.label == "login"
    assert found.spin == 2
    right = spun.belief(labelled(spun, False))
    assert right.probability == pytest.approx(0.01)
    assert right.evidence[0].weight < 0


def test_evidence_for_and_against_has_its_sign(tmp_path: Path) -> None:
    with wheel.open(tmp_path) as fw:
        ids = [fw.log(input="a", output="b", confidence=0.2), fw.log(input="a", output="b", confidence=0.99)]
        plain = fw.log(input="a", output="b")
        fw.feedback(ids[0], rating=-1)
        fw.feedback(ids[1], rating=1)
        doubted, praised, silent = (fw.belief(id) for id in (*ids, plain))
    assert {one.kind: one.weight > 0 for one in doubted.evidence} == {"negative_rating": True, "doubt": True}
    assert {one.kind: one.weight < 0 for one in praised.evidence} == {"positive_rating": True, "doubt": True}
    assert silent.evidence == ()
    assert silent.probability == pytest.approx(silent.base)
    assert praised.probability < silent.probability < doubted.probability
    assert (silent.spin, silent.mode, silent.label) == (None, None, None)


def test_what_was_asked_again_is_seen_although_one_is_looked_at(tmp_path: Path) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    with wheel.open(tmp_path, detect={"detectors": ["repeated"]}) as fw:
        first = fw.log(input="where is my card", output="b", session="s", at=at)
        fw.log(input="where is my card", output="b", session="s", at=at + timedelta(seconds=20))
        assert [one.kind for one in fw.belief(first).evidence] == ["repeated"]


def test_neighbours_are_the_most_alike_and_say_whether_they_were_right(spun: Any) -> None:
    wrong = labelled(spun, True)
    near = spun.neighbours(wrong, k=20)
    assert near.among == 159
    assert wrong not in {one.interaction_id for one in near.found}
    assert {spun.truth[one.interaction_id] for one in near.found} == {"login"}
    likeness = [one.likeness for one in near.found]
    assert likeness == sorted(likeness, reverse=True)
    told = [one for one in near.found if one.label is not None]
    assert told
    assert all(one.right == (one.output == spun.truth[one.interaction_id]) for one in told)
    assert any(one.right is None for one in near.found)


def test_the_search_for_neighbours_is_bounded_and_says_so(spun: Any, tmp_path: Path) -> None:
    assert spun.neighbours("i0", among=25).among <= 25
    assert {int(one.interaction_id[1:]) for one in spun.neighbours("i0", k=9, among=25).found} <= set(range(135, 160))
    for k, among in ((0, 10), (101, 10), (1, 0), (1, 20_001)):
        with pytest.raises(InvalidConfig, match="k goes from"):
            spun.neighbours("i0", k, among=among)
    with wheel.open(tmp_path) as fw:
        alone = fw.log(input="a", output="b")
        assert fw.neighbours(alone).found == ()


@pytest.mark.parametrize(
    "inputs",
    [
        [[0.0, 1.0], [0.1, 1.0], [5.0, -4.0], [5.1, -4.0]],
        [{"age": age, "job": job} for age, job in ((20, "cook"), (21, "cook"), (70, "judge"), (71, "judge"))],
        [{"n": 1, "text": text} for text in (
            "I lost my card in the city of Bern yesterday", "lost my card in Bern, the city, on my way",
            "what does a transfer to another country cost me", "cost of a transfer to a foreign country",
        )],
        [[{"role": "user", "content": said}]
         for said in ("lost card", "my card is lost", "exchange rate", "rate of exchange")],
        ["lost card", "a lost card", ["exchange", "rate"], [["exchange", "rates"]]],
        [None, None, 7, 7],
    ],
    ids=["vectors", "records", "records with prose", "chats", "of any kind", "scalars"],
)  # fmt: skip
def test_every_kind_of_input_has_neighbours(tmp_path: Path, inputs: list[Any]) -> None:
    with wheel.open(tmp_path) as fw:
        ids = [fw.log(input=value, output="x") for value in inputs]
        for place, partner in ((0, 1), (2, 3)):
            assert fw.neighbours(ids[place], k=1).found[0].interaction_id == ids[partner]


def test_what_is_of_another_form_is_no_neighbour_and_changes_nothing(tmp_path: Path) -> None:
    with wheel.open(tmp_path) as fw:
        ids = [fw.log(input=value, output="x") for value in ([0.0, 1.0], [0.2, 1.0], [5.0, -4.0])]
        before = fw.neighbours(ids[0]).found
        for value in ("0.0 1.0", {"a": 0.0}, [0.0, 1.0, 2.0], [{"role": "user", "content": "0.0 1.0"}]):
            fw.log(input=value, output="x")
        assert fw.neighbours(ids[0]).found == before


def test_the_datasets_it_entered_say_what_it_proves(spun: Any) -> None:
    wrong = labelled(spun, True)
    [entry], older = spun.entered(wrong)
    newest = spun.dataset(spun.datasets()[-1].hash)
    known = {one.id for one in spun.dataset(newest.parent).examples}
    assert entry.dataset == newest.hash
    assert (entry.label, entry.origin, entry.spin, older) == ("login", "review", 2, 0)
    assert entry.proves == ("fresh and suite" if entry.audit else "fresh")
    assert entry.example not in known
    assert spun.entered(next(id for id in spun.truth if not spun.lineage(id)["datasets"])) == ([], 0)


def test_what_a_later_champion_was_trained_on_is_in_the_suite(spun: Any) -> None:
    from flywheel.curate.entered import entered
    from flywheel.records import Dataset, Example
    from flywheel.store import Store

    class Kept:
        """The datasets of a wheel that has spun thrice, by hand."""

        made = (
            Dataset(hash="a", examples=(Example(id="e1", input=1, label=1, interaction_id="i"),), spin=1),
            Dataset(
                hash="b", parent="a", spin=2,
                examples=(
                    Example(id="e1", input=1, label=1, interaction_id="i"),
                    Example(id="e2", input=1, label=1, interaction_id="i", origin="group"),
                ),
            ),
        )  # fmt: skip

        def datasets(self) -> list[Dataset]:
            return list(self.made)

        def datasets_of(self, id: str) -> list[str]:
            return [one.hash for one in self.made]

        def dataset(self, hash: str) -> Dataset:
            return next(one for one in self.made if one.hash == hash)

        living_dataset = dataset

    assert Store is not None
    found, older = entered(Kept(), "i")  # type: ignore[arg-type]
    assert [(one.dataset, one.example, one.proves) for one in found] == [
        ("b", "e1", "suite"), ("b", "e2", "nothing"), ("a", "e1", "fresh")
    ]  # fmt: skip
    assert older == 0
    assert entered(Kept(), "i", most=1)[1] == 1  # type: ignore[arg-type]


def test_each_version_s_answer_is_there_with_whether_it_is_right(spun: Any) -> None:
    wrong = labelled(spun, True)
    found = {one.role: one for one in spun.replays(wrong)}
    assert found["champion"].version == "v1"
    assert found["champion"].right is False
    assert found["champion"].how == "asked"
    assert found["candidate"].version == "v2"
    assert found["candidate"].how == "cross-fitted"
    assert found["candidate"].right == (found["candidate"].output == "login")
    assert found["champion now"].label == "login"
    logged, _ = spun.interaction(wrong)
    assert found["champion"].output == logged.output


def test_what_entered_no_dataset_is_asked_of_the_champion_alone(spun: Any) -> None:
    free = next(id for id in spun.truth if not spun.lineage(id)["datasets"])
    [only] = spun.replays(free)
    assert (only.role, only.how, only.label, only.right) == ("champion now", "asked", None, None)
    assert only.output in SAYS


def test_an_id_that_is_none_is_refused_by_every_verb(spun: Any) -> None:
    for verb in (spun.belief, spun.neighbours, spun.entered, spun.replays):
        with pytest.raises(NotFound, match="there is no interaction"):
            verb("nothing")
