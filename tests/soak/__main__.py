"""`make test-soak`: 10,000 files, for minutes. The result is in .relearn/soak.json; the exit code is 1 if it failed."""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from azure.identity import DefaultAzureCredential

from local.cloud import LocalCloud, Options
from local.system import leave_the_outside
from tests.soak.plan import full
from tests.soak.soak import SoakFailed, soak

ROOT: Final = Path(__file__).resolve().parents[2]
RESULT: Final = ROOT / ".relearn" / "soak.json"
TIME_SCALE: Final = 0.05
"""Of Event Grid's waits: its first retry comes after half a second instead of ten."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--result", type=Path, default=RESULT)
    chosen = parser.parse_args()
    leave_the_outside(os.environ)
    try:
        result, problems = _play(chosen.seed, chosen.files), []
    except SoakFailed as failed:
        result, problems = failed.result, failed.problems
    chosen.result.parent.mkdir(parents=True, exist_ok=True)
    chosen.result.write_text(json.dumps({**result, "problems": problems}, indent=2) + "\n")
    for name, value in result.items():
        shown = f"{len(value)}, pids {value}" if name == "kills" else value
        print(f"{name:24}{shown}")
    print(f"written to {chosen.result}")
    for problem in problems:
        print(f"FAILED: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _play(seed: int, files: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="relearn-soak-") as folder:
        options = Options(time_scale=TIME_SCALE)
        with LocalCloud(Path(folder) / "cloud", in_memory=True, options=options) as cloud:
            os.environ.update(cloud.child_environment())
            apps = Path(folder) / "apps"
            apps.mkdir()
            with DefaultAzureCredential() as credential:
                return soak(full(seed, files), cloud, credential, apps, lambda line: print(line, flush=True))


if __name__ == "__main__":
    sys.exit(main())
