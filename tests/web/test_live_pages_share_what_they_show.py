"""Live pages with one filter share rows and counts, which are those of all that arrived, in whatever pieces it came."""

from __future__ import annotations

from collections import Counter

import pytest

import flywheel

pytest.importorskip("nicegui", reason="the dashboard needs the extra `web`")

from flywheel.web.following import ROWS, Stream, Wanted


class Seen:
    """A page that keeps what it was told."""

    def __init__(self):
        self.rows, self.counts = [], 0

    def show(self, rows):
        self.rows = [*rows, *self.rows]

    def count(self):
        self.counts += 1


def row(one):
    return {"k": one.seq, "x": one.interaction.input}


@pytest.fixture
def arrived(tmp_path):
    with flywheel.open(tmp_path / "wheel", task="classification") as fw:
        for n in range(150):
            fw.log(
                input=f"n{n}", output="a", confidence=0.2 if n % 3 == 0 else 0.9, model=f"v{n % 2}",
                context={"device": "ios" if n % 5 else "web", "beta": n % 4 == 0},
            )  # fmt: skip
        yield fw.arrivals(0, 1000)[0]


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(),
        Wanted(failures=False),
        Wanted(failures=False, model="v1"),
        Wanted(failures=False, where="device=ios, beta=true"),
        Wanted(where="device=web"),
        Wanted(failures=False, where="nothing=such"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 150])
def test_counts_and_rows_are_those_of_all_that_fits(arrived, wanted, size):
    stream, pages = Stream(wanted, row), [Seen(), Seen()]
    stream.pages.extend(pages)
    for begin in range(0, len(arrived), size):
        stream.tell(arrived[begin : begin + size], None)
    fits = [one for one in arrived if wanted.takes(one)]
    failed = Counter(bool(one.signs) for one in fits)
    assert [sum(held[k] for held in stream.counts.values()) for k in (0, 1)] == [failed[True], failed[False]]
    newest = [one.seq for one in reversed(fits)][:ROWS]
    assert [one["k"] for one in stream.rows] == newest
    assert stream.last == arrived[-1].seq
    for page in pages:
        shown = [one["k"] for one in page.rows]
        assert shown[:30] == newest[:30]
        assert shown == sorted(shown, reverse=True)
        assert page.counts >= 1


def test_pages_are_told_why_nothing_comes_and_that_it_is_over(arrived):
    stream, page = Stream(Wanted(), row), Seen()
    stream.pages.append(page)
    stream.tell(arrived, "the disk is away")
    assert stream.problem == "the disk is away"
    stream.tell([], None)
    assert stream.problem is None


def test_a_closed_page_s_elements_go_at_once_and_wait_for_no_collector() -> None:
    import gc
    import weakref

    from nicegui import Client
    from nicegui.page import page

    from flywheel.web import marks
    from flywheel.web.mounting import _let_go

    gc.collect()
    gc.disable()
    try:
        with Client(page("/let-go")) as client:
            marks.table("Lines", ("Line",), [(lambda: marks.say("x", "p", "fw-dim"),) for _ in range(5)])
        held = [weakref.ref(part) for one in client.elements.values() for part in (one, one._classes, one._props)]
        _let_go(client)
        client.delete()
        del client
        assert not [one for one in held if one() is not None]
    finally:
        gc.enable()
