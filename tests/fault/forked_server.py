"""Serve a folder in forked children, one life after the other: imports once, so that a life costs milliseconds.

`python forked_server.py FOLDER PORT`: for each line on standard input one child is forked, which serves until it is
killed. Says `imported`, then for each life its process id, `serving` when it listens, and `gone`. `Lives` starts it.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

NEVER = 60.0  # seconds after which a test gives up


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Lives:
    """A server's lives, one after the other."""

    def __init__(self, folder: Path, port: int, url: str = "") -> None:
        self.port = port
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(folder), str(port)],
            env={**os.environ, "FLYWHEEL_STORE_URL": url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / "server.log").open("wb"),
        )
        self._said: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self._expect("imported")

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            self._said.put(line.decode().strip())

    def _expect(self, word: str) -> None:
        said = self._said.get(timeout=NEVER)
        assert said == word, f"expected {word!r}, the server said {said!r}"

    def begin(self) -> int:
        """Begin a life; its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"live\n")
        self._process.stdin.flush()
        return int(self._said.get(timeout=NEVER))

    def served(self) -> None:
        """Wait until it listens."""
        self._expect("serving")

    def kill(self, child: int) -> None:
        """End it at once."""
        os.kill(child, signal.SIGKILL)
        while (said := self._said.get(timeout=NEVER)) != "gone":
            assert said == "serving", said

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def say(text: object) -> None:
    os.write(1, f"{text}\n".encode())  # one system call: what was said before a kill is not lost


def live(folder: Path, port: int) -> None:
    from flywheel.server import serve

    serve([folder], port=port, started=lambda address, wheels: say("serving"))


def main(folder: Path, port: int) -> None:
    import anyio._backends._asyncio  # noqa: F401  everything that a life would have to import
    import uvicorn

    import flywheel.wheel as wheel
    from flywheel.server import make_app

    with wheel.open(folder) as fw:
        fw.log(input="nothing is left to import after this", id="the first", user="somebody")
        uvicorn.Config(make_app({"bot": fw}), log_config=None).load()
    say("imported")
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                live(folder, port)
            finally:
                os._exit(1)
        say(child)
        os.waitpid(child, 0)
        say("gone")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
