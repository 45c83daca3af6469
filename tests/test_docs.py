"""The documentation keeps up with the code: commands, settings, ports, links, and the Python in it runs."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "examples").rglob("*.md")])


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def commands() -> list[str]:
    from flywheel.cli.app import app

    return [info.name or str(info.callback.__name__) for info in app.registered_commands if info.callback]


@pytest.mark.parametrize("name", commands())
def test_every_command_is_documented(name: str) -> None:
    table = [line for line in read("guides/commands.md").splitlines() if line.startswith("| `flywheel ")]
    assert any(re.match(rf"\| `flywheel {name}[ `]", line) for line in table), f"commands.md has no row for {name}"


def test_no_command_is_documented_that_does_not_exist() -> None:
    rows = re.findall(r"^\| `flywheel ([a-z][a-z-]*)", read("guides/commands.md"), re.MULTILINE)
    assert sorted(rows) == sorted(commands())


def test_the_help_lists_every_command_once() -> None:
    from flywheel.cli.app import SECTIONS

    listed = [name for names in SECTIONS.values() for name in names]
    assert sorted(listed) == sorted(commands())


@pytest.mark.parametrize("name", commands())
def test_every_command_has_json_and_examples_in_its_help(name: str) -> None:
    from flywheel.cli.app import app

    info = next(i for i in app.registered_commands if (i.name or i.callback.__name__) == name)  # type: ignore[union-attr]
    assert info.callback is not None
    assert "Examples:" in (inspect.getdoc(info.callback) or "")
    assert "as_json" in inspect.signature(info.callback).parameters


def test_commands_in_the_documentation_exist() -> None:
    known = set(commands())
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
        inline = "\n".join(re.findall(r"`(flywheel [^`]+)`", text))
        used = re.findall(r"(?:^|[ /])flywheel ([a-z][a-z-]*)", blocks, re.MULTILINE)
        used += re.findall(r"^flywheel ([a-z][a-z-]*)", inline, re.MULTILINE)
        assert not set(used) - known, f"{page.name}: there is no command {set(used) - known}"


def settings() -> list[tuple[str, str, object]]:
    from flywheel.config import Config

    config = Config()
    return [
        (section.name, setting.name, getattr(getattr(config, section.name), setting.name))
        for section in dataclasses.fields(config)
        for setting in dataclasses.fields(getattr(config, section.name))
    ]


def documented_settings() -> dict[tuple[str, str], str]:
    found = {}
    section = ""
    for line in read("guides/settings.md").splitlines():
        if heading := re.match(r"## `\[(\w+)\]`", line):
            section = heading[1]
        elif line.startswith("## "):
            section = ""
        elif section and (row := re.match(r"\| `(\w+)` \| `([^`]*)` \| .+ \|", line)):
            found[section, row[1]] = row[2]
    return found


def test_every_setting_is_documented_with_its_default() -> None:
    documented = documented_settings()
    for section, name, default in settings():
        assert (section, name) in documented, f"settings.md does not explain [{section}] {name}"
        assert json.loads(documented[section, name]) == (list(default) if isinstance(default, tuple) else default)


def test_no_setting_is_documented_that_does_not_exist() -> None:
    assert not set(documented_settings()) - {(section, name) for section, name, _ in settings()}


def test_every_port_is_documented_with_its_plugins_and_its_check() -> None:
    from flywheel import plugins, ports, testing

    rows = {
        row[0]: row
        for row in (
            [cell.strip().strip("`") for cell in line.strip("|").split("|")]
            for line in read("guides/ports.md").splitlines()
            if line.startswith("| `")
        )
    }
    protocols = [name for name in ports.__all__ if name != "Predictions"]
    assert set(rows) == set(protocols)
    for name in protocols:
        _, _, methods, ships, check = rows[name]
        known = [
            key for key, value in vars(getattr(ports, name)).items() if inspect.isfunction(value) and key[0] != "_"
        ]
        assert set(re.findall(r"\w+", methods)) == set(known), f"ports.md: {name} has the methods {known}"
        assert len(known) <= 6
        kind = {"Registry": "registries"}.get(name, name.lower() + "s")
        if kind in plugins.PORTS:
            for plugin in plugins.names(kind):
                assert plugin in ships, f"ports.md does not name the {name} {plugin}"
            assert hasattr(testing, check), f"flywheel.testing has no {check}"
            assert f"`flywheel.{kind}`" in read("guides/ports.md")


def test_every_method_of_the_public_object_says_what_it_does() -> None:
    from flywheel.wheel import Flywheel

    for name, value in vars(Flywheel).items():
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
            assert inspect.getdoc(value), f"Flywheel.{name} has no docstring"


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_relative_link_is_dead(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name} links to {target}, which does not exist"
        assert linked.is_relative_to(ROOT), f"{page.name} links out of the project: {target}"
        if anchor and linked.suffix == ".md":
            assert anchor in _anchors(linked), f"{page.name} links to {target}: there is no such heading"


@pytest.mark.parametrize("page", sorted(DOCS.rglob("guides/*.md")), ids=lambda page: page.stem)
def test_every_guide_can_be_reached(page: Path) -> None:
    others = [other for other in PAGES if other != page]
    assert any(f"{page.name})" in other.read_text(encoding="utf-8") for other in others), f"nothing links to {page}"


def _python_blocks() -> list[object]:
    found = []
    for page in sorted(DOCS.rglob("*.md")):
        blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        found += [pytest.param(page, code, id=f"{page.stem}-{n}") for n, code in enumerate(blocks, 1)]
    return found


@pytest.mark.parametrize(("page", "code"), _python_blocks())
def test_the_python_in_the_documentation_runs(page: Path, code: str, tmp_path, monkeypatch) -> None:
    """Each ```python block runs by itself in an empty folder; what needs traffic or people is marked ```py."""
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(page), "exec"), {"__name__": "documentation"})
