"""What a deployment uploads: the files git keeps, less what .funcignore leaves out.

`python -m infra.package` writes .relearn/package.zip, for a look at it or for `az functionapp deployment source
config-zip`. azd and the Core Tools apply .funcignore themselves, to the working folder: files there that git does not
keep would be uploaded too, and are named.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pathspec

ROOT = Path(__file__).resolve().parents[1]
ZIP = ROOT / ".relearn" / "package.zip"


def included(names: Iterable[str], rules: str) -> list[str]:
    """The names that .funcignore's rules, which are those of .gitignore, leave in."""
    ignored = pathspec.GitIgnoreSpec.from_lines(rules.splitlines())
    return sorted(name for name in names if not ignored.match_file(name))


def kept_by_git(*options: str) -> list[str]:
    command = ["git", "ls-files", "-z", *options]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def files() -> list[str]:
    return included(kept_by_git(), rules())


def rules() -> str:
    return (ROOT / ".funcignore").read_text()


def write_zip(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in files():
            archive.write(ROOT / name, name)


def main() -> int:
    write_zip(ZIP)
    print(f"{ZIP.relative_to(ROOT)}: {len(files())} files, {ZIP.stat().st_size / 1024:.0f} KiB")
    strays = included(kept_by_git("--others"), rules())
    for name in strays:
        print(f"not in it, but azd would upload it: {name} (git does not keep it)")
    return 1 if strays else 0


if __name__ == "__main__":
    sys.exit(main())
