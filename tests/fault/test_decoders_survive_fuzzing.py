"""No bytes make a decoder fail in a way nobody foresaw: coverage-guided fuzzing from real seeds (atheris)."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(
        importlib.util.find_spec("atheris") is None, reason="atheris is not installed: Linux and macOS only"
    ),
]

RUNS = os.environ.get("FLYWHEEL_FUZZ_RUNS", "4000")
SPAN = {
    "resourceSpans": [
        {
            "scopeSpans": [
                {
                    "spans": [
                        {
                            "traceId": "ab" * 16,
                            "spanId": "cd" * 8,
                            "name": "chat m",
                            "startTimeUnixNano": "1790000000000000000",
                            "attributes": [
                                {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
                                {"key": "gen_ai.prompt.0.content", "value": {"stringValue": "hi"}},
                            ],
                            "events": [{"name": "gen_ai.evaluation.result", "attributes": []}],
                        }
                    ]
                }
            ]
        }
    ]
}
SEEDS = {
    "records": [b'[{"input": "x", "confidence": 0.5}, 7]', b'{"input": 1}\n{"interaction_id": "a", "rating": -1}'],
    "traces": [json.dumps(SPAN).encode()],
    "logs": [b'{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "x"}}]}]}]}'],
    "shipped": [b'{"index": {"_id": "1"}}\n{"@timestamp": "2026-01-01T00:00:00Z", "message": "x"}\n'],
    "exchange": [b'{"messages": [{"role": "user", "content": "x"}], "choices": [{"message": {"content": "y"}}]}'],
    "redaction": [b"mail ana@example.org, card 4111 1111 1111 1111, key sk-abcdefghijklmnopqrst, +43 664 1234567"],
}


@pytest.mark.parametrize("decoder", SEEDS)
def test_nothing_escapes_a_decoder(decoder: str, tmp_path: Path) -> None:
    corpus, found = tmp_path / "corpus", tmp_path / "found"
    corpus.mkdir()
    found.mkdir()
    for number, seed in enumerate(SEEDS[decoder]):
        (corpus / str(number)).write_bytes(seed)
    program = Path(__file__).with_name("fuzz_decoders.py")
    done = subprocess.run(
        [
            sys.executable, str(program), decoder, f"-runs={RUNS}", "-max_len=4096", "-seed=7", "-timeout=20",
            f"-artifact_prefix={found}/", str(corpus),
        ],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert f"Done {RUNS}" in done.stderr
