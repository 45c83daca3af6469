"""The built-in embedders and detectors keep the contracts that plugins are held to, in any process."""

import os
import subprocess
import sys

import pytest
from diagnose_window import WindowOf as window_of

from flywheel.plugins import create
from flywheel.testing import check_detector, check_embedder

RECORDS = [{"age": 20 + k, "job": ["cook", "judge"][k % 2]} for k in range(8)]


@pytest.mark.parametrize(
    ("name", "inputs"),
    [("text", None), ("features", RECORDS), ("features", [[float(k), float(k * k)] for k in range(8)])],
)
def test_embedders(name, inputs):
    check_embedder(create("embedders", name), inputs)


@pytest.mark.parametrize(("name", "expect"), [("repeated", ["i1"]), ("retried", ["i2"]), ("slow", ["i3"])])
def test_detectors(name, expect):
    window = window_of(
        [
            {"input": "where is it", "user": "u", "latency_ms": 10.0},
            {"input": "where is it", "user": "u", "latency_ms": 10.0},
            {"input": "hello", "latency_ms": 900.0},
        ],
        [
            {"of": "i1", "kind": "outcome", "name": "retry", "value": 0.0},
            {"of": "i2", "kind": "outcome", "name": "retry", "value": 1.0},
            {"of": "i3", "kind": "outcome", "name": "sale", "value": 1.0},
        ],
    )
    check_detector(create("detectors", name), window.interactions, window.feedback, expect)


SCRIPT = """
from test_diagnose_modes import SUBJECTS, Exact, FeatureEmbedder, detect, digits, failures
from test_diagnose_modes import modes_of, signs, texts
from flywheel.config import DetectSettings
from flywheel.diagnose.evidence import context_shares
from flywheel.records import to_dict
window, _, _ = digits(0)
found = failures(window, detect(signs(window, DetectSettings())), seed=0)
print(to_dict(modes_of(found, embedder=FeatureEmbedder(), task=Exact(), shares=context_shares(window))[0]))
print(to_dict(modes_of(texts(SUBJECTS))[0]))
"""


@pytest.mark.slow
def test_another_process_with_another_hash_seed_finds_the_same():
    here = os.path.dirname(__file__)
    printed = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            cwd=here,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(printed) == 1
    assert "scanner=B" in printed.pop()
