"""Where commands print: Rich without markup, so that logged text stays text."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from flywheel.cli.text import clean
from flywheel.ports import Progress as Listener

__all__ = ["COLOURS", "Cell", "Screen"]

COLOURS = {
    "pass": "green",
    "promote": "green",
    "fixed": "green",
    "done": "green",
    "champion": "green",
    "fail": "red",
    "reject": "red",
    "reopened": "red",
    "open": "yellow",
    "unsure": "yellow",
    "need labels": "yellow",
    "waiting": "yellow",
    "in work": "cyan",
    "running": "cyan",
    "retired": "dim",
}
"""The colour of a state, the same wherever it is shown."""

Cell = str | Text | tuple[Any, str] | None
"""A cell of a table: text, or text with its style."""


class Screen:
    """Standard output for answers, standard error for progress and problems."""

    def __init__(self) -> None:
        self.out = Console(markup=False, emoji=False, highlight=False)
        self.err = Console(markup=False, emoji=False, highlight=False, stderr=True)

    def line(self, value: Any = "", style: str = "") -> None:
        """Print a line, or a paragraph whose every line keeps the indent of its first."""
        text = clean(value)
        indent = len(text) - len(text.lstrip(" "))
        self.out.print(Padding(Text(text[indent:], style=style), (0, 0, 0, indent), expand=False) if text else "")

    def whole(self, value: str, style: str = "") -> None:
        """Print what will be copied, such as an address or a key: never broken, however narrow the terminal."""
        self.out.print(Text(clean(value), style=style), soft_wrap=True)

    def parts(self, *cells: Cell) -> None:
        """Print several pieces with their own styles on one line."""
        self.out.print(Text.assemble(*[_text(cell) for cell in cells]))

    def heading(self, value: str) -> None:
        """Print a heading with room above it."""
        self.out.print()
        self.out.print(Text(clean(value), style="bold"))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Cell]], indent: int = 2) -> None:
        """Print rows under quiet headings; a column named `>…` is set to the right, one named `~…` wraps."""
        named = any(name.lstrip(">~") for name in columns)
        table = Table(
            box=box.SIMPLE_HEAD if named else None,
            show_header=named,
            show_edge=False,
            pad_edge=False,
            header_style="dim",
            padding=(0, 2, 0, 0),
        )
        for name in columns:
            wraps = name.startswith("~")
            table.add_column(
                Text(name.lstrip(">~")),
                justify="right" if name.startswith(">") else "left",
                no_wrap=not wraps,
                overflow="fold" if wraps else "ellipsis",
            )
        for row in rows:
            table.add_row(*[_text(cell) for cell in row])
        self.out.print(Padding(table, (0, 0, 0, indent), expand=False))

    def problem(self, value: Any) -> None:
        """Print an error in red on standard error."""
        self.err.print(Text(clean(value), style="red"))

    @contextmanager
    def progress(self, first: str) -> Iterator[Listener | None]:
        """Show how far long work is, on standard error; nothing where nobody looks."""
        if not self.err.is_terminal:
            yield None
            return
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.err, transient=True) as shown:
            task = shown.add_task(clean(first), total=1.0)

            def listen(step: str, share: float) -> None:
                shown.update(task, description=clean(step).ljust(12), completed=share)

            yield listen

    @property
    def interactive(self) -> bool:
        """Is a person at the other end?"""
        return sys.stdin.isatty() and self.out.is_terminal


def _text(cell: Cell) -> Text:
    if isinstance(cell, Text):
        return cell
    if isinstance(cell, tuple):
        return Text(clean(cell[0]), style=cell[1])
    return Text("–" if cell is None else clean(cell), style="dim" if cell is None else "")
