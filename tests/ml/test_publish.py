"""What publishing decides, without a workspace."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ml.publish import arguments, endpoint_names, main, publish, table
from ml.publishing.contents import Item, Kind, Unreadable, contents, fingerprint
from ml.publishing.steps import Endpoint, Known, State, plan

ML = Path(__file__).resolve().parents[2] / "ml"
LAKE = "https://lake.blob.core.windows.net/lake"
WHERE = ["--subscription", "s", "--resource-group", "g", "--workspace", "w"]


class FakeWorkspace:
    """Holds what was put, and counts."""

    def __init__(self, *endpoints: str) -> None:
        self.known: dict[tuple[Kind, str, str], Known] = {}
        self.endpoints = {name: Endpoint(name=name, default=None, deployments=()) for name in endpoints}
        self.changes: list[str] = []

    def find(self, item: Item) -> Known | None:
        return self.known.get((item.kind, item.name, item.version))

    def put(self, item: Item) -> None:
        self.known[item.kind, item.name, item.version] = Known(content=item.content)
        self.changes.append(f"{item.kind} {item.name}")
        if item.kind is Kind.DEPLOYMENT:
            endpoint = self.endpoints[item.version]
            names = (*endpoint.deployments, item.name)
            self.endpoints[item.version] = replace(endpoint, deployments=tuple(dict.fromkeys(names)))

    def endpoint(self, name: str) -> Endpoint | None:
        return self.endpoints.get(name)

    def make_default(self, endpoint: str, deployment: str) -> None:
        self.endpoints[endpoint] = replace(self.endpoints[endpoint], default=deployment)
        self.changes.append(f"default {deployment}")


@pytest.fixture
def workspace() -> FakeWorkspace:
    return FakeWorkspace("diabetes-prep", "diabetes-score", "diabetes-train")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ML, tmp_path / "ml", ignore=shutil.ignore_patterns("__pycache__")))


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def item(root: Path, name: str, version: str | None = None) -> Item:
    found = (each for each in contents(root, {}, ["clinic"], LAKE) if each.name == name)
    return next(each for each in found if version in (None, each.version))


def test_nothing_is_published_before_what_it_refers_to():
    kinds = [each.kind for each in contents(ML, {}, ["clinic", "north"])]

    assert kinds == sorted(kinds, key=list(Kind).index)
    assert [kinds.count(kind) for kind in Kind] == [1, 1, 7, 3, 5, 3, 2]


def test_steps_deployments_and_monitors_refer_to_what_is_registered():
    train = item(ML, "diabetes_train_pipeline")
    deployment = next(each for each in contents(ML, {"diabetes-prep": "prep-here"}, []) if each.name == "prep-2")
    monitor = item(ML, "diabetes-clinic", "")

    assert train.body["jobs"]["evaluate"]["component"] == "azureml:diabetes_evaluate:1"
    assert (deployment.body["component"], deployment.version) == ("azureml:diabetes_prep_pipeline:2", "prep-here")
    assert "BATCH" not in str(monitor.body)
    assert monitor.body["create_monitor"]["monitoring_signals"]["data_drift"]["inputs"] == {
        "newest_report": f"{LAKE}/monitoring/diabetes-clinic/report.json"
    }


@pytest.mark.parametrize(
    ("file", "old", "new", "name"),
    [
        ("components/prep/prep.py", "Pregnancies", "Pregnant", "diabetes_prep"),
        ("components/prep/component.yml", "--attempt", "--try", "diabetes_prep"),
        ("environments/conda/relearn-sklearn.yml", "python=3.11", "python=3.12", "relearn-sklearn"),
        ("serving/score.py", "import", "import ", "diabetes-serving"),
        ("pipelines/train.yml", "default: 0.1", "default: 0.2", "diabetes_train_pipeline"),
        ("components/evaluate/component.yml", 'version: "1"', 'version: "2"', "diabetes_train_pipeline"),
        ("data/diabetes-raw.yml", "0-raw/diabetes/", "0-raw/", "diabetes-raw"),
    ],
)
def test_a_change_anywhere_in_it_is_another_content(root, file, old, new, name):
    before = item(root, name).content

    edit(root / file, old, new)

    assert item(root, name).content != before


def test_what_is_no_content_changes_nothing(root):
    before = item(root, "diabetes_prep").content

    edit(root / "components" / "prep" / "component.yml", "Joins a batch's", "Unites a batch's")
    edit(root / "components" / "prep" / "component.yml", "display_name: Prepare", "display_name: Get ready")
    (root / "components" / "prep" / "__pycache__").mkdir()
    (root / "components" / "prep" / "__pycache__" / "prep.cpython-311.pyc").write_bytes(b"compiled")

    assert item(root, "diabetes_prep").content == before


def test_where_it_is_deployed_is_no_content_and_the_settings_are(root):
    def deployed(**endpoints: str) -> Item:
        return next(each for each in contents(root, endpoints, []) if each.name == "prep-2")

    here, there = deployed(), deployed(**{"diabetes-prep": "prep-there"})
    edit(root / "batch" / "prep-deployment.yml", "cpucluster", "bigcluster")

    assert here.content == there.content != deployed().content


def test_a_file_that_moves_between_names_is_another_content(tmp_path):
    (tmp_path / "a.py").write_text("bc")
    (tmp_path / "b.py").write_text("")
    before = fingerprint({}, tmp_path)

    (tmp_path / "a.py").write_text("")
    (tmp_path / "b.py").write_text("bc")

    assert fingerprint({}, tmp_path) != before


def test_the_second_plan_has_nothing_to_do(workspace):
    items = contents(ML, {}, ["clinic"])

    publish(plan(items, workspace))
    made = len(workspace.changes)
    again = plan(items, workspace)
    publish(again)

    assert made == len(workspace.changes) == 21 + 3  # and the three defaults
    assert {step.state for step in again.steps} == {State.UNCHANGED}


def test_a_deployment_that_failed_is_made_again(workspace):
    items = contents(ML, {}, [])
    publish(plan(items, workspace))
    workspace.known[Kind.DEPLOYMENT, "prep-2", "diabetes-prep"] = Known(
        content=item(ML, "prep-2", "diabetes-prep").content, sound=False
    )
    workspace.changes.clear()

    publish(plan(items, workspace))

    assert workspace.changes == ["deployment prep-2"]


def test_every_problem_is_told_at_once_and_says_what_to_write(root, workspace):
    publish(plan(contents(root, {}, ["clinic"]), workspace))
    edit(root / "components" / "prep" / "prep.py", "Pregnancies", "Pregnant")
    edit(root / "batch" / "prep-deployment.yml", "cpucluster", "bigcluster")
    workspace.known[Kind.MONITOR, "diabetes-clinic", ""] = Known(content=None)
    workspace.known[Kind.ENVIRONMENT, "relearn-sklearn", "1"] = Known(content=None)
    del workspace.endpoints["diabetes-score"]

    found = plan(contents(root, {}, ["clinic"]), workspace).problems

    expected = [
        "environment relearn-sklearn:1 was not published by this (no tag relearn_content): raise it to 2",
        f"diabetes_prep:2 is published with another content: raise it to 3, and the version in {root}/pipelines/prep",
        "name: deployment prep-2 at diabetes-prep is published with another content: raise it to prep-3",
        "there is no batch endpoint diabetes-score: provision first",
        "the schedule diabetes-clinic is there and was not published by this: delete it",
    ]
    assert len(found) == len(expected), found
    assert all(part in problem for part, problem in zip(expected, found, strict=True)), found


def test_old_deployments_are_named_and_left(root, workspace):
    notes = []
    for number in (2, 3, 4):
        made = plan(contents(root, {}, []), workspace)
        publish(made)
        notes.append(made.notes)
        edit(root / "batch" / "prep-deployment.yml", f"prep-{number}", f"prep-{number + 1}")

    assert workspace.endpoints["diabetes-prep"].default == "prep-4"
    assert workspace.endpoints["diabetes-prep"].deployments == ("prep-2", "prep-3", "prep-4")
    assert notes[:2] == [(), ()]
    assert "diabetes-prep also has prep-2, prep-3" in notes[2][0]


def test_endpoints_have_the_names_they_are_given():
    names = endpoint_names(ML, [("prep", "other")], "-1a2b")

    assert names == {
        "diabetes-prep": "other",
        "diabetes-score": "diabetes-score-1a2b",
        "diabetes-train": "diabetes-train-1a2b",
    }
    with pytest.raises(Unreadable, match="there is no step, only prep, score, train"):
        endpoint_names(ML, [("step", "other")], "")


@pytest.mark.parametrize(
    "more",
    [
        ["--endpoint", "prep"],
        ["--monitor", "a b"],
        ["--monitor", "../a"],
        ["--monitor", "a"],
        ["--lake", "lake"],
        ["--monitro"],
    ],
)
def test_what_it_cannot_understand_it_refuses(more, capsys):
    with pytest.raises(SystemExit):
        arguments([*WHERE, *more])
    assert "error" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_told_before_anybody_is_asked(root, capsys):
    edit(root / "data" / "diabetes-raw.yml", 'version: "1"', "version: 1")

    assert main(WHERE, root) == 1
    assert 'diabetes-raw.yml: name and version must be texts: version: "1"' in capsys.readouterr().err


def test_the_table_is_aligned(workspace):
    lines = table(plan(contents(ML, {}, []), workspace).steps).splitlines()

    assert lines[1] == "environment  relearn-sklearn          1               new"
    assert len({line.index(" new") for line in lines[1:]}) == 1
