"""The calls that benchmarks/storage_calls.py counts, under the names of the result's file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks import storage_calls
from benchmarks.scale import Scale
from benchmarks.site import Site


def measure(site: Site, _scale: Scale) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        found = storage_calls.measure(site.cloud, site.credential, Path(folder))
    return {
        "storage_calls_lone_event": found["lone_event"]["calls"],
        "storage_calls_further_look": found["further_look"]["calls"],
        "storage_calls_extra_event": found["extra_event_of_a_burst"]["calls"],
        "storage_calls_idle_day_reckoned": round(found["idle_day"]["calls"]),
        "storage_calls": found,
    }
