"""Cells that people open in a spreadsheet: what would run there as a formula is kept text, and comes back as it was.

Spreadsheets run cells that begin with = + - @ (OWASP, CSV injection), in any of their Unicode forms; some take white
space and signs that nobody sees away first. Such a cell, and one that begins with a tab or a line's end, gets an
apostrophe before it, unless it is a number. Reading takes that one apostrophe away again, so that nothing is lost.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["NUMBER", "guarded", "unguarded"]

NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d+)?(?:[eE][+-]?\d{1,3})?")
"""What is a number in a cell: what JSON calls one. `007` and `1,5` are text."""
_SIGNS = frozenset("=+-@")
_UNSEEN = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})


def guarded(cell: str) -> str:
    """Put an apostrophe before what a spreadsheet would run as a formula.

    >>> guarded("=HYPERLINK(A1)"), guarded("-5.3"), guarded("-x"), guarded(" =1")
    ("'=HYPERLINK(A1)", '-5.3', "'-x", "' =1")
    """
    return f"'{cell}" if _runs(cell) and not NUMBER.fullmatch(cell) else cell


def unguarded(cell: str) -> str:
    """Take that apostrophe away again."""
    return cell[1:] if cell.startswith("'") and _runs(cell) else cell


def _runs(cell: str) -> bool:
    """Would it run, once the apostrophes before it are gone?"""
    rest = cell.lstrip("'")
    if rest[:1] in ("\t", "\r", "\n"):
        return True
    for sign in rest:
        if unicodedata.category(sign) not in _UNSEEN:
            return unicodedata.normalize("NFKC", sign)[:1] in _SIGNS
    return False
