"""`python infra/start.py MODULE ARGUMENT …`: runs a module of this project with the app's packages.

For azd's hooks and the delivery pipelines, on Linux, macOS and Windows. Runs on a bare Python: nothing outside the
standard library here. The packages go to .relearn/deploy-venv, once per requirements.txt.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".relearn" / "deploy-venv"
REQUIREMENTS = ROOT / "requirements.txt"
OLDEST, NEWEST = (3, 11), (3, 13)


def main(arguments: list[str]) -> int:
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        print(f"Python 3.11, 3.12 or 3.13 is needed, this is {sys.version.split()[0]}", file=sys.stderr)
        return 2
    python = environment()
    return subprocess.run([str(python), "-m", *arguments], cwd=ROOT, check=False).returncode


def environment(folder: Path = VENV, requirements: Path = REQUIREMENTS) -> Path:
    """The Python of an environment with the app's packages; makes it unless it was made from the same pins."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / ".complete"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted and python.exists():
        return python
    print(f"setting up {folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder} …", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    quiet = ["--quiet", "--disable-pip-version-check"]
    subprocess.run([str(python), "-m", "pip", "install", *quiet, "-r", str(requirements)], check=True)
    stamp.write_text(wanted)
    return python


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
