from pathlib import Path

import pytest

from flywheel.capture import Recorder, pseudonym_key
from flywheel.capture.redact import Patterns
from flywheel.config import Config
from flywheel.store import Store


@pytest.fixture
def store(tmp_path: Path):
    opened = Store.open(tmp_path / "product", Config())
    yield opened
    opened.close()


@pytest.fixture
def recorder(store: Store) -> Recorder:
    return Recorder(
        store.log,
        redactor=Patterns(),
        pseudonym_key=pseudonym_key(store.folder, store.state),
        max_record_bytes=100_000,
    )
