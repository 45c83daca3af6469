"""The report form in a real browser: in a frame of another origin, by keyboard alone."""

from __future__ import annotations

import itertools
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import flywheel
from flywheel.server.form import snippet

sync = pytest.importorskip("websockets.sync.client")
BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not BROWSER, reason="there is no Chromium here to show the form in")]


class Browser:
    """What a test asks of Chromium, over its own protocol."""

    def __init__(self, address: str) -> None:
        self._socket = sync.connect(address, max_size=None)
        self._numbers = itertools.count(1)
        self.log: list[str] = []

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        asked = {"id": number, "method": method, "params": params}
        self._socket.send(json.dumps(asked if session is None else {**asked, "sessionId": session}))
        while True:
            said = json.loads(self._socket.recv(timeout=30))
            if said.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown", "Network.loadingFailed"):
                self.log.append(json.dumps(said["params"]))
            if said.get("id") == number:
                assert "error" not in said, said
                result: dict[str, Any] = said["result"]
                return result

    def attach(self, kind: str, part: str) -> str:
        """The session of the page or frame whose address has `part`."""
        for _ in range(100):
            for target in self.call("Target.getTargets", filter=[{}])["targetInfos"]:
                if target["type"] == kind and part in target["url"]:
                    session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
                    self.call("Log.enable", session)
                    self.call("Runtime.enable", session)
                    return str(session)
            time.sleep(0.1)
        raise AssertionError(f"no {kind} shows {part}")

    def ask(self, session: str, code: str) -> Any:
        return self.call("Runtime.evaluate", session, expression=code, returnByValue=True)["result"].get("value")

    def until(self, session: str, code: str) -> Any:
        for _ in range(100):
            found = self.ask(session, code)
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"never true: {code}")

    def press(self, session: str, key: str, code: int, text: str = "") -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", session, type=kind, key=key, windowsVirtualKeyCode=code, text=text)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    profile = tmp_path / "profile"
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--site-per-process", "--remote-debugging-port=0"]
    process = subprocess.Popen(
        [BROWSER, *options, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        place = profile / "DevToolsActivePort"
        for _ in range(300):
            if place.exists() and len(place.read_text().split()) == 2:
                break
            time.sleep(0.1)
        port, path = place.read_text().split()
        opened = Browser(f"ws://127.0.0.1:{port}{path}")
        yield opened
        opened.close()
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[str, Callable[[str], None]]]:
    """A product's page on another origin: its address, and a way to say what is on it."""
    folder = tmp_path / "shop"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def show(html: str) -> None:
        (folder / "index.html").write_text(f"<!doctype html><title>shop</title>{html}", encoding="utf-8")

    yield f"http://localhost:{server.server_port}", show
    server.shutdown()
    server.server_close()


@pytest.fixture
def served_form(
    tmp_path: Path, shop: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, str, Path]]:
    """A flywheel behind a real server, with an ingest key; the shop may frame its form."""
    folder = tmp_path / "bot"
    with flywheel.open(folder) as fw:
        fw.log(id="answer-1", input="where is my card", output="rates")
        key, _ = fw.keys.create("form", ["ingest"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("FLYWHEEL_REPORTS_EMBED_ON", shop[0])
    command = [str(Path(sys.executable).with_name("flywheel")), "serve", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", key, folder
    finally:
        process.terminate()
        process.wait(20)


def test_a_report_is_filed_in_a_frame_by_keyboard_alone(browser, shop, served_form) -> None:
    (origin, show), (address, key, folder) = shop, served_form
    show(snippet(address, key).replace("INTERACTION", "answer-1"))
    browser.call("Target.createTarget", url=f"{origin}/index.html")
    frame = browser.attach("iframe", "/report-form")
    browser.until(frame, "document.readyState === 'complete' && !!document.getElementById('what')")
    assert browser.ask(frame, "!document.getElementById('about').hidden")
    browser.ask(frame, "document.getElementById('send').focus()")
    browser.press(frame, "Enter", 13, "\r")  # nothing said yet: the problem is announced, and the cursor is where it is
    browser.until(frame, "document.getElementById('problem').textContent.includes('what happened')")
    assert browser.ask(frame, "document.activeElement.id") == "what"
    browser.call("Input.insertText", frame, text="I was told <b>rates</b> & nothing else")
    browser.press(frame, "Tab", 9)
    browser.call("Input.insertText", frame, text="my card")
    browser.press(frame, "Tab", 9)
    browser.press(frame, "Enter", 13, "\r")
    token = browser.until(frame, "document.getElementById('token').textContent")
    assert browser.ask(frame, "document.activeElement.id") == "got"
    with flywheel.open(folder) as fw:
        (report,) = fw.reports()
        assert (report.what, report.expected) == ("I was told <b>rates</b> & nothing else", "my card")
        assert (report.interaction_id, report.state, report.by) == ("answer-1", "joined", None)
        fw.close_report(report.id, "<img src=x onerror=alert(1)> cannot be changed")
    browser.ask(frame, "document.getElementById('link').click()")
    closed = "(document.getElementById('line') || {textContent: ''}).textContent"
    line = browser.until(frame, f"{closed}.includes('closed') && {closed}")
    assert "<img src=x onerror=alert(1)>" in line  # as text
    assert browser.ask(frame, "document.images.length") == 0
    assert browser.ask(frame, "document.querySelectorAll('#dates dt').length") >= 2
    assert token.startswith("rp_")
    assert browser.log == []  # nothing was blocked, nothing failed


def test_a_page_that_was_not_named_cannot_frame_it(browser, shop, served_form) -> None:
    (origin, show), (address, key, _) = shop, served_form
    show(snippet(address, key))
    stranger = origin.replace("localhost", "127.0.0.1")
    browser.call("Target.createTarget", url=f"{stranger}/index.html")
    page = browser.attach("page", stranger)
    browser.until(page, "document.readyState === 'complete'")
    time.sleep(1.0)
    browser.ask(page, "1")
    assert any("frame-ancestors" in entry for entry in browser.log)
