"""Take a picture of every page of the dashboard, light and dark, wide and narrow: `make screenshots`.

Makes the demo's flywheel on its first run (two or three minutes) and keeps it beside the pictures; each later run works
on a copy of it with one more day, so that a spin waits for labels, two people disagree and reports have come in.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flywheel
from flywheel import demo
from flywheel.demo.post_office import PostOffice

CHROMIUM = "/usr/bin/chromium"
WIDTHS = {"wide": (1280, 860), "narrow": (390, 844)}
THEMES = ("light", "dark")
SPINS = 6


def main() -> None:
    """Read the command line, make what is missing, and take the pictures."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--into", type=Path, default=Path("screenshots"), help="where the pictures go")
    reader.add_argument("--folder", type=Path, help="a demo's folder to show a copy of, instead of a new one")
    reader.add_argument("--only", default="", help="pages by name, with commas")
    reader.add_argument("--widths", default=",".join(WIDTHS))
    reader.add_argument("--themes", default=",".join(THEMES))
    reader.add_argument("--wheel", type=Path, help="write the picture of the first page there too, as it is first seen")
    asked = reader.parse_args()
    made = asked.folder or asked.into / ".demo"
    if not (made / "flywheel.toml").exists():
        print(f"making the demo's flywheel in {made} ...")
        demo.run(made, spins=SPINS)
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "post office"
        shutil.copytree(made, copy)
        with flywheel.open(copy) as fw, flywheel.open(Path(place) / "new product") as empty:
            one_more_day(fw)
            with served({"post-office": fw, "new": empty}) as address:
                pages = {name: path for name, path in places(fw).items() if not asked.only or name in asked.only}
                take(address, pages, asked)


def one_more_day(fw: Any) -> None:
    """Traffic after the last spin, a spin that waits for its labels, a few answers that differ, and two reports."""
    if fw.spins()[-1].state == "waiting":
        return  # the folder that was given has had its day
    number = len([spin for spin in fw.spins() if spin.verdict])
    day = PostOffice(number + 1, 0).days[-1]
    demo._open_office(fw, day, [])
    fw.spin(budget=demo.LABELS_A_SPIN, at=day.end)
    waiting = fw.review_queue()
    truth = {tuple(read.pixels): read.digit for read in day.reads}
    for item in waiting[:9]:
        fw.label(item.id, truth.get(tuple(item.input), item.output), by="ana")
    for item in waiting[:2]:
        fw.label(item.id, (int(truth.get(tuple(item.input), 1)) + 1) % 10, by="ben")
    ids = [one.interaction_id for one in fw.failures(limit=3)]
    fw.report("The letter went to the wrong town", expected="the town on the envelope", interaction=ids[0])
    fw.report("Letters from the second counter come back every time")


def places(fw: Any) -> dict[str, str]:
    """Every page by name."""
    first = "/flywheels/post-office"
    modes, spins, versions = fw.modes(), fw.spins(), [one.version for one in fw.releases()]
    done = next(spin for spin in reversed(spins) if spin.verdict and spin.verdict.decision == "promote")
    failure = fw.failures(limit=1, mode=modes[0].id) or fw.failures(limit=1)
    found = {
        "sign-in": "/sign-in", "wheel": "/", "live": "/live?show=all", "modes": "/modes",
        "mode": f"/modes/{modes[0].id}", "interaction": f"/interactions/{failure[0].interaction_id}",
        "review": "/review", "disagreements": "/review?show=disagreements", "health": f"/health?spin={done.number}",
        "spins": "/spins", "spin": f"/spins/{done.number}", "releases": "/releases",
        "comparison": f"/releases?left={versions[0]}&right={versions[-1]}", "data": "/data",
        "dataset": f"/data/{done.dataset}", "reports": "/reports", "report-form": "/report-form",
        "not-found": "/spins/999",
    }  # fmt: skip
    return {name: f"{first}{path}" for name, path in found.items()} | {"empty": "/flywheels/new/"}


@contextmanager
def served(wheels: dict[str, Any]) -> Iterator[str]:
    """Serve them on a free port of this machine."""
    import uvicorn

    from flywheel.server import make_app

    server = uvicorn.Server(uvicorn.Config(make_app(wheels), port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def take(address: str, pages: dict[str, str], asked: argparse.Namespace) -> None:
    """Open each page in each theme and width, wait until it stands still, and write `<name>-<theme>-<width>.png`."""
    from playwright.sync_api import sync_playwright

    asked.into.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for theme in asked.themes.split(","):
            for width in asked.widths.split(","):
                wide, high = WIDTHS[width]
                looking = chromium.new_context(viewport={"width": wide, "height": high}, color_scheme=theme)
                looking.add_cookies([{"name": "flywheel_theme", "value": theme, "url": address}])
                for name, path in pages.items():
                    page = looking.new_page()
                    page.goto(f"{address}{path}", wait_until="networkidle", timeout=120_000)
                    page.locator(".fw-reading").wait_for(state="detached", timeout=120_000)
                    page.evaluate("dispatchEvent(new Event('beforeprint'))")  # draws the charts further down, too
                    page.wait_for_timeout(500)
                    page.screenshot(path=asked.into / f"{name}-{theme}-{width}.png", full_page=True)
                    if asked.wheel and (name, theme, width) == ("wheel", "light", "wide"):
                        page.screenshot(path=asked.wheel)
                    print(f"{name} {theme} {width}")
                    page.close()
                looking.close()
        chromium.close()


if __name__ == "__main__":
    main()
