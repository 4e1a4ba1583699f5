"""How long the import of the app takes in a fresh process, as in a cold start: nothing of ours is compiled before."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from typing import Any, Final

from benchmarks.scale import Scale
from benchmarks.site import ROOT, Site
from local.processes import scrubbed

SCRIPT: Final = """\
import time
began = time.perf_counter()
import function_app
print(time.perf_counter() - began)
"""


def measure(_site: Site, scale: Scale) -> dict[str, Any]:
    seconds = sorted(_once() for _ in range(scale.imports))
    return {"import_s": round(statistics.median(seconds), 3), "import": {"seconds": [round(s, 3) for s in seconds]}}


def _once() -> float:
    environment = {**scrubbed(os.environ), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return float(done.stdout)
