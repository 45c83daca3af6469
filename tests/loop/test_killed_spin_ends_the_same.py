"""A spin killed with SIGKILL in any step resumes, and ends as if nothing had happened."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sklearn.datasets import load_digits

import flywheel
from flywheel.loop import STEPS
from flywheel.records import to_dict

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)

RUN = """
import json, os, signal, sys
from datetime import datetime
from sklearn.datasets import load_digits
import flywheel

folder, at, deadly = sys.argv[1], datetime.fromisoformat(sys.argv[2]), sys.argv[3]
truth = {tuple(x): int(y) for x, y in zip(*load_digits(return_X_y=True))}

def on_step(step, moment):
    if f"{step}:{moment}" == deadly:
        os.kill(os.getpid(), signal.SIGKILL)

asked = []
def labeler(item):
    asked.append(item.id)
    if deadly == "label:middle" and len(asked) == 11:
        os.kill(os.getpid(), signal.SIGKILL)
    return truth[tuple(item.input)]

with flywheel.open(folder) as fw:
    fw.spin(budget=25, at=at, seed=3, labeler=labeler, on_step=on_step)
"""


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """A folder with a champion, a day of traffic and complaints, about to spin."""
    folder = tmp_path_factory.mktemp("ready") / "office"
    images, digits = load_digits(return_X_y=True)
    with flywheel.open(folder, task="classification", product={"name": "office"}) as fw:
        fw.config = replace(fw.config, release=replace(fw.config.release, registry="folder"))
        (folder / "flywheel.toml").write_text(
            '[product]\nname = "office"\ntask = "classification"\n[release]\nregistry = "folder"\n'
            '[observe]\nparts = ["levels", "monitor", "slices", "drift"]\n'
        )
        known = [i for i in range(400) if digits[i] < 8][:120]
        fw.seed([images[i].tolist() for i in known], [int(digits[i]) for i in known], at=AT)
        fw.spin(budget=0, at=AT, seed=3)
        rows = range(500, 700)
        answers = fw.predict([images[i].tolist() for i in rows], at=AT + timedelta(hours=1))
        fw.feedback_many(
            {"interaction_id": a.id, "rating": -1, "at": AT + timedelta(hours=2)}
            for a, i in zip(answers, rows, strict=True)
            if a.output != digits[i] and i % 2
        )
    return folder


def outcome(folder):
    """Everything a spin leaves behind, wall-clock seconds apart."""
    with flywheel.open(folder) as fw:
        spin = to_dict(fw.spins()[-1])
        spin.pop("seconds")
        spin["receipt"].pop("seconds")
        for check in spin["verdict"]["checks"]:
            if "latency" in check["name"]:
                check.pop("values")
                check.pop("line")
        counts = {key: fw.status()["counts"][key] for key in ("interactions", "feedback")}
        return {
            "spin": spin,
            "modes": to_dict(fw.modes()),
            "datasets": [dataset.hash for dataset in fw.datasets()],
            "releases": [(release.version, release.role) for release in fw.releases()],
            "labels": sorted((item.id, item.label) for item in fw._store.state.items()),
            "counts": counts,
            "trail": [entry["action"] for entry in fw.trail()],
            "answers": [p.output for p in fw.predict(load_digits().data[900:1000].tolist(), log=False)],
        }


def run(folder, deadly):
    at = (AT + timedelta(hours=5)).isoformat()
    return subprocess.run(
        [sys.executable, "-c", RUN, str(folder), at, deadly], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def undisturbed(ready, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "office"
    shutil.copytree(ready, folder)
    done = run(folder, "never")
    assert done.returncode == 0, done.stderr
    return outcome(folder)


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.parametrize("moment", [*(f"{s}:{m}" for s in STEPS for m in ("begin", "end")), "label:middle"])
def test_a_spin_killed_in_any_step_ends_the_same(ready, undisturbed, tmp_path, moment):
    folder = tmp_path / "office"
    shutil.copytree(ready, folder)
    killed = run(folder, moment)
    assert killed.returncode == -9, f"the spin was to be killed at {moment}: {killed.stderr}"
    resumed = run(folder, "never")
    assert resumed.returncode == 0, resumed.stderr
    assert json.dumps(outcome(folder), sort_keys=True) == json.dumps(undisturbed, sort_keys=True)
