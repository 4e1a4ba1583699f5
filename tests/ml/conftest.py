"""The ML environment's Python, and the components run in it as the job's own commands."""

from __future__ import annotations

import csv
import json
import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = ROOT / "ml" / "components"
# Read here, once: other fixtures clean the environment.
PYTHON = Path(os.environ.get("RELEARN_ML_PYTHON", ROOT / ".relearn" / "ml-venv" / "bin" / "python")).absolute()
IN_CI = os.environ.get("CI") == "true"

Run = subprocess.CompletedProcess[str]
RunPython = Callable[..., Run]
RunStep = Callable[..., Run]


@pytest.fixture(scope="session")
def run_python() -> RunPython:
    if not PYTHON.is_file():
        reason = f"no ML environment at {PYTHON}: make it (see ml/requirements.txt) or set RELEARN_ML_PYTHON"
        if IN_CI:
            pytest.fail(reason)
        pytest.skip(reason)

    def run(*arguments: object, cwd: Path = ROOT) -> Run:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",  # boosting's threads wait spinning, so on a busy machine more are far slower
        }
        command = [str(PYTHON), *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def run_step(run_python: RunPython) -> RunStep:
    """Run a component's own command; what is not given takes its declared default."""

    def run(component: str, **values: object) -> Run:
        folder = COMPONENTS / component
        declared = YAML(typ="safe", pure=True).load(folder / "component.yml")
        defaults = {name: port["default"] for name, port in declared["inputs"].items() if "default" in port}
        python, *words = shlex.split(declared["command"])
        assert python == "python"
        return run_python(*[_filled(word, {**defaults, **values}) for word in words], cwd=folder)

    return run


def _filled(word: str, values: dict[str, object]) -> str:
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


@pytest.fixture(scope="session")
def trained(
    run_step: RunStep, sample: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, dict[str, float]]]:
    """Per algorithm: the model's folder, and its metrics."""
    return {
        algorithm: train(run_step, sample / "diabetes.csv", tmp_path_factory.mktemp(algorithm), algorithm)
        for algorithm in ("logistic", "boosting")
    }


def train(run_step: RunStep, data: Path, folder: Path, algorithm: str) -> tuple[Path, dict[str, float]]:
    done = run_step("train", data=data, algorithm=algorithm, model=folder / "model", metrics=folder / "metrics")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((folder / "metrics" / "metrics.json").read_text(encoding="utf-8"))
    assert json.dumps(metrics) in done.stdout
    return folder / "model", metrics


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
