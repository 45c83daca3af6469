"""Every command answers in JSON and on the screen, and fails with a sentence and an exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (["status"], dict),
        (["failures"], list),
        (["failures", "--limit", "3"], list),
        (["modes"], list),
        (["label"], list),
        (["spins"], list),
        (["spins", "1"], dict),
        (["datasets"], list),
        (["releases"], list),
        (["audit-trail"], list),
        (["doctor"], list),
        (["settings"], dict),
        (["predict", "where is my card", "--no-log"], list),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_reading_commands_answer_both_ways(run, answer, made: Path, command: list[str], kind: type) -> None:
    assert isinstance(answer(*command, "--folder", made), kind)
    shown = run(*command, "--folder", made).stdout
    assert shown.strip()
    with pytest.raises(json.JSONDecodeError):
        json.loads(shown)


def test_the_dashboard_shows_what_fails_what_waits_and_what_spins_brought(run, answer, made: Path) -> None:
    shown = run("status", "-f", made).stdout
    told = answer("status", "-f", made)
    assert "bank" in shown
    assert f"{told['waiting']:,} items to label" in shown
    assert told["waiting"] > 0
    assert "What fails" in shown
    assert "What waits for you" in shown
    assert "What the last spins brought" in shown
    assert "v1 in production" in shown
    assert "flywheel label" in shown.splitlines()[-1]


@pytest.mark.slow
def test_a_narrow_terminal_is_enough(run, made: Path) -> None:
    for command in (["status"], ["modes"], ["spins"], ["spins", "1"], ["failures"], ["label"]):
        shown = run(*command, "-f", made, columns=60).stdout
        assert max(len(line) for line in shown.splitlines()) <= 60, command


@pytest.mark.slow
def test_a_spin_says_what_it_waits_for_and_goes_on_when_it_has_it(run, answer, product: Path) -> None:
    waiting = answer("spin", "-f", product)
    assert waiting["state"] == "waiting"
    shown = run("spin", "-f", product).stdout
    assert f"waits for {waiting['waiting_for']:,} labels" in shown
    assert "flywheel label" in shown
    for item in answer("label", "-f", product):
        run("label", item["id"], "blocked_pin", "--by", "ana", "-f", product)
    assert answer("label", "-f", product) == []
    done = answer("spin", "-f", product)
    assert done["state"] == "done"
    shown = run("spins", done["number"], "-f", product).stdout
    assert done["verdict"]["decision"] in shown
    assert all(check["name"] in shown for check in done["verdict"]["checks"])
    assert "Receipt" in shown
    assert "accuracy before" in shown


def test_an_interaction_can_be_logged_judged_found_and_exported(run, answer, product: Path, tmp_path: Path) -> None:
    (made,) = answer("log", "a new question", "-o", "lost_card", "--confidence", "0.3", "-c", "device=ios",
                     "-c", "floor=3", "--user", "u1", "--at", "2026-03-02T09:00:00Z", "-f", product)["ids"]  # fmt: skip
    assert len(answer("feedback", made, "--rating", "-1", "--comment", "no", "-f", product)["ids"]) == 2
    target = tmp_path / "out.jsonl"
    rows = answer("export", "interactions", target, "-f", product)["rows"]
    found = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert len(found) == rows
    (row,) = [row for row in found if row["id"] == made]
    assert row["context"]["device"] == "ios"
    assert row["context"]["floor"] == 3
    assert answer("lineage", made, "-f", product)["interaction"] == made


def test_json_inputs_are_read_only_when_asked_for(run, answer, product: Path, tmp_path: Path) -> None:
    text = '{"amount": 12.5}'
    (as_text,) = answer("log", text, "-f", product)["ids"]
    (as_json,) = answer("log", text, "--parse", "-f", product)["ids"]
    answer("export", "interactions", tmp_path / "x.jsonl", "-f", product)
    rows = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text(encoding="utf-8").splitlines()]
    inputs = {row["id"]: row for row in rows}
    assert inputs[as_json]["input"] == {"amount": 12.5}
    assert inputs[as_text]["input"] == text
    refused = run("log", "{not json", "--parse", "-f", product, code=1)
    assert "is not JSON" in refused.stderr


def test_records_come_in_from_standard_input(answer, run, product: Path) -> None:
    lines = '{"input": "a", "output": "b", "at": "2026-03-02T09:00:00Z"}\n\n{"input": "c"}\n'
    assert len(answer("log", "-", "-f", product, input=lines)["ids"]) == 2
    refused = run("log", "-", "-f", product, input='{"input": "a"}\nnot json\n', code=1)
    assert "line 2" in refused.stderr


@pytest.mark.slow
def test_a_file_is_imported_once_and_explained_before(run, answer, product: Path, tmp_path: Path) -> None:
    file = tmp_path / "logs.csv"
    file.write_text("question,answer,device\nhello,lost_card,ios\nbye,exchange_rate,android\n", encoding="utf-8")
    before = answer("status", "-f", product)["interactions"]
    run("import", file, "--dry-run", "-f", product)
    assert answer("status", "-f", product)["interactions"] == before
    assert answer("import", file, "-f", product)["stored"] == 2
    assert answer("import", file, "-f", product)["stored"] == 0
    assert answer("status", "-f", product)["interactions"] == before + 2


def test_seeds_come_from_a_file(run, answer, tmp_path: Path) -> None:
    folder, file = tmp_path / "new", tmp_path / "labelled.csv"
    file.write_text("text,intent\nhello,greeting\nbye,farewell\n", encoding="utf-8")
    run("init", folder)
    arguments = ("seed", file, "--map", "input=text", "--map", "label=intent", "-f", folder)
    assert answer(*arguments) == {"read": 2, "new": 2}
    assert answer(*arguments)["new"] == 0
    refused = run("seed", file, "--map", "input=text", "--map", "label=wrong", "-f", folder, code=1)
    assert "record 1" in refused.stderr
    assert "--map" in refused.stderr


def test_a_folder_begins_with_init_and_init_changes_nothing_later(run, answer, tmp_path: Path) -> None:
    folder = tmp_path / "prices"
    assert answer("init", folder, "--task", "regression", "--name", "price model")["task"] == "regression"
    written = (folder / "flywheel.toml").read_text(encoding="utf-8")
    assert "regression" in written
    assert "price model" in written
    assert answer("status", "-f", folder)["name"] == "price model"
    run("init", folder, "--task", "regression")
    assert (folder / "flywheel.toml").read_text(encoding="utf-8") == written
    assert "regression" in run("init", folder, "--task", "classification", code=1).stderr


def test_an_unknown_task_leaves_nothing_behind(run, tmp_path: Path) -> None:
    refused = run("init", tmp_path / "x", "--task", "clasification", code=1)
    assert "clasification" in refused.stderr
    assert not (tmp_path / "x").exists()


def test_a_folder_that_is_no_flywheel_is_not_made_one(run, answer, tmp_path: Path) -> None:
    refused = run("status", "-f", tmp_path, code=1)
    assert "flywheel init" in refused.stderr
    assert refused.stdout == ""
    assert list(tmp_path.iterdir()) == []
    told = answer("status", "-f", tmp_path, code=1)
    assert told["error"]["type"] == "NotFound"
    assert told["error"]["retryable"] is False


def test_the_folder_may_come_from_the_environment(run, made: Path, monkeypatch) -> None:
    monkeypatch.setenv("FLYWHEEL_FOLDER", str(made))
    assert "bank" in run("status").stdout


def test_errors_name_the_field_and_the_fix(run, answer, product: Path) -> None:
    told = answer("log", "x", "--confidence", "1.7", "-f", product, code=1)["error"]
    assert told["field"] == "confidence"
    assert "1.7" in told["message"]
    assert "offset" in run("log", "x", "--at", "2026-03-01T00:00:00", "-f", product, code=1).stderr
    assert "name=value" in run("log", "x", "-c", "device", "-f", product, code=1).stderr
    assert "flywheel modes" in run("modes", "nothing", "-f", product, code=1).stderr
    assert "flywheel spins" in run("spins", "99", "-f", product, code=1).stderr


def test_what_is_busy_may_be_tried_again(run, answer, product: Path) -> None:
    import flywheel

    with flywheel.open(product) as fw, fw._store.lock("spin"):
        assert run("spin", "-f", product, code=75).stdout == ""
        assert answer("spin", "-f", product, code=75)["error"]["retryable"] is True


def test_releases_can_be_listed_and_rolled_back_only_when_there_is_a_way_back(run, answer, product: Path) -> None:
    (first,) = answer("releases", "-f", product)
    assert first["role"] == "champion"
    assert run("rollback", "--by", "ana", "-f", product, code=1).stderr
    assert run("releases", "promote", "--by", "ana", "-f", product, code=1).stderr
    assert answer("releases", "-f", product) == [first]


def test_the_tables_can_be_made_anew(answer, product: Path) -> None:
    status = answer("status", "-f", product)
    assert answer("rebuild", "-f", product)["rows"] == status["interactions"] + status["feedback"]


def test_a_dataset_is_found_by_the_beginning_of_its_hash(run, answer, made: Path) -> None:
    (known,) = answer("datasets", "-f", made)
    whole = answer("datasets", known["hash"][:8], "-f", made)
    assert whole["hash"] == known["hash"]
    assert len(whole["examples"]) == 36
    shown = run("datasets", known["hash"][:8], "-f", made).stdout
    assert "36 examples" in shown
    assert "lost_card" in shown


def test_plugins_need_no_folder(run, answer) -> None:
    assert "text" in answer("plugins")["trainers"]
    assert "label" in run("plugins").stdout


def test_passwords_in_settings_are_not_shown(run, monkeypatch, made: Path) -> None:
    monkeypatch.setenv("FLYWHEEL_RELEASE_MLFLOW_URI", "https://ana:geheim@example.com")
    for flag in ([], ["--json"]):
        shown = run("settings", "-f", made, *flag).stdout
        assert "geheim" not in shown
        assert "example.com" in shown


def test_a_doctor_that_finds_something_says_so_in_the_exit_code(run, product: Path) -> None:
    run("doctor", "-f", product)
    (model,) = (product / "models").iterdir()
    model.rename(product / "models" / "elsewhere")
    found = run("doctor", "-f", product, code=1).stdout
    assert "problem" in found
    assert "v1" in found
