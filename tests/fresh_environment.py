"""A virtual environment with what requirements.txt names and nothing else, and Microsoft's worker library beside it.

Made once below the ignored folder, before the tests begin (`python -m tests.fresh_environment`), of a Python 3.13
where there is one: the worker library needs that. In Azure the worker brings its library along too, so the app's own
environment stays what requirements.txt makes it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".relearn" / "app-venv"
WORKER = ROOT / ".relearn" / "worker-library"
RUNTIME = ("azure-functions-runtime==1.3.0", "azurefunctions-extensions-base==1.2.0")
_PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check", "install")


def app_python() -> Path:
    python = find_python_3_13() or sys.executable
    wanted = f"{_version_of(python)}\n{(ROOT / 'requirements.txt').read_text()}"

    def make() -> None:
        subprocess.run([python, "-m", "venv", VENV], check=True)
        subprocess.run([VENV / "bin" / "python", *_PIP, "-r", ROOT / "requirements.txt"], check=True)

    _once(VENV, wanted, make)
    return VENV / "bin" / "python"


def worker_library() -> Path:
    """A folder for sys.path. Without the packages it depends on, which are the app's as well."""
    python = app_python()
    command = [python, *_PIP, "--no-deps", "--target", WORKER, *RUNTIME]
    _once(WORKER, "\n".join(RUNTIME), lambda: subprocess.run(command, check=True))
    return WORKER


def _once(folder: Path, wanted: str, make: Callable[[], object]) -> None:
    stamp = folder / "made-from.txt"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    print(f"setting up {folder.name}: the app's packages alone, as they are deployed …", end="", flush=True)
    started = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    make()
    stamp.write_text(wanted)
    print(f" done in {time.monotonic() - started:.0f} s", flush=True)


@cache
def find_python_3_13() -> str | None:
    """A Python 3.13 that really starts: a pyenv shim on PATH may not."""
    candidates = [sys.executable, shutil.which("python3.13"), *Path.home().glob(".pyenv/versions/3.13*/bin/python")]
    for candidate in candidates:
        if candidate and _version_of(str(candidate)) == "3.13":
            return str(candidate)
    return None


@cache
def _version_of(python: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        asked = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return ""
    return asked.stdout.strip()


if __name__ == "__main__":
    app_python()
    if find_python_3_13() is not None:
        worker_library()
