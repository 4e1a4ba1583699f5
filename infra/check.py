"""Reads every Bicep file with two parsers, and has checkov look for what is insecure. There is no compiler in this.

`python -m infra.check` prints every problem with its file and line and exits with 1 where there is one;
`--suppressions` lists what was suppressed in the files, with the reasons.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pycep
import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / "infra"
CHECKOV: Final = ROOT / ".relearn" / "checkov-venv" / "bin" / "checkov"
PINS: Final = FOLDER / "requirements-checkov.txt"

_LANGUAGE: Final = Language(tree_sitter_bicep.language())
_PLACE: Final = re.compile(r"line (?P<line>\d+)")
_SUPPRESSION: Final = re.compile(r"checkov:skip=(?P<id>\w+)")
_NO_REASON: Final = "No comment provided"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """Something wrong in a file. Line 0: in the file as a whole."""

    file: Path
    line: int
    message: str

    def __str__(self) -> str:
        place = self.file.relative_to(ROOT) if self.file.is_relative_to(ROOT) else self.file
        return f"{place}:{self.line}: {self.message}" if self.line else f"{place}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """A finding that a comment in the file accepts, for a reason."""

    file: Path
    line: int
    check: str
    reason: str
    resource: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """What checkov said."""

    passed: int = 0
    suppressions: Sequence[Suppression] = ()
    problems: Sequence[Problem] = field(default_factory=tuple)


def main(arguments: Sequence[str], folder: Path = FOLDER, program: Path = CHECKOV) -> int:
    files = bicep_files(folder)
    security = check_security(folder, program)
    problems = sorted([*(problem for file in files for problem in check_syntax(file)), *security.problems])
    if "--suppressions" in arguments:
        for one in security.suppressions:
            print(f"{Problem(file=one.file, line=one.line, message=one.check)} {one.resource}: {one.reason}")
    for problem in problems:
        print(problem)
    figures = f"{security.passed} checks of checkov passed, {len(security.suppressions)} suppressed with a reason"
    print(f"infra: {len(files)} Bicep files; {figures}; {len(problems)} problems")
    return 1 if problems or not files else 0


def bicep_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.bicep"))


# --- syntax -----------------------------------------------------------------------------------------------------------


def check_syntax(file: Path) -> list[Problem]:
    """What one of the parsers cannot read. That a type, a property or a name exists, neither of them knows."""
    content = file.read_bytes()
    problems = [
        Problem(file=file, line=node.start_point.row + 1, message=_said_of(node))
        for node in _broken(Parser(_LANGUAGE).parse(content).root_node)
    ]
    try:
        pycep.BicepParser().parse(text=content.decode())
    except Exception as error:  # noqa: BLE001 - whatever it raises, it could not read the file
        found = _PLACE.search(str(error))
        first = str(error).partition("\n")[0].strip()
        line = int(found["line"]) if found else 0
        problems.append(Problem(file=file, line=line, message=f"pycep-parser cannot read this: {first}"))
    return problems


def _broken(node: Node) -> Iterator[Node]:
    """The innermost nodes that are wrong."""
    if node.is_missing or (node.is_error and not any(child.has_error for child in node.children)):
        yield node
    elif node.has_error:
        for child in node.children:
            yield from _broken(child)


def _said_of(node: Node) -> str:
    if node.is_missing:
        return f"syntax: {node.type!r} is missing"
    text = (node.text or b"").decode(errors="replace")
    return f"syntax: cannot be read: {' '.join(text.split())[:60]!r}"


# --- security ---------------------------------------------------------------------------------------------------------


def check_security(folder: Path, program: Path = CHECKOV) -> Security:
    """Runs checkov on a folder. A run that is not the one that was asked for is a problem, not a clean bill."""
    if not program.is_file():
        message = "is not there: `python -m local.bootstrap checkov` installs it"
        return Security(problems=[Problem(file=program, line=0, message=message)])
    report, said = _run(program, folder)
    if report is None:
        return Security(problems=[Problem(file=folder, line=0, message=f"checkov gave no report: {said[-300:]}")])
    version = str(report.get("summary", report).get("checkov_version"))
    if version != pinned_version():
        message = f"checkov {version} has run where {pinned_version()} is wanted: nothing it says counts"
        return Security(problems=[Problem(file=program, line=0, message=message)])
    found = _read(report, folder)
    return replace(found, problems=[*found.problems, *_needless(folder, program)])


def pinned_version() -> str:
    found = re.search(r"^checkov==(\S+)$", PINS.read_text(), re.MULTILINE)
    assert found is not None, f"{PINS} pins no checkov"
    return found[1]


def _run(program: Path, folder: Path) -> tuple[dict[str, Any] | None, str]:
    """checkov's report, and what else it said. No settings of the person who runs it have a say in the result."""
    command = [str(program), "--directory", str(folder.resolve()), "--framework", "bicep", "--skip-download"]
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [*command, "--output", "json"],
            capture_output=True,
            text=True,
            check=False,
            cwd=home,
            env={"PATH": os.defpath, "HOME": home, "LANG": "C.UTF-8", "LOG_LEVEL": "ERROR"},
        )
    try:
        report = json.loads(done.stdout)
    except ValueError:
        report = None
    return (report if isinstance(report, dict) else None), done.stdout + done.stderr


def _read(report: Mapping[str, Any], folder: Path) -> Security:
    results = report.get("results")
    if results is None:
        return Security(problems=[Problem(file=folder, line=0, message="checkov found no Bicep to look at")])
    suppressions = [
        Suppression(
            file=_file(found),
            line=found["file_line_range"][0],
            check=found["check_id"],
            reason=str(found["check_result"]["suppress_comment"]).strip(),
            resource=found["resource"],
        )
        for found in results["skipped_checks"]
    ]
    problems = [
        Problem(
            file=_file(found),
            line=found["file_line_range"][0],
            message=f"{found['check_id']} {found['resource']}: {found['check_name']}",
        )
        for found in results["failed_checks"]
    ]
    problems += [
        Problem(file=Path(file), line=0, message="checkov's parser cannot read this: nothing in it was checked")
        for file in results["parsing_errors"]
    ]
    problems += [
        Problem(file=one.file, line=one.line, message=f"{one.check} is suppressed without a reason")
        for one in suppressions
        if one.reason in {"", _NO_REASON}
    ]
    return Security(passed=len(results["passed_checks"]), suppressions=suppressions, problems=problems)


def _needless(folder: Path, program: Path) -> Iterator[Problem]:
    """Suppressions of what would not be found either without them: it is mended, or they stand at the wrong place.

    checkov does not look where it is told not to; so it is asked again about a copy that does not tell it.
    """
    written = {file: file.read_text() for file in bicep_files(folder.resolve())}
    places = [
        (file, number, found["id"])
        for file, text in written.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if (found := _SUPPRESSION.search(line)) is not None
    ]
    if not places:
        return
    with tempfile.TemporaryDirectory() as copy:
        for file, text in written.items():
            target = Path(copy) / file.relative_to(folder.resolve())
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text.replace("checkov:skip=", "checkov:not="))
        report, said = _run(program, Path(copy))
        if report is None:
            yield Problem(file=folder, line=0, message=f"checkov gave no second report: {said[-300:]}")
            return
        findings = [
            (
                folder.resolve() / _file(found).relative_to(Path(copy).resolve()),
                found["check_id"],
                *found["file_line_range"],
            )
            for found in report.get("results", {}).get("failed_checks", [])
        ]
    for file, number, check in places:
        if not any(where == file and of == check and a <= number <= b for where, of, a, b in findings):
            yield Problem(file=file, line=number, message=f"{check} would not be found here: suppresses nothing")


def _file(found: Mapping[str, Any]) -> Path:
    return Path(found["file_abs_path"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
