"""Log messages become templates: the same in any order, at once or bit by bit, and no value of a parameter is kept."""

import csv
import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.errors import InvalidRecord
from flywheel.observe.templates import TemplateMiner
from flywheel.observe.templates.merging import merged
from flywheel.observe.templates.miner import TAILS
from flywheel.observe.templates.shapes import shape_of

LINES = [
    "accepted connection from 10.0.0.7:4121 in 12 ms",
    "accepted connection from 10.0.0.9:80 in 7 ms",
    "wrote /var/lib/data/part-0001.bin (5.2 KB) for user=ada",
    "wrote /srv/x.bin (12 MB) for user=bob",
    "cache miss",
    "cache hit",
    "retry 3 of 5: upstream timed out",
    "flag set to true",
    "flag set to false",
]
TRUTH = [0, 0, 1, 1, 2, 3, 4, 5, 5]


def same_groups(one, other):
    pairs = set(zip(np.asarray(one).tolist(), np.asarray(other).tolist(), strict=True))
    return len(pairs) == len(set(np.asarray(one).tolist())) == len(set(np.asarray(other).tolist()))


def test_known_lines_give_known_templates():
    miner = TemplateMiner()
    ids = miner.mine(LINES)
    assert ids.tolist() == TRUTH
    assert miner.templates == [
        "accepted connection from <*> in <*> ms",
        "wrote <*> (<*>) for user=<*>",
        "cache miss",
        "cache hit",
        "retry <*> of <*>: upstream timed out",
        "flag set to <*>",
    ]
    assert miner.counts.tolist() == [2, 2, 1, 1, 1, 2]


def test_columns_and_gaps_are_taken_as_they_come():
    miner = TemplateMiner()
    column = pa.chunked_array([["cache hit", None], ["", "cache hit"]])
    assert miner.mine(column).tolist() == [0, 1, 1, 0]
    assert miner.mine([]).tolist() == []
    assert miner.mine(pa.array(["cache hit"]).dictionary_encode()).tolist() == [0]


def test_many_words_in_one_place_are_values_and_few_are_sentences():
    few = [("state", "is", word) for word in ("up", "down")]
    many = [("user", name, "left") for name in ("ada", "bob", "eve", "kim", "lou")]
    wholes = merged(few)
    assert all(wholes[one] == one for one in few)
    assert {merged(many)[one] for one in many} == {("user", "<*>", "left")}
    firsts = [(word, "of", "job") for word in ("start", "stop", "halt", "boot", "kill", "wait")]
    assert all(merged(firsts)[one] == one for one in firsts)


def test_lists_and_repeated_groups_are_one():
    assert shape_of("ask <*> to delete blk_<*> blk_<*> blk_<*>") == shape_of("ask <*> to delete blk_<*>")
    assert shape_of("sizes <*>, <*>, <*> end").tokens == shape_of("sizes <*> end").tokens
    assert shape_of("bye bye").tokens == ("bye", "bye")  # words repeated on purpose stay


def test_a_template_keeps_its_id_and_merged_ones_are_resolved():
    miner = TemplateMiner()
    names = ["ada", "bob", "eve", "kim", "lou", "max"]
    first = miner.mine([f"user {name} left" for name in names[:3]])
    assert len(set(first.tolist())) == 3
    later = miner.mine([f"user {name} left" for name in names[3:]])
    assert set(later.tolist()) == {0}
    assert miner.resolve(first).tolist() == [0, 0, 0]
    assert miner.templates[1] == "user <*> left"
    assert miner.counts.tolist()[0] == 6
    assert miner.mine(["user zoe left"]).tolist() == [0]


def test_free_text_behind_a_beginning_is_one_template():
    draw = np.random.default_rng(0)
    words = np.array(["".join(chr(97 + c) for c in draw.integers(0, 26, 6)) for _ in range(500)])
    said = ["user typed this: " + " ".join(draw.choice(words, draw.integers(2, 12))) for _ in range(3 * TAILS)]
    miner = TemplateMiner()
    assert len(set(miner.mine([*said, "cache hit"]).tolist())) == 2
    assert "user typed this <*>" in miner.templates
    assert miner.mine(["user typed this: something new altogether"]).tolist() == miner.mine(said[:1]).tolist()


def test_there_is_a_most():
    draw = np.random.default_rng(1)
    said = ["".join(chr(97 + c) for c in draw.integers(0, 26, 9)) for _ in range(50)]
    miner = TemplateMiner(most=10)
    assert len(set(miner.mine(said).tolist())) == 11
    assert miner.templates[-1] == "<*>"
    assert miner.counts[-1] == 40


def test_no_value_of_a_parameter_is_kept():
    miner = TemplateMiner()
    miner.mine(["login of ada@example.com from 10.1.2.3, card=4111111111111111, file /home/ada/secret.txt"])
    kept = miner.to_json()
    assert not [secret for secret in ("ada", "10.1", "4111", "secret") if secret in kept]


def test_state_that_is_no_state_is_refused():
    for text in ("{}", "nothing", json.dumps({"version": 99}), "[]"):
        with pytest.raises(InvalidRecord, match="not the templates"):
            TemplateMiner.from_json(text)


WORDS = st.sampled_from(["open", "close", "job", "node-7", "a_b", "12", "0xff", "/tmp/x", "user=ada", "(x)", "="])
LOGS = st.lists(st.lists(WORDS, max_size=6).map(" ".join), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(LOGS, st.randoms(use_true_random=False))
def test_the_order_of_messages_does_not_matter(lines, random):
    places = list(range(len(lines)))
    random.shuffle(places)
    straight = TemplateMiner().mine(lines)
    shuffled = TemplateMiner().mine([lines[place] for place in places])
    assert same_groups(straight[places], shuffled)


@settings(max_examples=60, deadline=None)
@given(LOGS, LOGS)
def test_state_goes_to_json_and_back(before, after):
    miner = TemplateMiner()
    ids = miner.mine(before)
    again = TemplateMiner.from_json(miner.to_json())
    assert again.mine(before).tolist() == miner.resolve(ids).tolist()
    one, two = TemplateMiner.from_json(miner.to_json()), TemplateMiner.from_json(miner.to_json())
    assert one.mine(after).tolist() == two.mine(after).tolist()
    assert one.to_json() == two.to_json()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=80), max_size=10))
def test_any_text_is_parsed(lines):
    miner = TemplateMiner()
    ids = miner.mine(lines)
    assert len(ids) == len(lines)
    assert miner.counts.sum() == len(lines)
    assert len(miner.templates) == len(miner.counts)


@pytest.mark.skipif(not os.environ.get("FLYWHEEL_DATA"), reason="FLYWHEEL_DATA names no folder with loghub_2k")
@pytest.mark.parametrize("system", ["Apache", "HDFS", "OpenSSH"])
def test_real_systems_are_grouped_as_people_did(system):
    packed = Path(os.environ["FLYWHEEL_DATA"]) / "loghub_2k" / "loghub_2k_corrected_labels.tar.gz"
    with tarfile.open(packed) as held:
        name = next(one for one in held.getnames() if one.endswith(f"{system}_2k.log_structured_corrected.csv"))
        rows = list(csv.DictReader(io.TextIOWrapper(held.extractfile(name), encoding="utf-8", newline="")))
    found = TemplateMiner().mine([row["Content"] for row in rows])
    truth = np.unique([row["EventTemplate"] for row in rows], return_inverse=True)[1]
    right = [len({*found[truth == one]}) == 1 and len({*truth[found == found[truth == one][0]]}) == 1 for one in truth]
    assert np.mean(right) >= 0.99
