"""The README is the first thing a stranger runs, so it runs here."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def test_the_python_in_the_readme_runs(tmp_path, monkeypatch) -> None:
    """Its ```python blocks, one after the other, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert blocks, "the README shows no Python"
    seen: dict[str, object] = {"__name__": "readme"}
    for number, code in enumerate(blocks, 1):
        exec(compile(code, f"README.md, Python block {number}", "exec"), seen)


def test_the_readme_is_short() -> None:
    words = README.read_text(encoding="utf-8").split()
    assert len(words) <= 550, f"the README has {len(words)} words, code included; 550 is the limit"


def test_the_make_targets_it_names_exist() -> None:
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"\bmake ([a-z][a-z-]*)", README.read_text(encoding="utf-8")):
        if re.search(rf"`[^`\n]*make {target}|^make {target}", README.read_text(encoding="utf-8"), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"the Makefile has no target {target}"
