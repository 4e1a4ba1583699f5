"""The pipelines in infra/adf keep the rules that make a run of theirs findable, single, and honest about its end."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest

from local.data_factory.definitions import every, parse, read_global_parameters
from local.data_factory.functions import TABLE

FOLDER = Path(__file__).resolve().parents[2] / "infra" / "adf"
FILES = sorted((FOLDER / "pipeline").glob("*.json"))
CONTEXT = {"activity", "pipeline", "variables", "item", "utcnow"}
FINAL = {"Completed", "Failed", "Canceled"}  # of an AML job, in AML's spelling
STAMPS = ("reaction_id", "attempt")


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def expressions(value):
    return [text for text in strings(value) if text.startswith("@") or "@{" in text]


def problems(document):
    """What is wrong with a pipeline document, in words."""
    properties = document["properties"]
    activities = list(every(properties["activities"]))
    return [
        *stamp_problems(properties),
        *name_problems(properties, activities),
        *(problem for activity in activities for problem in web_problems(activity)),
        *(problem for activity in activities for problem in loop_problems(activity, activities)),
        *size_problems(document, activities),
    ]


def stamp_problems(properties):
    for name in STAMPS:
        if properties["parameters"].get(name) != {"type": "String"}:
            yield f"{name} must be a String parameter without a default"


def name_problems(properties, activities):
    """Names used in expressions that nothing has."""
    known = {
        r"variables\('([^']+)'\)": set(properties.get("variables", {})),
        r"activity\('([^']+)'\)": {activity["name"] for activity in activities},
        r"pipeline\(\)\.parameters\.(\w+)": set(properties["parameters"]),
        r"pipeline\(\)\.globalParameters\.(\w+)": set(read_global_parameters(FOLDER)),
    }
    for text in expressions(properties["activities"]):
        for pattern, names in known.items():
            yield from (f"unknown name {name} in {text}" for name in re.findall(pattern, text) if name not in names)
        called = {name.lower() for name in re.findall(r"([A-Za-z_]\w*)\(", re.sub(r"'[^']*'", "''", text))}
        yield from (f"unknown function {name} in {text}" for name in called - CONTEXT - TABLE.keys())


def web_problems(activity):
    if activity["type"] != "WebActivity":
        return
    properties, name = activity["typeProperties"], activity["name"]
    if properties.get("authentication") != {"type": "MSI", "resource": "https://ml.azure.com"}:
        yield f"{name} must call with the managed identity"
    if properties.get("disableCertValidation"):
        yield f"{name} must check the certificate"
    if properties["method"] == "POST":
        yield from start_problems(activity, name)


def start_problems(activity, name):
    if activity.get("policy", {}).get("retry") != 0:
        yield f"{name} must not be retried: it would start a second job"
    if activity["typeProperties"].get("turnOffAsync") is not True:
        yield f"{name} must not poll by itself"
    body = activity["typeProperties"]["body"]["properties"]
    for stamp in STAMPS:
        if body["InputData"].get(stamp) != {"JobInputType": "Literal", "Value": f"@pipeline().parameters.{stamp}"}:
            yield f"{name} must pass {stamp} on as a literal input"
    for output in body["OutputData"].values():
        if not all(f"pipeline().parameters.{stamp}" in output["Uri"] for stamp in STAMPS):
            yield f"{name} must write to a folder of its own"


def loop_problems(activity, activities):
    if activity["type"] != "Until":
        return
    name, properties = activity["name"], activity["typeProperties"]
    expression = properties["expression"]["value"]
    yield from (f"{name} does not end on {state}" for state in FINAL if f"'{state}'" not in expression)
    if "timeout" not in properties:
        yield f"{name} has no timeout"
    polls = [f"@activity('{each['name']}').output.properties.status" for each in properties["activities"]]
    kept = [each["typeProperties"] for each in properties["activities"] if each["type"] == "SetVariable"]
    if not any(
        each["value"]["value"] in polls and f"variables('{each['variableName']}')" in expression for each in kept
    ):
        yield f"{name} does not look at what its poll answers"
    guards = [
        other
        for other in activities
        if {"activity": name, "dependencyConditions": ["Completed"]} in other.get("dependsOn", [])
        and other["type"] == "IfCondition"
        and "Completed" in other["typeProperties"]["expression"]["value"]
        and [inner["type"] for inner in other["typeProperties"].get("ifTrueActivities", [])] == ["Fail"]
    ]
    if not guards:
        yield f"{name} has no Fail behind it for a job that is not Completed"


def size_problems(document, activities):
    """Azure's documented limits."""
    if len(activities) > 80:
        yield "more than 80 activities"
    if len(document["properties"]["parameters"]) > 50:
        yield "more than 50 parameters"
    if len(json.dumps(document)) > 200 * 1024:
        yield "larger than 200 KB"
    yield from (f"{text[:40]}… is too long" for text in expressions(document) if len(text) > 8192)
    yield from (f"{each['name']} is too long a name" for each in activities if len(each["name"]) > 55)


def read(path):
    return json.loads(path.read_text())


def test_there_are_pipelines():
    assert "score-diabetes" in [path.stem for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_pipeline_could_be_published_under_its_files_name(path):
    assert parse(read(path)).name == path.stem


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_pipeline_keeps_the_rules(path):
    assert list(problems(read(path))) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_pipeline_holds_no_environment(path):
    text = path.read_text().replace("https://ml.azure.com", "")
    assert not re.search(r"https?://|[0-9a-f]{8}-[0-9a-f]{4}-|SharedKey|AccountKey", text)


def test_score_diabetes_declares_what_the_rules_give_it():
    declared = read(FOLDER / "pipeline" / "score-diabetes.json")["properties"]["parameters"]
    assert declared == {
        name: {"type": "String"} for name in ("reaction_id", "attempt", "batch", "folder", "files", "model")
    }


def test_the_second_job_never_starts_after_a_first_that_did_not_complete():
    activities = {
        each["name"]: each for each in read(FOLDER / "pipeline" / "score-diabetes.json")["properties"]["activities"]
    }
    (guard,) = activities["StartScore"]["dependsOn"]
    assert guard == {"activity": "RequirePrep", "dependencyConditions": ["Succeeded"]}


def named(document, name):
    return next(each for each in every(document["properties"]["activities"]) if each["name"] == name)


def change(path, *keys, to):
    def changed(document):
        target = named(document, path)
        for key in keys[:-1]:
            target = target[key]
        target[keys[-1]] = to

    return changed


def forget(*keys):
    def changed(document):
        target = document["properties"]
        for key in keys[:-1]:
            target = target[key]
        del target[keys[-1]]

    return changed


BROKEN = {
    "reaction_id must be a String parameter": forget("parameters", "reaction_id"),
    "unknown name files": forget("parameters", "files"),
    "unknown name scoreStatus": forget("variables", "scoreStatus"),
    "unknown name Check": change("KeepPrepStatus", "typeProperties", "value", "value", to="@activity('Check').output"),
    "unknown name pollTime": change(
        "PausePrep", "typeProperties", "waitTimeInSeconds", "value", to="@pipeline().globalParameters.pollTime"
    ),
    "unknown function contain": change(
        "WaitForPrep", "typeProperties", "expression", "value", to="@contain('Completed', '')"
    ),
    "StartPrep must not be retried": change("StartPrep", "policy", "retry", to=1),
    "StartScore must not poll by itself": change("StartScore", "typeProperties", "turnOffAsync", to=False),
    "CheckPrep must call with the managed identity": change(
        "CheckPrep", "typeProperties", "authentication", "resource", to="https://management.azure.com"
    ),
    "StartScore must pass attempt on": change(
        "StartScore", "typeProperties", "body", "properties", "InputData", "attempt", "Value", to="1"
    ),
    "StartPrep must write to a folder of its own": change(
        "StartPrep", "typeProperties", "body", "properties", "OutputData", "bronze", "Uri", to="azureml://bronze"
    ),
    "WaitForScore does not end on Canceled": change(
        "WaitForScore", "typeProperties", "expression", "value",
        to="@contains(createArray('Completed', 'Failed', 'Cancelled'), variables('scoreStatus'))",
    ),
    "WaitForPrep does not look at what its poll answers": change(
        "KeepPrepStatus", "typeProperties", "value", "value", to="@activity('CheckPrep').output.properties.state"
    ),
    "WaitForScore does not look at what its poll answers": change(
        "KeepScoreStatus", "typeProperties", "variableName", to="prepStatus"
    ),
    "WaitForPrep has no Fail behind it": change("RequirePrep", "dependsOn", to=[]),
}  # fmt: skip


@pytest.mark.parametrize("said", BROKEN)
def test_a_broken_rule_is_noticed(said):
    document = copy.deepcopy(read(FOLDER / "pipeline" / "score-diabetes.json"))
    BROKEN[said](document)
    assert any(said in problem for problem in problems(document))
