"""`python -m infra.check`: what it must say of files that are wrong, and of a checkov that is not the right one."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from infra import check

GOOD = """// A queue.
param name string

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: name
}

output id string = account.id
"""
ACCOUNT = """param location string

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' = {
COMMENT  name: 'strelearn'
  location: location
  kind: 'StorageV2'
  sku: {
    name: 'Standard_GRS'
  }
  properties: {
    allowSharedKeyAccess: false
    minimumTlsVersion: 'MINIMUM'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: 'Disabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: 'Deny'
    }
  }
}
"""
FILES = {
    "good.bicep": GOOD,
    "unreadable.bicep": GOOD + "\noutput ids object = toObject(range(0, 2), number => string(number))\n",
    "finding.bicep": ACCOUNT.replace("COMMENT", "").replace("MINIMUM", "TLS1_0"),
    "accepted.bicep": ACCOUNT.replace("COMMENT", "  // checkov:skip=CKV_AZURE_44: Old sensors.\n").replace(
        "MINIMUM", "TLS1_0"
    ),
    "unexplained.bicep": ACCOUNT.replace("COMMENT", "  // checkov:skip=CKV_AZURE_44\n").replace("MINIMUM", "TLS1_0"),
    "needless.bicep": ACCOUNT.replace("COMMENT", "  // checkov:skip=CKV_AZURE_44: Old sensors.\n").replace(
        "MINIMUM", "TLS1_2"
    ),
}


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text)
    return file


# --- syntax -----------------------------------------------------------------------------------------------------------


def test_a_good_file_has_no_problem(tmp_path: Path) -> None:
    assert check.check_syntax(write(tmp_path, "good.bicep", GOOD)) == []


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("  name: name\n}", "  name: name", 8),
        ("param name string", "param name string = = 'a'", 2),
        ("name: name", "name: 'not closed", 5),
        ("output id string = account.id", "outptu id string = account.id", 8),
    ],
    ids=["a missing brace", "one sign too many", "an open text", "a misspelt keyword"],
)
def test_a_broken_file_is_named_with_its_line_by_both_parsers(tmp_path: Path, old: str, new: str, line: int) -> None:
    assert old in GOOD
    problems = check.check_syntax(write(tmp_path, "broken.bicep", GOOD.replace(old, new)))
    assert any("syntax: " in problem.message for problem in problems)
    assert any("pycep-parser" in problem.message for problem in problems)
    assert any(abs(problem.line - line) <= 1 for problem in problems), problems


def test_a_problem_is_told_with_its_place(tmp_path: Path) -> None:
    assert str(check.Problem(file=check.FOLDER / "main.bicep", line=7, message="x")) == "infra/main.bicep:7: x"


# --- security ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def security(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What the real checkov finds in each of the files above."""
    if not check.CHECKOV.is_file():
        missing = "checkov is not installed: `make check` brings it"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    folder = tmp_path_factory.mktemp("infra")
    for name, text in FILES.items():
        write(folder, name, text)
    found = check.check_security(folder)
    assert found.passed > 0
    assert {(one.file.name, one.check) for one in found.suppressions if one.reason == "Old sensors."} >= {
        ("accepted.bicep", "CKV_AZURE_44")
    }
    return {name: [p.message for p in found.problems if p.file.name == name] for name in FILES}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("unreadable.bicep", "nothing in it was checked"),
        ("finding.bicep", "CKV_AZURE_44 Microsoft.Storage/storageAccounts.account"),
        ("unexplained.bicep", "CKV_AZURE_44 is suppressed without a reason"),
        ("needless.bicep", "CKV_AZURE_44 would not be found here"),
    ],
)
def test_checkov_is_heard(security: dict[str, list[str]], name: str, said: str) -> None:
    assert [message for message in security[name] if said in message]


def test_what_is_accepted_for_a_reason_is_no_problem(security: dict[str, list[str]]) -> None:
    assert security["good.bicep"] == security["accepted.bicep"] == []


def fake_checkov(folder: Path, answer: str) -> Path:
    """A program in checkov's place, as another version or a broken installation would answer."""
    program = write(folder, "checkov", f"#!{sys.executable}\nprint({answer!r})\n")
    program.chmod(0o755)
    return program


def report(version: str, **results: object) -> str:
    nothing = {"passed_checks": [], "failed_checks": [], "skipped_checks": [], "parsing_errors": []}
    return json.dumps({"results": nothing | results, "summary": {"checkov_version": version}})


def test_the_pinned_version_is_believed(tmp_path: Path) -> None:
    program = fake_checkov(tmp_path, report(check.pinned_version()))
    assert check.check_security(tmp_path, program).problems == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (report("2.0.930"), "checkov 2.0.930 has run where"),
        ("{}", "checkov None has run"),
        ("ModuleNotFoundError", "gave no report: ModuleNotFoundError"),
        (json.dumps({"passed": 0, "checkov_version": check.pinned_version()}), "found no Bicep"),
    ],
    ids=["another version", "no version", "no report", "nothing to check"],
)
def test_a_run_that_is_not_the_right_one_is_a_problem(tmp_path: Path, answer: str, said: str) -> None:
    [problem] = check.check_security(tmp_path, fake_checkov(tmp_path, answer)).problems
    assert said in problem.message


def test_a_checkov_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    [problem] = check.check_security(tmp_path, tmp_path / "checkov").problems
    assert "python -m local.bootstrap checkov" in problem.message


FINDING = {
    "check_id": "CKV_AZURE_44",
    "check_name": "Storage accounts use the latest TLS",
    "resource": "Microsoft.Storage/storageAccounts.account",
    "file_line_range": [3, 19],
}


@pytest.mark.parametrize(("findings", "code"), [(0, 0), (1, 1)])
def test_a_problem_fails_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], findings: int, code: int
) -> None:
    file = write(tmp_path, "main.bicep", FILES["finding.bicep"])
    found = [{**FINDING, "file_abs_path": str(file)}] * findings
    program = fake_checkov(tmp_path, report(check.pinned_version(), failed_checks=found))
    assert check.main([], tmp_path, program) == code
    assert ("main.bicep:3: CKV_AZURE_44 Microsoft.Storage" in capsys.readouterr().out) == bool(findings)


def test_a_folder_without_bicep_fails_the_check(tmp_path: Path) -> None:
    assert check.main([], tmp_path, fake_checkov(tmp_path, report(check.pinned_version()))) == 1
