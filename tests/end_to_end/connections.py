"""Where a process and everything it starts connects to: recorded by strace, or looked up in /proc now and then."""

from __future__ import annotations

import ipaddress
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.end_to_end.program import descendants

CALLS = "connect,sendto,sendmsg,sendmmsg"
_FOLLOWED = re.compile(r"^(?P<pid>\d+) +execve\(", re.MULTILINE)
_STARTED = re.compile(r"^(?P<pid>\d+) +(?:connect|sendto|sendmsg|sendmmsg)\(")
_ADDRESS = re.compile(r'inet_addr\("(?P<v4>[^"]+)"\)|inet_pton\(AF_INET6, "(?P<v6>[^"]+)"')
_LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    pid: int
    address: str

    @property
    def is_loopback(self) -> bool:
        return _plain(self.address).is_loopback


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    found = ipaddress.ip_address(address)
    return getattr(found, "ipv4_mapped", None) or found


def can_trace() -> bool:
    """Whether strace is there and may trace."""
    program = shutil.which("strace")
    if program is None:
        return False
    tried = subprocess.run(
        [program, "--seccomp-bpf", "-f", "-o", "/dev/null", "-e", "trace=connect", "true"],
        capture_output=True,
        check=False,
    )
    return tried.returncode == 0


def can_look() -> bool:
    return sys.platform == "linux"


class Traced:
    """Every address that any process of the tree named in a system call: nothing is missed, however short.

    Covers TCP and UDP, also attempts that failed at once. strace, being their parent, follows all children.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        # No contents (-s 0): what is sent holds tokens.
        self.under = ["strace", "--seccomp-bpf", "-f", "-qq", "-s", "0", "-e", f"trace=execve,{CALLS}"]
        self.under += ["-e", "signal=none", "-o", str(file)]

    def watch(self, pid: int) -> Self:
        return self

    def followed(self) -> set[int]:
        """The processes that were watched."""
        return {int(match["pid"]) for match in _FOLLOWED.finditer(self._file.read_text(errors="replace"))}

    def connections(self) -> set[Connection]:
        found: set[Connection] = set()
        for line in self._file.read_text(errors="replace").splitlines():
            started = _STARTED.match(line)
            if started is not None:
                pid = int(started["pid"])
                found |= {Connection(pid=pid, address=m["v4"] or m["v6"]) for m in _ADDRESS.finditer(line)}
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


@dataclass
class LookedUp:
    """The open connections of the tree, every 20 ms: a connection that lives shorter than that can be missed."""

    under: list[str] = field(default_factory=list)
    _found: set[Connection] = field(default_factory=set)
    _followed: set[int] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def watch(self, pid: int) -> Self:
        self._thread = threading.Thread(target=self._look_again_and_again, args=(pid,), daemon=True)
        self._thread.start()
        return self

    def followed(self) -> set[int]:
        """The processes that were watched."""
        return set(self._followed)

    def connections(self) -> set[Connection]:
        return set(self._found)

    def _look_again_and_again(self, pid: int) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            for each in (pid, *descendants(pid)):
                self._followed.add(each)
                self._found |= open_connections(each)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()


def open_connections(pid: int) -> set[Connection]:
    """The connections a process has at this moment."""
    folder = Path("/proc") / str(pid)
    try:
        sockets = {_target(link) for link in (folder / "fd").iterdir()}
        tables = [(folder / "net" / name).read_text() for name in ("tcp", "tcp6", "udp", "udp6")]
    except OSError:  # it has ended
        return set()
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    remote = [(row[2].partition(":")[0], f"socket:[{row[9]}]") for row in rows]
    return {
        Connection(pid=pid, address=_address(address))
        for address, inode in remote
        if inode in sockets and address.strip("0")
    }


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _address(text: str) -> str:
    """/proc writes addresses as words in the machine's byte order."""
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, packed)
