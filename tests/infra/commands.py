"""Commands of the outside for tests of what calls them: `az` and `azd` that note their arguments and answer as told."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

SCRIPT = """#!{python}
import json, os, sys
folder = {folder!r}
arguments = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
with open(folder + "/calls", "a") as calls:
    calls.write(json.dumps(arguments) + "\\n")
text = " ".join(arguments)
for wanted, code, out in json.load(open(folder + "/answers")):
    if wanted in text:
        (sys.stdout if code == 0 else sys.stderr).write(out)
        sys.exit(code)
"""


@dataclass
class Commands:
    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "calls").touch()
        self.answers: list[tuple[str, int, str]] = []
        for name in ("az", "azd"):
            file = self.folder / name
            file.write_text(SCRIPT.format(python=sys.executable, folder=str(self.folder)))
            file.chmod(0o755)
        self._save()

    def answer(self, wanted: str, with_: object, code: int = 0) -> None:
        """The first answer whose text is part of a command is its answer; without one it succeeds and says nothing."""
        self.answers.insert(0, (wanted, code, with_ if isinstance(with_, str) else json.dumps(with_)))
        self._save()

    def _save(self) -> None:
        (self.folder / "answers").write_text(json.dumps(self.answers))

    def calls(self, beginning: str = "") -> list[list[str]]:
        lines = (self.folder / "calls").read_text().splitlines()
        return [call for call in map(json.loads, lines) if " ".join(call).startswith(beginning)]

    def set(self) -> dict[str, str]:
        """What azd was told to keep."""
        return {call[3]: call[4] for call in self.calls("azd env set")}
