"""Logs of every form are read; what is new, gone, out of order or goes with failures is found, and little else."""

import gzip
import json
from datetime import UTC, datetime, timedelta

import ibis
import numpy as np
import pyarrow as pa
import pytest

from flywheel.errors import InvalidConfig, InvalidRecord, NotFound
from flywheel.observe.templates import log_findings, read_log, template_counts
from flywheel.observe.templates.changes import family_of

START = datetime(2026, 1, 5, tzinfo=UTC)
NOON = datetime(2026, 1, 5, 12, 0, 1, 500000, tzinfo=UTC)
STAMP = pa.timestamp("us", "UTC")


def table(at, messages, traces=None):
    """Lines at so many seconds after the start."""
    base = int(START.timestamp() * 1e6)
    order = np.argsort(at, kind="stable")
    columns = {
        "at": pa.array(base + (np.asarray(at, float)[order] * 1e6).astype(np.int64), pa.int64()).cast(STAMP),
        "message": pa.array([messages[k] for k in order], pa.string()),
    }
    if traces is not None:
        columns["trace_id"] = pa.array([traces[k] for k in order], pa.string())
    return pa.table(columns)


def quiet(rng, hours=12, kinds=30, bursts=False):
    """A log in which nothing changes: templates of very different rates, perhaps in bursts, some very rare."""
    at, messages = [], []
    for kind in range(kinds):
        rate = np.exp(rng.uniform(np.log(0.3), np.log(120)))
        times = rng.uniform(0, hours * 3600, rng.poisson(rate * hours))
        if bursts:
            times = np.repeat(times, rng.geometric(0.3, len(times)))
            times = times + rng.exponential(120, len(times))
        at += times.tolist()
        words = "".join(chr(97 + int(c)) for c in rng.integers(0, 26, 8))
        messages += [f"{words} step took {rng.integers(1, 99)} ms" for _ in times]
        del kind
    return np.clip(at, 0, hours * 3600 - 1).tolist(), messages


def by_kind(found):
    out = {}
    for one in found:
        out.setdefault(one.name.split(":")[0], []).append(one)
    return out


# --- reading ---

FORMS = {
    "log4j": "2026-01-05 12:00:01,500 WARN  [main] c.acme.Pay - card refused trace_id=abc123def",
    "iso with a zone": "2026-01-05T14:00:01.500+02:00 WARN card refused trace_id=abc123def",
    "epoch seconds": "1767614401.5 WARN card refused trace_id=abc123def",
    "epoch milliseconds": "1767614401500 WARN card refused trace_id=abc123def",
    "apache": "[Mon Jan 05 12:00:01.500 2026] [warn] card refused trace_id=abc123def",
    "json": json.dumps(
        {"time": "2026-01-05T12:00:01.5Z", "level": "warn", "msg": "card refused", "trace_id": "abc123def"}
    ),
    "json epoch": json.dumps(
        {"ts": 1767614401.5, "severity": "warn", "message": "card refused", "traceId": "abc123def"}
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_lines_of_every_form(tmp_path, name):
    path = tmp_path / "app.log"
    path.write_text((FORMS[name] + "\n") * 3, encoding="utf-8")
    found = read_log(path)
    assert len(found) == 3
    row = found.to_pylist()[0]
    assert row["at"] == NOON
    assert row["message"].startswith("card refused")
    assert (row["trace_id"], row["level"]) == ("abc123def", "WARN")
    assert found.schema.metadata[b"unparsed"] == b"0"


def test_syslog_has_the_year_of_the_file(tmp_path):
    path = tmp_path / "syslog"
    path.write_text("Dec 31 23:59:59 web sshd[24]: session closed\nJan  2 00:00:01 web sshd[7]: session opened\n")
    rows = read_log(path, written=datetime(2026, 1, 3, tzinfo=UTC)).to_pylist()
    assert [row["at"].year for row in rows] == [2025, 2026]
    assert rows[1]["at"] == datetime(2026, 1, 2, 0, 0, 1, tzinfo=UTC)
    assert rows[1]["message"] == "session opened"


def test_lines_that_do_not_fit_are_kept_and_counted(tmp_path):
    path = tmp_path / "app.log.gz"
    lines = [
        "2026-01-05 12:00:01,500 ERROR pay: refused",
        "Traceback (most recent call last):",
        '  File "pay.py", line 7',
        "",
        "2026-13-45 12:00:02,000 ERROR pay: no such day",
        "2026-01-05 12:00:03,000 INFO pay: again 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ]
    path.write_bytes(gzip.compress("\r\n".join(lines).encode()))
    found = read_log(path)
    assert len(found) == 5
    assert found.schema.metadata[b"unparsed"] == b"3"
    rows = found.to_pylist()
    assert [row["message"] for row in rows][:3] == ["refused", lines[1], lines[2]]
    assert {row["at"] for row in rows[:4]} == {NOON}
    assert rows[4]["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_files_without_times_and_without_lines(tmp_path):
    path = tmp_path / "bare.log"
    path.write_text("hello\nworld\n")
    found = read_log(path)
    assert found["message"].to_pylist() == ["hello", "world"]
    assert found["at"].null_count == 2
    assert log_findings(found) == []
    path.write_text("")
    assert len(read_log(path)) == 0
    assert log_findings(read_log(path)) == []
    with pytest.raises(NotFound, match=r"none\.log"):
        read_log(tmp_path / "none.log")


# --- counts ---


def test_counts_by_window():
    logs = table([1, 2, 61, 62, 3600], ["hit 1", "hit 2", "hit 3", "miss", "hit 4"])
    rows = template_counts(logs).to_pylist()
    assert [(row["text"], row["n"], (row["at"] - START).total_seconds()) for row in rows] == [
        ("hit <*>", 2, 0), ("hit <*>", 1, 60), ("miss", 1, 60), ("hit <*>", 1, 3600),
    ]  # fmt: skip
    assert sum(row["n"] for row in template_counts(logs, "day").to_pylist()) == 5
    with pytest.raises(InvalidConfig, match="week"):
        template_counts(logs, "week")
    with pytest.raises(InvalidRecord, match="message"):
        template_counts(logs.drop_columns("message"))


# --- changes ---


def test_new_vanished_and_more_frequent_templates_are_found():
    rng = np.random.default_rng(0)
    at, messages = quiet(rng)
    hour = 3600
    at += rng.uniform(9.5 * hour, 12 * hour, 25).tolist()
    messages += [f"upstream /v1/pay timed out after {k} ms for user={k}" for k in range(25)]
    at += np.arange(0, 9 * hour, 300).tolist()
    messages += ["heartbeat ok"] * 108
    at += [*rng.uniform(0, 9 * hour, 60), *rng.uniform(9 * hour, 12 * hour, 200)]
    messages += ["retrying upload"] * 260
    found = by_kind(log_findings(table(at, messages)))
    assert [one.name for one in found["new"]] == ["new: upstream <*> timed out after <*> ms for user=<*>"]
    assert [one.name for one in found["vanished"]] == ["vanished: heartbeat ok"]
    assert [one.name for one in found["more often"]] == ["more often: retrying upload"]
    assert set(found) == {"new", "vanished", "more often"}
    new = found["new"][0]
    assert new.since >= START + timedelta(hours=9.5)
    assert new.n == 25
    assert not new.alarm
    times = np.log2((1 - np.exp(-200 / 180)) / (1 - np.exp(-60 / 540)))  # windows with one line or more
    assert found["more often"][0].interval.low < times < found["more often"][0].interval.high
    assert len(new.chart["x"]) == len(new.chart["y"]) <= 200
    assert sum(new.chart["y"]) == 25
    json.dumps(new.chart)
    assert log_findings(table(at, messages), since=START + timedelta(hours=9)) == log_findings(table(at, messages))
    assert log_findings(table(at, messages), since=START + timedelta(days=9)) == []
    assert log_findings(table(at, messages), since=START - timedelta(days=9)) == []


@pytest.mark.parametrize("bursts", [False, True], ids=["poisson", "bursts"])
@pytest.mark.slow
def test_a_quiet_log_says_nothing(bursts):
    said = 0
    for seed in range(60):
        at, messages = quiet(np.random.default_rng(seed), bursts=bursts)
        said += bool(log_findings(table(at, messages)))
    assert said <= 6  # 5 % are allowed


def test_only_tests_that_could_show_something_count():
    assert family_of(np.array([0.5] * 1000 + [1e-6] * 3), 0.05) == 3
    assert family_of(np.array([]), 0.05) == 1


# --- sequences ---


def traces(rng, n, hours, early_end=0.0, swapped=0.0):
    """Traces of four steps over some hours; from three quarters on some end early, or swap two steps."""
    at, messages, names = [], [], []
    for k in range(n):
        begun = rng.uniform(0, hours * 3600)
        steps = ["order received", "stock checked", "card charged", "mail sent"]
        if begun > hours * 3600 * 0.75:
            if rng.random() < early_end:
                steps = steps[:2]
            elif rng.random() < swapped:
                steps = [steps[0], steps[2], steps[1], steps[3]]
        elif rng.random() < 0.1:
            steps = [steps[0], steps[1], steps[1], steps[2], steps[3]]
        at += [begun + 2 * place for place in range(len(steps))]
        messages += steps
        names += [f"t{k:05d}"] * len(steps)
    return table(at, messages, names)


def test_traces_that_end_early_or_swap_steps_are_found():
    rng = np.random.default_rng(0)
    (found,) = log_findings(traces(rng, 1500, 12, early_end=0.15))
    assert "after “stock checked”, they end" in found.line
    assert found.effect == pytest.approx(0.15, abs=0.05)
    assert found.interval.low < found.effect < found.interval.high
    swapped = log_findings(traces(rng, 1500, 12, swapped=0.1))
    assert any("after “order received”, “card charged” follows" in one.line for one in swapped)


@pytest.mark.slow
def test_usual_sequences_say_nothing():
    said = sum(bool(log_findings(traces(np.random.default_rng(seed), 800, 12))) for seed in range(60))
    assert said <= 6


# --- ties to failures ---


def with_failures(rng, n, extra, traced):
    """n interactions a trace each; every tenth logs `pool exhausted` and then fails by `extra` more often."""
    begun = np.sort(rng.uniform(0, 24 * 3600, n))
    names = [f"req{k:06d}" for k in range(n)]
    marked = rng.random(n) < 0.1
    loss = (rng.random(n) < np.where(marked, 0.1 + extra, 0.1)).astype(float)
    at = [*begun, *(begun + 1), *begun[marked]]
    messages = ["request 7 received"] * n + ["answer 7 sent"] * n + ["pool exhausted, 12 waiting"] * int(marked.sum())
    ids = [*names, *names, *np.array(names)[marked]]
    base = int(START.timestamp() * 1e6)
    failing = {
        "id": names,
        "at": pa.array(base + (begun * 1e6).astype(np.int64), pa.int64()).cast(STAMP),
        "loss": loss,
    }
    if traced:
        failing["trace_id"] = names
    return table(at, messages, ids if traced else None), pa.table(failing)


@pytest.mark.parametrize("traced", [True, False], ids=["by trace", "by time"])
def test_a_template_that_goes_with_failures_is_found(traced):
    logs, failing = with_failures(np.random.default_rng(0), 3000, 0.4, traced)
    found = log_findings(logs, ibis.memtable(failing), near=2.0)
    assert found[0].name == "with failures: pool exhausted, <*> waiting"
    assert found[0].alarm
    assert found[0].interval.low < found[0].effect < found[0].interval.high
    assert found[0].effect == pytest.approx(0.4, abs=0.1)
    assert ("in the same trace" if traced else "within 2 s") in found[0].line
    assert log_findings(logs, failing, near=2.0)[0].effect == pytest.approx(found[0].effect)
    with pytest.raises(InvalidRecord, match="loss"):
        log_findings(logs, failing.drop_columns("loss"))


@pytest.mark.slow
def test_chance_alone_ties_nothing():
    said = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        logs, failing = with_failures(rng, 1500, 0.0, bool(seed % 2))
        said += any(one.name.startswith("with failures") for one in log_findings(logs, failing, near=2.0))
    assert said <= 3


def test_the_same_log_gives_the_same_findings():
    rng = np.random.default_rng(3)
    logs, failing = with_failures(rng, 1200, 0.5, True)
    assert log_findings(logs, failing) == log_findings(logs, failing)
