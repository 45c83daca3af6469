"""The dashboard over a long log: first views, filters, memory a page, and fifty open pages while much arrives.

`make bench-web` makes a folder of ten million interactions (once: it is kept, and measured again next time), serves it
with `flywheel serve` in a process of its own, and looks at it:

- *First view*: a tab is opened at the page's address in Chromium; what counts is the time from the start of the
  navigation to the frame after the page's content is there, with the charts of the first screen; those further down
  are drawn when they come near. What is worked out once a page stands (the evidence on one interaction, the balance of
  a dataset) comes after it. The browser has the scripts of the dashboard in its cache, as everybody's has who was there
  before; a first visit ever is measured beside it.
- *Filters*: the same for addresses with a filter, and for the filters of the API.
- *Memory*: the server's resident memory with no page open, and with as many as are asked for, each half a minute old.
- *Live*: pages are open while another process posts interactions to `/v1/interactions`, each with the moment at which
  it was made in its input. How far a page is behind is the age of the newest interaction that it shows, taken just
  before it shows a newer one. Two pages are Chromium's; the others are clients that open the page and speak its socket
  as its script does, because fifty browsers on two cores would measure the browsers.

With `--only`, the parts that are not measured again stay as they are in the results, with the commit they are of.

Targets: every first view p95 below 500 ms, every filter below 1 s, below 2 MB a page, never more than 5 s behind.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from web_folder import fill
from web_load import open_pages, post_steadily

import flywheel

HERE = Path(__file__).parent
RESULTS = HERE / "results"
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SEEN = """
(() => {
  const there = () => {
    const main = document.querySelector('main');
    if (!main || !main.innerText.trim() || main.querySelector('[aria-busy=true], .fw-reading')) return false;
    const first = [...main.querySelectorAll('.fw-chart')].filter((one) => {
      const { top, height } = one.getBoundingClientRect();
      return height && top < innerHeight;
    });
    return first.every((one) => one.querySelector('svg path'));
  };
  const look = () => {
    if (there()) requestAnimationFrame(() => setTimeout(() => { window.fwSeen = performance.now(); }));
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})();
"""
TARGETS = {"page_ms": 500, "filter_ms": 1000, "page_mb": 2.0, "behind_s": 5.0}


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, int]]:
    """Serve the folder in a process of its own: its address and the process's id."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    command = [sys.executable, "-c", "from flywheel.cli import main; main()", "serve", str(folder)]
    with Path(folder, "bench-serve.log").open("w") as told:
        process = subprocess.Popen([*command, "--port", str(port)], stdout=told, stderr=subprocess.STDOUT)
    base = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{base}/healthz", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                if process.poll() is not None:
                    sys.exit(f"the server ended: see {folder}/bench-serve.log")
                time.sleep(0.1)
        yield base, process.pid
    finally:
        process.terminate()
        process.wait(30)


def resident(pid: int) -> float:
    """Megabytes of memory a process holds."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]


def asked(base: str, path: str) -> Any:
    """What the API answers."""
    with urllib.request.urlopen(base + path, timeout=120) as answer:
        return json.loads(answer.read())


def addresses(folder: Path) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """The pages, their filters, and the API's filters."""
    with flywheel.open(folder) as fw:
        mode, number, made = fw.modes()[0].id, fw.spins()[-1].number, fw.datasets()[-1].hash
        one = fw.interactions(limit=1, error=True)[0][0].id
    pages = {
        "Wheel": "/", "Live": "/live", "Modes": "/modes", "one mode": f"/modes/{quote(mode)}",
        "one interaction": f"/interactions/{quote(one)}", "Review": "/review", "Health": "/health",
        "Spins": "/spins", "one spin": f"/spins/{number}", "Releases": "/releases", "Data": "/data",
        "one dataset": f"/data/{made}", "Reports": "/reports",
    }  # fmt: skip
    filters = {
        "Live, everything": "/live?show=all", "Live, a version": "/live?show=all&model=v4",
        "Live, a mode": f"/live?mode={quote(mode)}", "Live, a cause": "/live?cause=data+scarcity",
        "Live, a context value": "/live?show=all&where=device%3Dios%2C+network%3D3g",
        "Live, a rare value": "/live?show=all&where=plan%3Dnone", "Modes, open": "/modes?state=open",
        "Modes, fixed": "/modes?state=fixed", "Health, another spin": f"/health?spin={max(1, number - 1)}",
    }  # fmt: skip
    api = {
        "interactions, context": "/v1/interactions?limit=50&context.device=ios&context.network=3g",
        "interactions, version": "/v1/interactions?limit=50&model=v4",
        "interactions, errors": "/v1/interactions?limit=50&error=true",
        "interactions, doubtful": "/v1/interactions?limit=50&below_confidence=0.2",
        "interactions, none such": "/v1/interactions?limit=50&context.plan=none",
        "interactions, a user": "/v1/interactions?limit=50&user=nobody",
    }  # fmt: skip
    return pages, filters, api


def views(
    started: Any, browser: Any, base: str, paths: dict[str, str], loads: int, *, cold: bool
) -> dict[str, dict[str, Any]]:
    """Milliseconds to each page's content, by name."""
    found: dict[str, dict[str, Any]] = {}
    place = tempfile.TemporaryDirectory()  # a profile on disk, as people have: compiled scripts are kept there
    warm = None if cold else started.chromium.launch_persistent_context(
        place.name, executable_path=CHROMIUM, args=ARGUMENTS, viewport={"width": 1280, "height": 900}
    )  # fmt: skip
    for name, path in paths.items():
        times = []
        for turn in range(loads + (0 if cold else 2)):
            context = browser.new_context(viewport={"width": 1280, "height": 900}) if warm is None else warm
            context.set_default_timeout(60_000)
            page = context.new_page()
            page.add_init_script(SEEN)
            page.goto(base + path, wait_until="commit")
            page.wait_for_function("window.fwSeen")
            if turn > 1 or cold:  # the first two of a page fetch its scripts, and compile them
                times.append(float(page.evaluate("window.fwSeen")))
            page.close()
            if warm is None:
                context.close()
        found[name] = {"path": path, **spread(times)}
        print(f"  {name:<26}{found[name]['p50']:>8.0f}{found[name]['p95']:>8.0f} ms", flush=True)
    if warm is not None:
        warm.close()
    place.cleanup()
    return found


def answers(base: str, paths: dict[str, str], loads: int) -> dict[str, dict[str, Any]]:
    """Milliseconds to each of the API's answers."""
    found = {}
    for name, path in paths.items():
        times = []
        for _ in range(loads):
            started = time.perf_counter()
            asked(base, path)
            times.append(1000 * (time.perf_counter() - started))
        found[name] = {"path": path, **spread(times)}
        print(f"  {name:<26}{found[name]['p50']:>8.0f}{found[name]['p95']:>8.0f} ms", flush=True)
    return found


def spread(times: list[float]) -> dict[str, Any]:
    """Median, 95th percentile (the next one measured above it) and how many."""
    ordered = sorted(times)
    place = min(len(ordered) - 1, int(0.95 * len(ordered)))
    return {"p50": round(statistics.median(ordered), 1), "p95": round(ordered[place], 1), "n": len(ordered)}


def held_open(base: str, paths: list[str], **given: Any) -> dict[str, Any]:
    """`open_pages` in a thread of its own: this one's loop is Playwright's."""
    with ThreadPoolExecutor(1) as beside:
        return beside.submit(lambda: asyncio.run(open_pages(base, paths, **given))).result()


def memory(base: str, pid: int, paths: dict[str, str], count: int) -> dict[str, Any]:
    """Megabytes a page, by page: the server's memory with `count` of it open, less that with none."""
    found: dict[str, Any] = {}
    for name, path in paths.items():
        held_open(base, [path] * 3, seconds=2)  # whatever is loaded once
        time.sleep(12)  # closed pages are forgotten after ten seconds
        before = resident(pid)
        held = held_open(base, [path] * count, seconds=30, then=lambda: resident(pid))
        each = round((held["then"] - before) / count, 2)
        found[name] = {"pages": count, "before_mb": round(before), "mb_a_page": each}
        print(f"  {name:<26}{found[name]['mb_a_page']:>8.2f} MB", flush=True)
    return found


def live(browser: Any, base: str, pages: int, rate: int, seconds: int) -> dict[str, Any]:
    """How far open pages fall behind while so many interactions a second arrive."""
    posting = multiprocessing.get_context("spawn").Process(target=post_steadily, args=(base, rate, seconds + 6))
    wants = ["/live?show=all", "/live", "/live?show=all&where=device%3Dios", "/live?show=all&model=v-now"]
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tabs = [context.new_page() for _ in range(min(2, pages))]
    for tab in tabs:
        tab.goto(f"{base}/live?show=all")
        tab.evaluate(WATCH)
    posting.start()
    time.sleep(3)  # its own start
    others = [wants[k % len(wants)] for k in range(max(0, pages - len(tabs)))]
    held = held_open(base, others, seconds=seconds)
    seen = [tab.evaluate("window.fwBehind") for tab in tabs]
    posting.join(60)
    context.close()
    behind = [most for most in held["behind"] if most is not None] + [most for most in seen if most]
    return {
        "pages": pages, "rate": rate, "seconds": seconds, "pages_that_showed_any": len(behind),
        "behind_s_median": round(statistics.median(behind), 2) if behind else None,
        "behind_s_most": round(max(behind), 2) if behind else None,
        "behind_s_most_in_chromium": round(max(seen), 2) if seen else None,
    }  # fmt: skip


WATCH = r"""() => {
  window.fwBehind = 0; let newest = 0; const begun = Date.now() / 1000;
  setInterval(() => {
    const text = document.querySelector('main tbody tr')?.innerText || '';
    const times = [...text.matchAll(/made (\d+\.\d+)/g)].map((one) => +one[1]);
    const made = Math.max(newest, ...times.filter((at) => at > begun));
    if (made > newest) {
      if (newest) window.fwBehind = Math.max(window.fwBehind, Date.now() / 1000 - newest);
      newest = made;
    } else if (newest) window.fwNow = Date.now() / 1000 - newest;
  }, 100);
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--interactions", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="where the log is kept between runs")
    parser.add_argument("--loads", type=int, default=20, help="views of each page")
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--rate", type=int, default=2000, help="interactions a second for the open pages")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--only", nargs="+", choices=["views", "cold", "filters", "memory", "live"])
    parser.add_argument("--out", type=Path, default=RESULTS / "web.json")
    options = parser.parse_args()
    folder = options.folder or HERE.parent / f".bench-web-{options.interactions}"
    wanted = set(options.only or ["views", "cold", "filters", "memory", "live"])
    print(f"The folder {folder}: {options.interactions:,} interactions", flush=True)
    report: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "commit": subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE,
                                 check=False).stdout.strip(),
        "load_before": os.getloadavg()[0], "targets": TARGETS,
        "folder": fill(folder, options.interactions, lambda line: print(f"  {line}", flush=True)),
    }  # fmt: skip
    from playwright.sync_api import sync_playwright

    pages, filters, api = addresses(folder)
    with served(folder) as (base, pid), sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        if "views" in wanted:
            print("First views (p50, p95), the scripts in the browser's cache")
            report["views"] = views(started, browser, base, pages, options.loads, cold=False)
        if "cold" in wanted:
            print("First views by a browser that was never here")
            first = {"Wheel": "/", "Live": "/live"}
            report["cold"] = views(started, browser, base, first, max(3, options.loads // 4), cold=True)
        if "filters" in wanted:
            print("Filters")
            report["filters"] = views(started, browser, base, filters, options.loads, cold=False)
            report["api"] = answers(base, api, max(5, options.loads // 2))
        if "memory" in wanted:
            print("Memory of the server for an open page")
            kinds = {name: pages[name] for name in ("Wheel", "Live", "Modes", "one mode", "Review", "Health", "Data")}
            report["memory"] = memory(base, pid, kinds, options.pages)
        if "live" in wanted:
            print(f"{options.pages} pages while {options.rate:,} interactions a second arrive")
            report["live"] = live(browser, base, options.pages, options.rate, options.seconds)
            print(f"  {json.dumps(report['live'])}")
        browser.close()
    report["load_after"] = os.getloadavg()[0]
    _keep(report, json.loads(options.out.read_text()) if options.only and options.out.exists() else {})
    report["misses"] = misses(report)
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    print("\nAll targets met." if not report["misses"] else "\nMissed:\n  " + "\n  ".join(report["misses"]))


def _keep(report: dict[str, Any], before: dict[str, Any]) -> None:
    """Leave the parts that were not measured as they were; `commits` says of which commit each part is."""
    commits = {}
    for part in ("views", "cold", "filters", "api", "memory", "live"):
        if part in report:
            commits[part] = report["commit"]
        elif part in before:
            report[part], commits[part] = before[part], before.get("commits", {}).get(part, before["commit"])
    report["commits"] = commits


def misses(report: dict[str, Any]) -> list[str]:
    """What is beyond its target, a line each."""
    lines = [
        f"{name}: p95 {one['p95']:.0f} ms, target {TARGETS[target]} ms"
        for part, target in (("views", "page_ms"), ("filters", "filter_ms"), ("api", "filter_ms"))
        for name, one in report.get(part, {}).items()
        if one["p95"] >= TARGETS[target]
    ]
    lines += [
        f"{name}: {one['mb_a_page']} MB a page, target {TARGETS['page_mb']}"
        for name, one in report.get("memory", {}).items()
        if one["mb_a_page"] >= TARGETS["page_mb"]
    ]
    told = report.get("live")
    if told:
        if told["pages_that_showed_any"] < told["pages"]:
            lines.append(f"only {told['pages_that_showed_any']} of {told['pages']} pages showed anything")
        if (told["behind_s_most"] or 0) > TARGETS["behind_s"]:
            lines.append(f"a page was {told['behind_s_most']} s behind, target {TARGETS['behind_s']}")
    return lines


if __name__ == "__main__":
    main()
