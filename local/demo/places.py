"""Where the demo keeps its data and leaves its facts and pictures: all of it is new each time."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from local.bootstrap import ROOT
from local.folder_lock import FolderLock


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    folder: Path
    requests: Path
    result: Path
    drift: Path
    lineage: Path

    @classmethod
    def in_folder(cls, state: Path) -> Places:
        return cls(
            folder=state / "demo",
            requests=state / "adf-requests.jsonl",
            result=state / "demo.json",
            drift=state / "drift.html",
            lineage=state / "lineage.html",
        )

    def empty(self) -> None:
        """Removes what an earlier demo left.

        Raises:
            AlreadyRunning: it is not an earlier one, it still runs.
        """
        FolderLock(self.folder / "cloud", wait_seconds=0).release()
        shutil.rmtree(self.folder)
        for file in (self.requests, self.result, self.drift, self.lineage):
            file.unlink(missing_ok=True)


def shown(file: Path) -> str:
    """As a person standing in the project would name it."""
    return str(file.relative_to(ROOT) if file.is_relative_to(ROOT) else file)
