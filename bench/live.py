"""What a person waits for on the dashboard: a failure that another process logs, the next item after a key in Review.

Three processes: a server, a writer that logs failures into the server's folder, and this one with Debian's Chromium.
The writer notes the moment at which `log()` returned (the record is on stable storage then), the page the moment at
which the words stand in it; all on one clock. In Review, the page itself takes the time from the key to the frame in
which the next item is drawn. Beside both stands the same server's answer to `GET /readyz`, the least anything can take.

    make bench-live
    make bench-live ARGS="--failures 50 --keys 40"
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import flywheel
from flywheel.curate import ReviewQueue
from flywheel.records import Selection, Spin

RESULTS = Path(__file__).parent / "results"
LABELS = ("lost card", "pin", "transfer", "fees", "exchange rate")
WRITER = """
import json, random, sys, time
import flywheel
rng = random.Random(0)
with flywheel.open(sys.argv[1]) as fw:
    for n in range(int(sys.argv[2])):
        time.sleep(rng.uniform(0.3, 0.9))
        fw.log(input=f"failure {n} from elsewhere", output="a", error="timeout")
        print(json.dumps([n, time.time()]), flush=True)
"""
SEEN = """
window.seen = {};
new MutationObserver(() => {
  for (const found of document.querySelectorAll('tbody a')) {
    const words = found.textContent;
    if (words.startsWith('failure ') && !(words in window.seen)) window.seen[words] = Date.now() / 1000;
  }
}).observe(document, {childList: true, subtree: true, characterData: true});
"""
PRESSED = """
window.took = []; window.item = '';
let pressed = 0;
document.addEventListener('keydown', () => { pressed = performance.now(); }, true);
new MutationObserver(() => {
  const found = document.querySelector('.fw-desk .fw-text');
  if (!found || found.textContent === window.item) return;
  window.item = found.textContent;
  if (pressed) requestAnimationFrame(() => { window.took.push(performance.now() - pressed); pressed = 0; });
}).observe(document, {childList: true, subtree: true, characterData: true});
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--failures", type=int, default=50)
    parser.add_argument("--keys", type=int, default=40)
    parser.add_argument("--queue", type=int, default=500, help="items that wait in the review queue")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flywheel-live-") as folder:
        _fill(folder, asked.queue)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = subprocess.Popen(
            [sys.executable, "-c", "from flywheel.cli import main; main()", "serve", folder, "--port", str(port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(address)
            found = _measure(address, folder, asked)
        finally:
            server.terminate()
            server.wait(30)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    report = {
        "commit": commit.stdout.strip(), "machine": f"{platform.machine()} {platform.system()}, {os.cpu_count()} cores",
        "load": [round(one, 1) for one in os.getloadavg()], "python": platform.python_version(), **vars(asked), **found,
    }  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "live.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for name, figures in found.items():
        sys.stdout.write(f"{name:45} " + "  ".join(f"{key} {value:,.0f} ms" for key, value in figures.items()) + "\n")


def _fill(folder: str, queue: int) -> None:
    with flywheel.open(folder, task="classification") as fw:
        ids = fw.log_many({"id": f"i{n}", "input": f"item {n}", "output": LABELS[n % 5], "confidence": 0.9,
                           "context": {"device": "ios"}} for n in range(queue))  # fmt: skip
        seen = [fw.interaction(id)[0] for id in ids]
        chosen = [
            Selection(interaction_id=one.id, propensity=1.0, audit=False, why="the model is unsure", suggestions=LABELS)
            for one in seen
        ]
        ReviewQueue(fw._store.state).fill(chosen, seen, 1)
        spin = Spin(number=1, state="waiting", step="label", budget=queue, waiting_for=queue, started_at=_now())
        fw._store.state.save_spin(spin)


def _now() -> datetime:
    return datetime.now(UTC)


def _wait(address: str) -> None:
    until = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"{address}/readyz", timeout=5).read()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def _measure(address: str, folder: str, asked: argparse.Namespace) -> dict[str, dict[str, float]]:
    from playwright.sync_api import sync_playwright

    least = []
    for _ in range(50):
        started = time.perf_counter()
        urllib.request.urlopen(f"{address}/readyz", timeout=30).read()
        least.append((time.perf_counter() - started) * 1000)
    with sync_playwright() as started_playwright:
        browser = started_playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        live, review = _live(browser, address, folder, asked.failures), _review(browser, address, asked.keys)
        browser.close()
    return {
        "GET /readyz": _figures(least),
        "logged elsewhere to seen in Live": _figures(live),
        "key to next item in Review": _figures(review),
    }


def _live(browser: Any, address: str, folder: str, count: int) -> list[float]:
    page = browser.new_page()
    page.add_init_script(SEEN)
    page.goto(f"{address}/live")
    page.wait_for_selector(".fw-dot")
    page.wait_for_timeout(2000)
    done = subprocess.run(
        [sys.executable, "-c", WRITER, folder, str(count)], capture_output=True, text=True, check=True
    )
    page.wait_for_function(f"Object.keys(window.seen).length >= {count}", timeout=120_000)
    seen = page.evaluate("window.seen")
    page.close()
    logged = dict(json.loads(line) for line in done.stdout.splitlines())
    return [(seen[f"failure {n} from elsewhere"] - at) * 1000 for n, at in logged.items()]


def _review(browser: Any, address: str, count: int) -> list[float]:
    page = browser.new_page()
    page.add_init_script(PRESSED)
    page.goto(f"{address}/review")
    page.wait_for_function("window.item !== ''")
    page.wait_for_timeout(1000)
    for n in range(count):
        page.keyboard.press(str(n % len(LABELS) + 1))
        page.wait_for_function(f"window.took.length > {n}", timeout=60_000)
    took: list[float] = page.evaluate("window.took")
    page.close()
    return took


def _figures(took: list[float]) -> dict[str, float]:
    cut = statistics.quantiles(took, n=20)
    return {"p50": round(statistics.median(took), 1), "p95": round(cut[18], 1), "most": round(max(took), 1)}


if __name__ == "__main__":
    main()
