"""The package that a deployment uploads: complete, alone in a fresh environment, and with nothing of the workshop."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from infra import package
from local.processes import scrubbed
from tests import fresh_environment
from tests.local.test_functions_runtime import FUNCTIONS

ROOT = Path(__file__).resolve().parents[2]
PROBE = Path(__file__).with_name("package_probe.py")
DOCTOR = "azure-functions-doctor"
SETTINGS = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
BESIDE = {"function_app.py", "host.json", "requirements.txt", "reactions.yaml"}
NAMED_BY_RULES = {"ml/samples/diabetes-request.json"}  # the rule's smoke test
START_SECONDS = 30  # Flex Consumption gives an app no longer to start


def strays(names):
    """What no app needs in Azure."""
    code = re.compile(r"(functions|shared)/([a-z_]+/)*[a-z_]+\.py")
    return [name for name in names if not (code.fullmatch(name) or name in BESIDE | NAMED_BY_RULES)]


def look(root, cwd):
    """The probe's report on a package, from a folder where nothing of the repository can leak in."""
    done = subprocess.run(
        [fresh_environment.app_python(), "-I", PROBE, root],
        input=json.dumps(SETTINGS), cwd=cwd, env=scrubbed(os.environ),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("package") / "package.zip"
    package.write_zip(path)
    return path


@pytest.fixture
def unpacked(archive, tmp_path):
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "app")
    return tmp_path / "app"


def test_the_package_holds_the_app_and_nothing_of_the_workshop(archive):
    with zipfile.ZipFile(archive) as opened:
        names = opened.namelist()
    assert strays(names) == []
    assert set(names) >= BESIDE | NAMED_BY_RULES


@pytest.mark.parametrize("left_in", ["local/", "tests/", "infra/", "*.md", "ml/serving/", "Makefile"])
def test_a_rule_that_is_missing_is_noticed(left_in):
    rules = package.rules().splitlines()
    assert left_in in rules
    assert strays(package.included(package.kept_by_git(), "\n".join(each for each in rules if each != left_in)))


def test_a_rule_may_be_taken_back_and_that_is_noticed():
    assert strays(package.included(["local/cloud.py", "shared/runs.py"], "local/*\n!local/cloud.py\n")) == [
        "local/cloud.py"
    ]


@pytest.mark.timeout(900)  # the environment is made here
def test_the_package_works_with_its_requirements_alone(archive, unpacked, tmp_path, capsys):
    report = look(unpacked, tmp_path)
    assert report["problems"] == []
    assert report["functions"] == FUNCTIONS
    ours = [path for path in report["loaded"] if path.startswith(f"{ROOT}/")]
    assert [path for path in ours if not path.startswith((f"{ROOT}/.relearn/", str(PROBE)))] == []
    assert report["seconds"] < START_SECONDS
    with capsys.disabled():
        size, count = archive.stat().st_size / 1024, len(package.files())
        print(
            f"\npackage: {count} files, {size:.0f} KiB, imported and indexed cold in {report['seconds']:.2f} s "
            f"by Python {report['python']}"
        )


def without(name):
    return lambda root: (root / name).unlink()


def with_import(line):
    def add(root):
        file = root / "functions" / "progress.py"
        file.write_text(f"{file.read_text()}\n\ndef later() -> None:\n    {line}\n")

    return add


FAULTS = {  # several in one package: each look at one takes seconds
    "No module named 'httpx'": with_import("import httpx"),
    "No module named 'local'": with_import("from local.cloud import LocalCloud"),
    "No module named 'tests'": with_import("import tests.world"),
    "cannot import name 'nothing'": with_import("from shared.engine import nothing"),
    "ml/samples/diabetes-request.json": without("ml/samples/diabetes-request.json"),
}


@pytest.mark.timeout(900)
def test_what_would_not_work_is_noticed(unpacked, tmp_path):
    for break_it in FAULTS.values():
        break_it(unpacked)
    problems = look(unpacked, tmp_path)["problems"]
    assert [said for said in FAULTS if not any(said in problem for problem in problems)] == []
    assert len(problems) == len(FAULTS)


@pytest.mark.timeout(900)
def test_a_module_that_is_missing_is_noticed(unpacked, tmp_path):
    (unpacked / "shared" / "looks.py").unlink()
    (problem,) = look(unpacked, tmp_path)["problems"]
    assert "No module named 'shared.looks'" in problem


# What azure-functions-doctor, which reads and does not run, warns of. Each with the reason why it stays.
WARNINGS = {
    "check_blueprint_registration": "it looks for register_functions(blueprint) by that one name; ours are three "
    "modules' blueprints, registered as intake.blueprint and so on, and the test above sees their functions indexed",
    "check_app_insights": "the connection string is an app setting that Bicep makes, not a file of the package",
    "check_funcignore": "the package has been made by its rules; the file itself is not part of it",
    "check_host_json_log_level_conflict": "on purpose: our functions log at Information, the host and the SDKs do not",
}


def doctor(root, tmp_path):
    """Rules that did not pass, by their status."""
    told = tmp_path / "doctor.json"
    target = ["--profile", "deploy", "--hosting-plan", "flex-consumption", "--target-python", "3.12"]
    tool = Path(sys.executable).with_name(DOCTOR)
    command = [tool, "doctor", "--path", root, *target, "--format", "json", "--output", told]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert told.is_file(), done.stdout + done.stderr
    items = [item for section in json.loads(told.read_text())["results"] for item in section["items"]]
    by_status = {"pass": set(), "warn": set(), "fail": set(), "skip": set()}
    for item in items:
        by_status[item["status"]].add(item["rule_id"])
    return by_status


def test_the_doctor_finds_no_fault_and_only_the_warnings_that_have_a_reason(unpacked, tmp_path):
    found = doctor(unpacked, tmp_path)
    assert found["fail"] == set()
    assert found["warn"] == set(WARNINGS)
    assert len(found["pass"]) >= 15


def test_the_doctor_would_find_a_fault(unpacked, tmp_path):
    (unpacked / "host.json").write_text('{"version": "1.0"}')
    (unpacked / "requirements.txt").write_text("azure-functions\nazure-functions-worker\n")
    found = doctor(unpacked, tmp_path)
    assert "check_host_json_version" in found["fail"]
    assert found["warn"] - set(WARNINGS)
