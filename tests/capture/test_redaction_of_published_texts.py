"""The built-in rules on texts that others published for this purpose (made up, Microsoft's presidio-research)."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from flywheel.capture.redact import Patterns

SMALL = [  # the same kind of texts, made here
    ("Please have the manager call me at 0494 92 82 32 I'd like to join", ["0494 92 82 32"]),
    ("I have lost my card 4735615260219382870. Could you please block it", ["4735615260219382870"]),
    ("My IBAN is GB59IFUE40226315499137", ["GB59IFUE40226315499137"]),
    ("Personal Info:\nPhone:\n467 3395\n\nE-mail:\nKaijaKasslin@einrot.example\n", ["467 3395", "KaijaKasslin"]),
    ("keep getting address 6e40:4041:c617:e898:c11:40d2:c669:2eb4 blocked", ["6e40:4041"]),
    ("His social security number is 125-17-4954", ["125-17-4954"]),
]
LEAST = {
    "EMAIL_ADDRESS": 1.0,
    "CREDIT_CARD": 0.98,
    "PHONE_NUMBER": 0.6,
    "IBAN_CODE": 1.0,
    "IP_ADDRESS": 1.0,
    "US_SSN": 1.0,
}


@pytest.mark.parametrize(("text", "secrets"), SMALL)
def test_small_texts(text, secrets):
    cleaned = Patterns().redact(text)[0]
    assert not [secret for secret in secrets if secret in cleaned]


@pytest.mark.skipif("FLYWHEEL_DATA" not in os.environ, reason="FLYWHEEL_DATA does not name a folder with presidio_pii")
def test_published_texts():
    path = Path(os.environ["FLYWHEEL_DATA"]) / "presidio_pii" / "synth_dataset_v2.json.gz"
    patterns = Patterns()
    there, gone = dict.fromkeys(LEAST, 0), dict.fromkeys(LEAST, 0)
    for row in json.loads(gzip.decompress(path.read_bytes())):
        if row["template_id"] % 2:  # the rules were made with the even templates
            cleaned = patterns.redact(row["full_text"])[0]
            for span in row["spans"]:
                if span["entity_type"] in LEAST:
                    there[span["entity_type"]] += 1
                    gone[span["entity_type"]] += span["entity_value"] not in cleaned
    assert all(there.values())
    assert {kind: gone[kind] / there[kind] for kind in LEAST if gone[kind] < LEAST[kind] * there[kind]} == {}
