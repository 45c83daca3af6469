"""A product with some history, made once and copied for each test that changes it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
HOSTILE = "[red]boo[/red] \x1b[31mescape\x1b]0;title\x07 \x9b2J \u202etxt.exe [link=file:///etc/passwd]x[/link] :boom:"

KNOWN = {
    "card_arrival": ["where is my card", "my card has not arrived", "when will the card come", "card still not here"],
    "lost_card": ["i lost my card", "my card was stolen", "cannot find my card", "somebody took my card"],
    "exchange_rate": ["what is the exchange rate", "rate for dollars", "how many euros for a dollar", "currency rates"],
}
WORDS = ["please", "today", "hello", "now", "again", "thanks", "quick question", "urgent", "sorry", "help me"]


def _make(folder: Path) -> None:
    import flywheel

    with flywheel.open(folder, task="classification", product={"name": "bank"}) as fw:
        pairs = [(f"{word} {text}", label) for label, texts in KNOWN.items() for text in texts for word in WORDS[:3]]
        fw.seed([text for text, _ in pairs], [label for _, label in pairs], at=START)
        fw.spin(budget=0, at=START)
        asked = [f"{text} {word}" for texts in KNOWN.values() for text in texts for word in WORDS]
        asked += [f"{word} my pin is blocked {n}" for n, word in enumerate(WORDS * 3)]
        answers = fw.predict(
            [*asked, HOSTILE],
            contexts=[
                {"device": ("ios", "android")[n % 2], "note": HOSTILE if n % 5 == 0 else "fine"}
                for n in range(len(asked) + 1)
            ],
            at=START + timedelta(hours=1),
        )
        for text, answer in zip([*asked, HOSTILE], answers, strict=True):
            if "pin" in text or text == HOSTILE:
                fw.feedback(answer.id, rating=-1, comment=HOSTILE, at=START + timedelta(hours=2))
        fw.spin(budget=10, at=START + timedelta(hours=3))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank's chatbot: seeded, one model released, traffic with failures, and a spin that waits for labels."""
    folder = tmp_path_factory.mktemp("made") / "bank"
    _make(folder)
    return folder


@pytest.fixture
def product(made: Path, tmp_path: Path) -> Path:
    """A copy of the product that a test may change."""
    folder = tmp_path / "bank"
    shutil.copytree(made, folder, ignore=shutil.ignore_patterns("locks"))
    return folder


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line: `run("status", "--json")`."""
    from flywheel.cli.app import app

    monkeypatch.delenv("FLYWHEEL_FOLDER", raising=False)
    monkeypatch.delenv("FLYWHEEL_BY", raising=False)

    def call(*arguments: Any, input: str | None = None, columns: int = 200, code: int | None = 0) -> Result:
        result = CliRunner().invoke(app, [str(a) for a in arguments], input=input, env={"COLUMNS": str(columns)})
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert code is None or result.exit_code == code, f"exit {result.exit_code}: {result.stdout}{result.stderr}"
        return result

    return call


@pytest.fixture
def answer(run: Run) -> Callable[..., Any]:
    """Run a command with `--json` and read its one document."""

    def call(*arguments: Any, **options: Any) -> Any:
        return json.loads(run(*arguments, "--json", **options).stdout)

    return call
