"""Free loopback ports, remembered by name so that addresses stored by an earlier start stay valid."""

from __future__ import annotations

import json
import socket
from pathlib import Path

HOST = "127.0.0.1"


class Ports:
    """Opens listening sockets on loopback: on the port of last time while it is free, else on a new one."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known = _read(file)
        self._chosen: dict[str, int] = {}

    def listen(self, name: str) -> socket.socket:
        """A bound socket for `name`; whoever gets it closes it."""
        bound = _bind(self._known.get(name, 0)) or _bind(0)
        if bound is None:
            raise OSError(f"no free port on {HOST} for {name}")
        self._remember(name, bound.getsockname()[1])
        return bound

    def reserve(self, name: str) -> int:
        """A port for a child process to bind. Somebody else may take it first: be ready to ask again."""
        with self.listen(name) as bound:
            port: int = bound.getsockname()[1]
        return port

    def forget(self, name: str) -> None:
        """Do not offer this port again."""
        self._known.pop(name, None)

    def _remember(self, name: str, port: int) -> None:
        self._chosen[name] = port
        self._known[name] = port
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self._known, indent=2, sort_keys=True) + "\n")


def _read(file: Path) -> dict[str, int]:
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {str(name): port for name, port in content.items() if isinstance(port, int) and 0 < port < 65536}


def _bind(port: int) -> socket.socket | None:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # A restart must get its port back while connections of the earlier run are still in TIME_WAIT.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, port))
    except OSError:
        bound.close()
        return None
    return bound
