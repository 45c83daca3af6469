"""Parameters of log messages → `<*>`, a whole column at a time.

Two levels. What nearly every line holds (numbers, addresses with digits, hexadecimal ids) is masked first, by one pass
over the column in C++; the few distinct texts that are left then go through the finer masks. So the cost of the finer
ones hardly counts, and Python only ever sees distinct, masked texts: no value of a parameter is kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["WILD", "masked"]

WILD = "<*>"

# A number with what is glued to it (10.0.0.7:80, 12ms, 2026-01-05), or six hexadecimal digits and more.
_COARSE = r"\b[0-9a-f]{6,}\b|(?:\b0x)?\d(?:[\w.:-]*\w)?"

_BEFORE = r"(^|[\s(=:'\"\[,<{|])"
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_VALUE = r"[^\s,;=()\[\]{}\"'|]+"

_FINE = (
    # an address on the web, a mail address
    (r"[\w.+-]+://[^\s,;'\"\])}]+", WILD),
    (r"[\w.+<*>-]+@[\w<*>-]+(?:\.[\w<*>-]+)+", WILD),
    # a date written out
    (rf"\b(?:{_DAY},? )?{_MONTH} <\*>(?: <\*>)*(?: [A-Z]{{2,4}} <\*>)?", WILD),
    # signs before numbers, sizes behind them
    (_BEFORE + r"[-+]<\*>", r"\1" + WILD),
    (r"([A-Za-z]_)-<\*>", r"\1" + WILD),
    (r"<\*> ?[KMGTP]?i?B\b", WILD),
    # a path
    (_BEFORE + r"[\w.-]*(?:/+(?:[\w.$<*>:@+~%-]*[\w$>*~-])?)*/(?:[\w.$<*>:@+~%-]*[\w$>*~-])/*", r"\1" + WILD),
    (_BEFORE + r"/([\s,;)\]}]|$)", r"\1" + WILD + r"\2"),
    # a name in three parts and more: hosts, classes, packages
    (r"[\w<*>-]+(?:\.[\w<*>$-]+){2,}", WILD),
    # what a field is set to
    (r"=\"[^\"]*\"", "=" + WILD),
    (r"=[\w.]*\{[^{}]*\}", "=" + WILD),
    (r"=" + _VALUE, "=" + WILD),
    (r"(\s=\s?)" + _VALUE, r"\1" + WILD),
    (r"\b(?:true|false|null|True|False|None|NULL|NaN)\b", WILD),
)


def masked(messages: pa.Array | pa.ChunkedArray) -> tuple[list[str], np.ndarray[Any, Any]]:
    """Give the distinct masked texts, in order of first appearance, and for each message which of them it is.

    A missing message is an empty text. O(characters), about a million lines a second.
    """
    if isinstance(messages, pa.ChunkedArray):
        messages = messages.combine_chunks()
    if messages.type != pa.string():
        messages = messages.cast(pa.string())
    if messages.null_count:
        messages = pc.fill_null(messages, "")
    raw = messages.dictionary_encode()
    coarse = pc.replace_substring_regex(raw.dictionary, _COARSE, WILD).dictionary_encode()
    texts = coarse.dictionary
    for pattern, by in _FINE:
        texts = pc.replace_substring_regex(texts, pattern, by)
    fine = texts.dictionary_encode()
    steps = (fine.indices.to_numpy(), coarse.indices.to_numpy(), raw.indices.to_numpy())
    return fine.dictionary.to_pylist(), steps[0][steps[1]][steps[2]]
