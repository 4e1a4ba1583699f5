"""Data Factory would know every property, activity type and word in infra/adf; what is misspelt is seen here."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from local.data_factory.definitions import every
from tests.infra import adf_models

ADF = Path(__file__).resolve().parents[2] / "infra" / "adf"
CHECKS = {
    "pipeline": adf_models.pipeline_problems,
    "linkedService": adf_models.linked_service_problems,
    "adf": adf_models.global_parameter_problems,
}
FILES = sorted(ADF.rglob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_document_is_what_data_factory_describes(path):
    assert CHECKS[path.parent.name](json.loads(path.read_text())) == []


@pytest.mark.parametrize("path", sorted(ADF.glob("*/*.json")), ids=lambda path: path.stem)
def test_a_document_is_called_as_its_file(path):
    assert json.loads(path.read_text())["name"] == path.stem


def named(document, name):
    return next(each for each in every(document["properties"]["activities"]) if each["name"] == name)


def put(activity, path, value):
    def change(document):
        target = named(document, activity)
        *parents, last = path.split(".")
        for parent in parents:
            target = target[parent]
        target[last] = value

    return change


def rename(activity, path, new):
    def change(document):
        target = named(document, activity)
        *parents, last = path.split(".")
        for parent in parents:
            target = target[parent]
        target[new] = target.pop(last)

    return change


MISTAKES = {
    "'WebActvity' is no type of it": put("StartTrain", "type", "WebActvity"),
    "unknown property turnOffAsyn": rename("StartTrain", "typeProperties.turnOffAsync", "turnOffAsyn"),
    "unknown property retries": rename("CheckTrain", "policy.retry", "retries"),
    "unknown property depends": rename("KeepTrainJob", "dependsOn", "depends"),
    "url is missing": rename("CheckTrain", "typeProperties.url", "uri"),
    "typeProperties is missing": rename("PauseTrain", "typeProperties", "properties"),
    "'post' is none of": put("StartTrain", "typeProperties.method", "post"),
    "'Success' is none of": lambda document: named(document, "KeepTrainJob")["dependsOn"][0].update(
        dependencyConditions=["Success"]
    ),
    "turnOffAsync: must be of type bool": put("StartTrain", "typeProperties.turnOffAsync", "true"),
    "expression.type": put("WaitForTrain", "typeProperties.expression.type", "Expressions"),
    "policy.timeout '10 minutes' is no time span": put("StartTrain", "policy.timeout", "10 minutes"),
    "timeout '6:00:00' is no time span": put("WaitForTrain", "typeProperties.timeout", "6:00:00"),
    "retryIntervalInSeconds must be from 30": put("CheckTrain", "policy.retryIntervalInSeconds", 10),
    "a body is required": put("CheckTrain", "typeProperties.body", {}),
    "'Text' is none of": lambda document: document["properties"]["parameters"]["reason"].update(type="Text"),
    "'Number' is none of": lambda document: document["properties"]["variables"]["trainJob"].update(type="Number"),
    "unknown property parameter": lambda document: document["properties"].update(parameter={}),
    "no name for a pipeline": lambda document: document.update(name="train/diabetes"),
}


@pytest.mark.parametrize("said", MISTAKES)
def test_a_mistake_in_a_pipeline_is_noticed(said):
    document = json.loads((ADF / "pipeline" / "train-diabetes.json").read_text())
    changed = copy.deepcopy(document)
    MISTAKES[said](changed)
    assert any(said in problem for problem in adf_models.pipeline_problems(changed))


def test_a_mistake_in_the_global_parameters_or_a_linked_service_is_noticed():
    parameters = {"name": "default", "properties": {"pollSeconds": {"type": "Integer", "value": 60}}}
    assert "'Integer' is none of" in adf_models.global_parameter_problems(parameters)[0]
    service = {"name": "lake", "properties": {"type": "AzureBlobFileSystem", "typeProperties": {"uri": "https://x"}}}
    assert "'AzureBlobFileSystem' is no type of it" in adf_models.linked_service_problems(service)[0]
    service["properties"]["type"] = "AzureBlobFS"
    assert adf_models.linked_service_problems(service) == ["lake.typeProperties: unknown property uri"]
