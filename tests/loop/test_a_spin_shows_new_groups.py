"""A spin writes down edge cases with their risk and groups of a class nobody has named; people are shown both."""

import json

import pytest
from typer.testing import CliRunner

import flywheel
from flywheel.cli.app import app

KNOWN = {
    "lost_card": ["i lost my card", "my card is gone", "somebody stole my card", "cannot find my bank card"],
    "balance": ["what is my balance", "how much money do i have", "show the balance", "money left on my account"],
    "transfer": ["send money to anna", "transfer fifty to bob", "wire money abroad", "make a transfer to ines"],
}
NEW = ["where can i park", "pay for parking", "is the parking garage open", "parking fee downtown", "extend my parking"]
SAYS = ["please", "hello", "quickly", "now", "thanks", "today", "again", "kindly", "sorry", "urgent"]


def spun(folder):
    """A window in which twenty requests of forty users are about parking, which the product does not know."""
    fw = flywheel.open(folder, task="classification", observe={"parts": ("levels",)})
    seed = [(f"{text} {word}", label) for label, texts in KNOWN.items() for text in texts for word in SAYS[:4]]
    fw.seed([text for text, _ in seed], [label for _, label in seed])
    asked = [(f"{word} {text}", label) for label, texts in KNOWN.items() for text in texts for word in SAYS[4:]]
    asked += [(f"{word} {text}", "parking") for text in NEW for word in SAYS[:4]]
    fw.log_many(
        {
            "input": text,
            "output": "lost_card" if label == "parking" else label,
            "confidence": 0.3 if label == "parking" else 0.9,
            "user": f"user-number-{n}",
        }
        for n, (text, label) in enumerate(asked)
    )
    fw.spin(budget=15)
    return fw


@pytest.mark.slow
def test_groups_of_a_new_class_reach_the_labeler_and_forget_who_is_erased(tmp_path):
    with spun(tmp_path / "wheel") as fw:
        groups = [group for group in fw.groups() if group.size > 2]
        assert "park" in groups[0].name
        shown = [item for item in fw.review_queue() if item.group is not None]
        assert shown
        assert not any(item.audit for item in shown)
        for case in fw.edge_cases():
            assert 0 <= case.risk <= case.p_failure
            assert 0 < case.exposure <= 1
        said = CliRunner().invoke(app, ["edge-cases", "--json", "--folder", str(fw.folder)])
        assert json.loads(said.output)["groups"][0]["name"] == groups[0].name
        item = shown[0]
        other = next(key for key in item.group.members if key != item.interaction_id)
        receipt = fw.erase(fw.interaction(other)[0].user)
        assert receipt["clean"]
        kept = next(one for one in fw.review_queue() if one.id == item.id)
        assert other not in kept.group.members
        assert not any(other in group.members for group in fw.groups())
