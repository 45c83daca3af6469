"""Logged values are drawn for what they are; whatever they hold, no markup and no request comes of it."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("nicegui", reason="the dashboard needs the extra `web`")

from nicegui import Client
from nicegui.page import page

from flywheel.web import marks, pictures
from flywheel.web.drawing import drawn, plain

TAGS = {"div", "pre", "p", "span", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "ol", "li", "img"}
CHART, TABLE = "nicegui-chart", "nicegui-table"
TAGS |= {CHART, TABLE}
HOSTILE = st.sampled_from(
    [
        "<script>window.hit=1</script>",
        "<img src=x onerror=window.hit=1>",
        "data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+",
        'data:image/png;base64,iVBORw0KGgo" onerror="x',
        "data:text/html;base64,PHNjcmlwdD4=",
        "https://elsewhere.example/x.png",
        "javascript:alert(1)",
        "\x00\x1b[31m\u202e",
        "\ud800",
        "=1+1",
        "/9j/" + "A" * 60,
        "UklGR" + "A" * 60,
    ]
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats(), st.text(), HOSTILE)
WORDS = st.one_of(
    st.sampled_from(["role", "content", "messages", "choices", "message", "parts", "type", "text"]), st.text()
)
WORDS = st.one_of(WORDS, st.sampled_from(["image_url", "url", "tool_calls", "name", "source", "data"]))
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=8), st.dictionaries(WORDS, inner, max_size=6)),
    max_leaves=40,
)
TURN = st.fixed_dictionaries(
    {"role": st.one_of(st.text(), HOSTILE, st.sampled_from(["user", "assistant"])), "content": JSON},
    optional={"name": JSON, "tool_calls": JSON},
)
GRIDS = st.integers(0, 12).flatmap(
    lambda width: st.lists(
        st.lists(st.one_of(st.floats(), st.integers(-5, 300), st.lists(st.integers(0, 255), max_size=4)),
                 min_size=width, max_size=width), max_size=12)
)  # fmt: skip
VALUES = st.one_of(
    JSON,
    st.lists(TURN, max_size=5),
    st.fixed_dictionaries({"messages": st.lists(TURN, max_size=4)}),
    GRIDS,
    st.lists(GRIDS, min_size=3, max_size=3),
    st.lists(st.floats(), max_size=80),
    st.lists(st.integers(0, 16), min_size=64, max_size=64),
    st.lists(st.dictionaries(WORDS, SCALARS, max_size=14), max_size=8),
    HOSTILE,
    st.text(min_size=1000, max_size=3000),
)


@pytest.fixture
def sheet() -> Iterator[Any]:
    with Client(page("/drawing-tried")) as client:
        yield client
        client.delete()


def elements(client: Any, value: Any) -> list[Any]:
    """What is drawn of a value, every element of it."""
    client.layout.clear()
    with client.layout:
        drawn(value)
    return list(client.layout.descendants())


def words(found: list[Any]) -> str:
    return "\n".join(word for one in found for word in spoken(one))


def spoken(one: Any) -> list[str]:
    """The words that one element shows: of a table its heads and cells."""
    if isinstance(one, marks.Table):
        cells = [cell for row in one.rows for cell in row if cell is not None]
        return [*one.heads, *(cell if isinstance(cell, str) else cell["t"] for cell in cells)]
    return [one.text] if hasattr(one, "text") else []


def drawings(found: list[Any]) -> list[Any]:
    return [one for one in found if one.tag == CHART]


def tags(found: list[Any]) -> list[str]:
    return [one.tag for one in found]


@pytest.mark.slow
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=VALUES)
def test_any_value_is_drawn_and_none_of_it_as_markup(sheet: Any, value: Any) -> None:
    found = elements(sheet, value)
    assert found, "nothing is shown"
    for one in found:
        assert one.tag in TAGS, one.tag
        assert not {"innerHTML", "href", "srcdoc", "onclick", "onerror"} & set(one._props), one._props
        if one.tag == "img":
            kind, _, body = one._props["src"].partition(";base64,")
            assert kind in ("data:image/png", "data:image/jpeg", "data:image/gif", "data:image/webp")
            base64.b64decode(body, validate=True)
        words([one]).encode("utf-8")  # no half of a surrogate pair is left, which no browser would take
        if one.tag == TABLE:
            assert all(cell is None or isinstance(cell, str) for row in one.rows for cell in row), "no link, no look"
    for chart in drawings(found):
        json.dumps(chart.drawn, allow_nan=False)


@settings(max_examples=200, deadline=None)
@given(text=st.one_of(st.text(), HOSTILE, st.binary().map(lambda data: base64.b64encode(data).decode())))
def test_a_text_is_a_picture_only_with_a_head_that_says_so(text: str) -> None:
    for tried in (text, f"data:image/png;base64,{text}", f"data:image/svg+xml;base64,{text}"):
        found = pictures.of_text(tried)
        assert found is None or found.source.startswith(
            ("data:image/png;", "data:image/jpeg;", "data:image/gif;", "data:image/webp;")
        )


@given(text=st.text(alphabet=st.characters(codec="utf-8")))
def test_text_that_a_browser_takes_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


def png(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


def test_encoded_images_are_shown_by_what_they_are(sheet: Any) -> None:
    encoded = base64.b64encode(png(30, 20)).decode()
    for value in (encoded, f"data:image/png;base64,{encoded}", f"data:image/gif;base64,{encoded}"):
        (image,) = [one for one in elements(sheet, value) if one.tag == "img"]
        assert image._props["src"] == f"data:image/png;base64,{encoded}"
        assert "30 × 20" in image._props["alt"]
    gif = base64.b64encode(b"GIF89a" + struct.pack("<HH", 7, 9) + b"\0" * 60).decode()
    assert pictures.of_text(gif)
    assert "7 × 9 points, GIF" in pictures.of_text(gif).says
    jpeg = b"\xff\xd8\xff\xe0" + struct.pack(">H", 16) + b"JFIF" + b"\0" * 10
    jpeg += b"\xff\xc0" + struct.pack(">HBHH", 17, 8, 11, 13) + b"\0" * 40
    shown = pictures.of_text(base64.b64encode(jpeg).decode())
    assert shown is not None
    assert (shown.width, shown.height) == (13, 11)
    webp = b"RIFF" + b"\0" * 4 + b"WEBPVP8X" + b"\0" * 8 + (99).to_bytes(3, "little") + (49).to_bytes(3, "little")
    shown = pictures.of_text(base64.b64encode(webp + b"\0" * 20).decode())
    assert shown is not None
    assert (shown.width, shown.height) == (100, 50)


def test_a_picture_that_would_cost_a_browser_its_memory_stays_text(sheet: Any) -> None:
    bomb = base64.b64encode(png(60_000, 60_000)).decode()
    found = elements(sheet, bomb)
    assert "img" not in tags(found)
    assert bomb[:40] in words(found)


def decoded(image: Any) -> tuple[int, int, bytes]:
    """Sides and points of a picture that we have drawn ourselves."""
    data = base64.b64decode(image._props["src"].partition(",")[2])
    width, height = struct.unpack(">II", data[16:24])
    length = struct.unpack(">I", data[33:37])[0]
    raw, channels = zlib.decompress(data[41 : 41 + length]), {0: 1, 2: 3}[data[25]]
    line = 1 + width * channels
    return width, height, b"".join(raw[at + 1 : at + line] for at in range(0, len(raw), line))


@pytest.mark.parametrize(
    ("value", "sides", "points"),
    [
        ([0, 16] * 32, (8, 8), bytes([0, 255] * 32)),
        ([[0, 128, 255, 0]] * 5, (4, 5), bytes([0, 128, 255, 0] * 5)),
        ([[[255, 0, 10]] * 4] * 6, (4, 6), bytes([255, 0, 10] * 24)),
        ([[[1.0, 0.0, 0.0, 0.5]] * 4] * 4, (4, 4), bytes([255, 0, 0] * 16)),
        ([[[1, 1, 1, 1]] * 4, [[0, 0, 0, 0]] * 4, [[1, 1, 1, 1]] * 4], (4, 4), bytes([255, 0, 255] * 16)),
        ([[[7], [7], [7], [9]]] * 4, (4, 4), bytes([0, 0, 0, 255] * 4)),
    ],
    ids=["flat", "rows", "colours", "colours with alpha", "planes", "one channel"],
)
def test_numbers_that_are_a_picture_have_its_points(
    sheet: Any, value: Any, sides: tuple[int, int], points: bytes
) -> None:
    (image,) = [one for one in elements(sheet, value) if one.tag == "img"]
    assert decoded(image) == (*sides, points)


def test_a_large_picture_is_thinned_out(sheet: Any) -> None:
    (image,) = [one for one in elements(sheet, [[0, 1] * 1000] * 50) if one.tag == "img"]
    assert decoded(image)[0] <= 512
    assert "2000 × 50" in image._props["alt"]


def test_an_embedding_is_drawn_as_features_and_not_as_a_picture(sheet: Any) -> None:
    found = elements(sheet, [0.5, -0.25] * 32)
    assert "img" not in tags(found)
    assert len(drawings(found)) == 1
    assert "64 features" in words(found)
    assert "0.5, -0.25" in words(found)


def test_a_long_vector_says_how_much_of_it_is_drawn(sheet: Any) -> None:
    found = elements(sheet, [-1.0, float("nan"), float("inf")] * 1000)
    (chart,) = drawings(found)
    assert len(chart.drawn["series"][0]["y"]) == 1024
    assert "3,000 features" in words(found)
    assert "2,000 are no finite number" in words(found)


def test_chats_of_the_common_forms_are_shown_turn_by_turn(sheet: Any) -> None:
    turns = [
        {"role": "user", "content": "where is <b>it</b>?"},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "here"}, {"type": "output_text", "text": "and there"}],
        },
    ]
    for value in (turns, {"messages": turns, "model": "m"}, {"choices": [{"message": one} for one in turns]}):
        found = elements(sheet, value)
        (chat,) = [one for one in found if "fw-chat" in one._classes]
        assert len(list(chat)) == 2
        assert "where is <b>it</b>?" in words(found)
        assert "here" in words(found)
        assert "and there" in words(found)
    alone = elements(sheet, {"role": "assistant", "content": None, "tool_calls": [{"name": "look_up", "id": 7}]})
    assert "look_up" in words(alone)
    assert "tool calls" in words(alone)
    parts = elements(sheet, [{"role": "user", "parts": [{"type": "text", "content": "in parts"}]}])
    assert "in parts" in words(parts)


def test_pictures_in_a_chat_are_drawn_and_those_elsewhere_are_words(sheet: Any) -> None:
    encoded = f"data:image/png;base64,{base64.b64encode(png(8, 8)).decode()}"

    def said(url: str) -> Any:
        return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]

    assert "img" in tags(elements(sheet, said(encoded)))
    elsewhere = elements(sheet, said("https://elsewhere.example/a.png"))
    assert "img" not in tags(elsewhere)
    assert "https://elsewhere.example/a.png" in words(elsewhere)


def test_records_are_tables_and_say_how_many_rows_there_are(sheet: Any) -> None:
    found = elements(sheet, [{"name": f"row {n}", "sum": n, "more": {"deep": ["x"]}} for n in range(80)])
    (table,) = [one for one in found if isinstance(one, marks.Table) and "sum" in one.heads]
    assert table.heads[:3] == ["name", "sum", "more"]
    assert "The first 50 of 80 rows" in words(found)
    assert [head["t"] for head in table._props["heads"] if head["k"] == "num"] == ["sum"]
    (other,) = [one for one in elements(sheet, [["a", "b"], ["c"]]) if isinstance(one, marks.Table)]
    assert [[*row] for row in other.rows] == [["a", "b"], ["c", "–"]]


def test_fields_are_drawn_each_for_what_it_is(sheet: Any) -> None:
    found = elements(sheet, {"age": 37, "pixels": [0, 1] * 32, "note": "<i>x</i>", "deep": {"a": {"b": 1}}})
    assert "img" in tags(found)
    assert {"age", "37", "<i>x</i>", "b"} <= set(words(found).split("\n"))


def test_a_long_text_is_folded_and_none_of_it_lost(sheet: Any) -> None:
    text = "".join(f"{n:06d} " for n in range(3_000))
    found = elements(sheet, text)
    assert "details" in tags(found)
    assert "All 21,000 characters" in words(found)
    assert any(one.text == text for one in found if hasattr(one, "text"))
    huge = elements(sheet, "x" * 300_000)
    assert "The first 100,000 of 300,000 characters" in words(huge)


def test_what_is_nested_without_end_still_ends(sheet: Any) -> None:
    deep: Any = "leaf"
    for _ in range(2_000):
        deep = {"in": deep}
    assert "nested too deeply" in words(elements(sheet, deep))
    wide = {f"k{n}": {f"m{m}": {f"o{o}": list("ab") for o in range(20)} for m in range(20)} for n in range(60)}
    assert len(elements(sheet, wide)) < 20_000


def test_a_number_longer_than_python_writes_out_is_shown_by_its_size(sheet: Any) -> None:
    assert "bits" in words(elements(sheet, 10**5000))
    assert "too long to be written out" in words(elements(sheet, [10**5000, 10**5000, 10**5000]))
    elements(sheet, {"a": {"b": {"c": {"d": {"e": 10**5000}}}}})
