"""Running the server: which address, and whether that is safe."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from flywheel.errors import InvalidConfig, MissingExtra, NotFound
from flywheel.server.access import is_loopback
from flywheel.server.app import make_app
from flywheel.server.warming import warm
from flywheel.server.watching import Lines

if TYPE_CHECKING:
    import socket

    import uvicorn

    from flywheel.wheel import Flywheel

__all__ = ["open_all", "serve"]

_MOST_AT_ONCE = 1000
_GRACE = 20  # seconds in which requests under way may end


def open_all(folders: Sequence[Path], stack: ExitStack) -> dict[str, Flywheel]:
    """Open flywheels by name, closed with the stack. Two of one name, or a folder that is none, is an error."""
    from flywheel import wheel

    found: dict[str, Flywheel] = {}
    for folder in folders:
        if not (folder / "flywheel.toml").is_file():
            raise NotFound(f"{folder.resolve()} is not a flywheel. Make one with: flywheel init {folder}")
        fw = stack.enter_context(wheel.open(folder))
        name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in fw.name)
        if name in found:
            raise InvalidConfig(
                f"{folder} and {found[name].folder} are both called {name!r}. Change product.name in one of them"
            )
        found[name] = fw
    return found


def serve(
    folders: Sequence[Path],
    host: str = "127.0.0.1",
    port: int = 8377,
    *,
    started: Callable[[str, dict[str, Flywheel]], None] | None = None,
) -> None:
    """Serve flywheels until interrupted; `started` is told the address and the flywheels once it listens.

    Refuses (`InvalidConfig`) an address that others can reach while a flywheel has no key.
    """
    try:
        import uvicorn
    except ModuleNotFoundError as missing:
        raise MissingExtra("the server needs uvicorn. Run: pip install 'dataflywheel[server]'") from missing
    with ExitStack() as stack:
        wheels = open_all(folders, stack)
        if not is_loopback(host):
            bare = [name for name, fw in wheels.items() if not fw.keys.exist() and not fw.config.oidc.issuer]
            if bare:
                raise InvalidConfig(
                    f"{host} can be reached by others, and {', '.join(bare)} has no key: anybody could read and write "
                    f"it. Make one with `flywheel keys create --folder {wheels[bare[0]].folder}`, or stay on 127.0.0.1"
                )
        _log_lines()
        config = uvicorn.Config(
            make_app(wheels, loopback=is_loopback(host)),
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=_MOST_AT_ONCE,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=_GRACE,
        )
        _server(config, started, wheels).run()


def _server(
    config: uvicorn.Config, started: Callable[[str, dict[str, Flywheel]], None] | None, wheels: dict[str, Flywheel]
) -> uvicorn.Server:
    """A server that says where it listens, and then gets ready what is read with."""
    import uvicorn

    class Listening(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            listening = [one for bound in self.servers for one in bound.sockets]
            if listening:
                host, port = listening[0].getsockname()[:2]
                if started is not None:
                    started(f"http://{f'[{host}]' if ':' in host else host}:{port}", wheels)
                warm()

    return Listening(config)


def _log_lines() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    for name in ("flywheel.server", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
