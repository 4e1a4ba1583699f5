"""The ML environment's Python, and the components run in it as the job's own commands."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = ROOT / "ml" / "components"
INSIDE = Path(__file__).parent / "inside"
# Read here, once: other fixtures clean the environment.
PYTHON = Path(os.environ.get("RELEARN_ML_PYTHON", ROOT / ".relearn" / "ml-venv" / "bin" / "python")).absolute()
IN_CI = os.environ.get("CI") == "true"

Run = subprocess.CompletedProcess[str]
RunPython = Callable[..., Run]
RunStep = Callable[..., Run]


def python_environment() -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",  # boosting's threads wait spinning, so on a busy machine more are far slower
    }


@pytest.fixture(scope="session")
def run_python() -> RunPython:
    if not PYTHON.is_file():
        reason = f"no ML environment at {PYTHON}: make it (see ml/requirements.txt) or set RELEARN_ML_PYTHON"
        if IN_CI:
            pytest.fail(reason)
        pytest.skip(reason)

    def run(*arguments: object, cwd: Path = ROOT, extra: Mapping[str, str] | None = None) -> Run:
        command = [str(PYTHON), *map(str, arguments)]
        environment = {**python_environment(), **(extra or {})}
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def run_step(run_python: RunPython) -> RunStep:
    """Run a component's own command; what is not given takes its declared default, or is left out if it may be."""

    def run(component: str, *, extra: Mapping[str, str] | None = None, **values: object) -> Run:
        folder = COMPONENTS / component
        declared = YAML(typ="safe", pure=True).load(folder / "component.yml")
        defaults = {name: port["default"] for name, port in declared["inputs"].items() if "default" in port}
        python, *words = shlex.split(_without_missing(declared["command"], values))
        assert python == "python"
        return run_python(*[_filled(word, {**defaults, **values}) for word in words], cwd=folder, extra=extra)

    return run


def _without_missing(command: str, values: Mapping[str, object]) -> str:
    """AML's rule: a part in $[[…]] is dropped when its input has no value."""

    def keep(part: re.Match[str]) -> str:
        return part[1] if set(re.findall(r"inputs\.(\w+)", part[1])) <= values.keys() else ""

    return re.sub(r"\$\[\[(.*?)\]\]", keep, command, flags=re.DOTALL)


def _filled(word: str, values: Mapping[str, object]) -> str:
    if not word.startswith("${{"):
        return word
    _, name = word.removeprefix("${{").removesuffix("}}").split(".")
    return str(values[name])


@pytest.fixture(scope="session")
def sample(run_python: RunPython, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generator's default files, and the two patient files in 100 parts each."""
    folder = tmp_path_factory.mktemp("sample")
    assert run_python("-m", "ml.sample", "--out", folder, "--parts", 100).returncode == 0
    return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What the training steps left: the split data, the model, and how it does on the held-out rows."""

    data: Path
    model: Path
    metrics: dict[str, Any]
    metrics_folder: Path


@pytest.fixture(scope="session")
def trained(run_step: RunStep, sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A first model, of the default sample's labelled file."""
    baseline = folder_of(tmp_path_factory.mktemp("labelled"), sample / "diabetes.csv")
    return train(run_step, tmp_path_factory.mktemp("trained"), baseline=baseline)


def run_inside(run_python: RunPython, name: str, extra: Mapping[str, str] | None = None) -> None:
    """All tests of a file in `inside`, by the ML environment's own unittest; it has no pytest."""
    file = INSIDE / name
    expected = len(re.findall(r"^    def test_", file.read_text(encoding="utf-8"), re.MULTILINE))
    done = run_python(
        "-W", "error::DeprecationWarning", "-W", "error::FutureWarning", "-m", "unittest", file, extra=extra
    )
    assert done.returncode == 0, done.stderr
    assert f"Ran {expected} tests" in done.stderr


def folder_of(folder: Path, *files: Path) -> Path:
    """A folder with copies of these files, as a batch's folder in the lake has them."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, folder)
    return folder


def train(
    run_step: RunStep,
    folder: Path,
    *,
    baseline: Path,
    target: Path | None = None,
    live: Trained | None = None,
) -> Trained:
    """Split, train and evaluate, as the pipeline does."""
    made = {name: folder / name for name in ("data", "model", "metrics")}
    newer = {} if target is None else {"target": target}
    against = {} if live is None else {"live": live.model, "live_name": "diabetes-classifier", "live_version": "7"}
    steps: list[tuple[str, dict[str, object]]] = [
        ("split", {"baseline": baseline, **newer, "reaction_id": "r-1", "attempt": "1", "data": made["data"]}),
        ("train", {"data": made["data"], "model": made["model"]}),
        ("evaluate", {"data": made["data"], "candidate": made["model"], **against, "metrics": made["metrics"]}),
    ]
    for name, values in steps:
        done = run_step(name, **values)
        assert done.returncode == 0, done.stderr
    metrics = json.loads((made["metrics"] / "metrics.json").read_text(encoding="utf-8"))
    assert json.dumps(metrics) in done.stdout
    return Trained(data=made["data"], model=made["model"], metrics=metrics, metrics_folder=made["metrics"])


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def columns(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()[0].split(",")


def write_manifest(file: Path, events: list[tuple[str, bool]]) -> Path:
    """The app's manifest, of paths in the lake and whether each is current."""
    listed = [
        {
            "id": f"event-{number}",
            "account": "lake",
            "container": "lake",
            "path": path,
            "url": f"https://lake.blob.core.windows.net/lake/{path}",
            "etag": f"0x{number}",
            "size": 1,
            "sequencer": f"{number:016}",
            "time": "2026-01-01T00:00:00Z",
            "current": current,
        }
        for number, (path, current) in enumerate(events)
    ]
    manifest = {"reaction_id": "r-1", "rule": "score-patients", "key": "b1", "count": len(listed), "events": listed}
    file.write_text(json.dumps(manifest), encoding="utf-8")
    return file
