"""An export imported elsewhere is the same log, and a column that is named leaves the other guesses standing."""

from datetime import UTC, datetime

import pytest

import flywheel
from flywheel.errors import InvalidConfig, NotFound

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
OPTIONS = {"release": {"registry": "folder"}}


def facts(fw):
    rows, after = [], 0
    while batch := fw._store.log.read(after):
        rows += [(row.kind, row.id, row.body) for row in batch]
        after = batch[-1].seq
    return sorted(rows)


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_a_log_goes_out_and_in_unchanged(tmp_path, suffix):
    with (
        flywheel.open(tmp_path / "one", task="classification", **OPTIONS) as one,
        flywheel.open(tmp_path / "two", task="classification", privacy={"pseudonyms": False}, **OPTIONS) as two,
    ):
        for number, text in enumerate(["where is my card", "=1+1", "über, 'quotes' and \"more\"", "a\nb"]):
            one.log(
                id=f"i{number}", at=AT, input=text, output="card", confidence=0.25, user="u1",
                scores={"card": 0.25, "loan": 0.2}, context={"device": "ios", "floor": 3, "new": True},
            )  # fmt: skip
            one.feedback(f"i{number}", id=f"f{number}", at=AT, rating=-1)
        for what in ("interactions", "feedback"):
            path = tmp_path / f"{what}.{suffix}"
            assert one.export(what, path) == 4
            report = two.import_(path)
            assert (report.stored, report.rejected) == (4, 0), what
        assert facts(two) == facts(one)


def test_a_named_column_leaves_the_other_guesses_standing(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("question,answer,moment,device\nhello,hi,2026-03-02T09:00:00Z,ios\n")
    with flywheel.open(tmp_path / "bot", task="classification", **OPTIONS) as fw:
        report = fw.import_(path, mapping={"at": "moment"})
        assert report.mapping == {"at": "moment", "input": "question", "output": "answer", "context.device": "device"}
        assert report.stored == 1
        with pytest.raises(InvalidConfig, match="Did you mean 'input'"):
            fw.import_(path, mapping={"inputt": "question"})
        with pytest.raises(InvalidConfig, match="Did you mean 'question'"):
            fw.import_(path, mapping={"input": "questoin"})


def test_an_unknown_id_has_no_lineage(tmp_path):
    with (
        flywheel.open(tmp_path / "bot", task="classification", **OPTIONS) as fw,
        pytest.raises(NotFound, match="nosuch"),
    ):
        fw.lineage("nosuch")


def test_the_doctor_tells_why_records_were_refused(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(b"caf\xe9,output\nna\xefve,x\n")
    with flywheel.open(tmp_path / "bot", task="classification", **OPTIONS) as fw:
        assert fw.import_(path).rejected == 1
        line = next(check["line"] for check in fw.doctor() if check["name"] == "dead letters")
        assert "1 × " in line
