"""Data Factory: what the rules start is deployed, with exactly the parameters they pass, and refers to what exists."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.infra.bicep import Deployment
from tests.infra.checks.repo import Repo, differences, strings

FACTORY = "Microsoft.DataFactory/factories"
STAMPS = {"reaction_id", "attempt"}
EVERY_VARIANT = ("default", "existing", "existing-factory", "existing-bare-factory")
FOLDERS = {"pipeline": "pipelines", "linkedService": "linkedservices", "dataset": "datasets", "trigger": "triggers"}
REFERENCES = {"LinkedServiceReference": "linkedService", "DatasetReference": "dataset", "PipelineReference": "pipeline"}


def deployed(deployment: Deployment, kind: str) -> dict[str, Mapping[str, Any]]:
    return {each.short_name: each.properties for each in deployment.of_type(f"{FACTORY}/{kind}")}


def documents(repo: Repo, folder: str) -> dict[str, Any]:
    found = [repo.json(str(path.relative_to(repo.root))) for path in repo.files(f"infra/adf/{folder}/*.json")]
    return {each["name"]: each["properties"] for each in found}


def rules_start_what_is_deployed_with_its_parameters(repo: Repo) -> Iterator[str]:
    for variant in EVERY_VARIANT:
        pipelines = deployed(repo.deployed(variant), "pipelines")
        for name, rule in repo.rules.items():
            pipeline = rule.get("run-pipeline")
            if pipeline is None:
                continue
            if pipeline not in pipelines:
                yield f"rule {name} starts {pipeline}, which is not deployed ({variant})"
                continue
            declared = set(pipelines[pipeline].get("parameters", {}))
            yield from differences(f"rule {name} passes to {pipeline}", STAMPS | set(rule["with"]), declared)


def pipelines_are_started_by_a_rule(repo: Repo) -> Iterator[str]:
    started = {rule.get("run-pipeline") for rule in repo.rules.values()}
    yield from (f"no rule starts {name}" for name in sorted(documents(repo, "pipeline").keys() - started))


def files_are_deployed_as_they_are(repo: Repo) -> Iterator[str]:
    """Every file of infra/adf, under its name; of a linked service only the address is filled in."""
    known = {*FOLDERS, "globalParameters.json"}
    yield from (f"infra/adf/{p.name} is not deployed" for p in repo.files("infra/adf/*") if p.name not in known)
    for variant in EVERY_VARIANT:
        for folder, kind in FOLDERS.items():
            files, there = documents(repo, folder), deployed(repo.deployed(variant), kind)
            yield from differences(f"{folder} ({variant})", set(there), set(files))
            for name in files.keys() & there.keys():
                ignored = {"typeProperties"} if folder == "linkedService" else set()
                if _without(files[name], ignored) != _without(there[name], ignored):
                    yield f"{folder} {name} is deployed otherwise ({variant})"
    for path in repo.files("infra/adf/*/*.json"):
        if repo.json(str(path.relative_to(repo.root)))["name"] != path.stem:
            yield f"{path.name} is named otherwise inside"


def _without(value: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: item for name, item in value.items() if name not in names}


def linked_services_lead_to_the_lake(repo: Repo) -> Iterator[str]:
    for variant in EVERY_VARIANT:
        for name, service in deployed(repo.deployed(variant), "linkedservices").items():
            lake = repo.deployed(variant).outputs["RELEARN_LAKE_ACCOUNT"]
            if service["typeProperties"] != {"url": f"https://{lake}.dfs.core.windows.net"}:
                yield f"linked service {name} ({variant}) has {service['typeProperties']}"


def activities_refer_to_what_exists(repo: Repo) -> Iterator[str]:
    """Activities, variables, parameters and global parameters in expressions; services and datasets by reference."""
    shared = set(repo.json("infra/adf/globalParameters.json")["properties"])
    assets = {folder: set(documents(repo, folder)) for folder in FOLDERS}
    for pipeline, properties in documents(repo, "pipeline").items():
        activities = list(_activities(properties["activities"]))
        names = [each["name"] for each in activities]
        yield from (f"{pipeline} has {name} twice" for name in sorted({n for n in names if names.count(n) > 1}))
        known = {
            r"activity\('([^']*)'\)": set(names),
            r"variables\('([^']*)'\)": set(properties.get("variables", {})),
            r"pipeline\(\)\??\.parameters\??\.(\w+)": set(properties.get("parameters", {})),
            r"pipeline\(\)\??\.globalParameters\??\.(\w+)": shared,
        }
        for text in strings(properties["activities"]):
            for pattern, there in known.items():
                yield from (
                    f"{pipeline}: there is no {n} for {text}" for n in re.findall(pattern, text) if n not in there
                )
        yield from (f"{pipeline}: {problem}" for problem in _broken_references(properties, assets))
        yield from (f"{pipeline}: {problem}" for problem in _broken_order(properties["activities"]))
        kept = {each["typeProperties"]["variableName"] for each in activities if each["type"] == "SetVariable"}
        yield from (f"{pipeline}: {n} is set and not declared" for n in sorted(kept - set(properties["variables"])))


def _activities(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        for each in value:
            yield from _activities(each)
    elif isinstance(value, dict):
        if {"name", "type", "typeProperties"} <= value.keys():
            yield value
        for each in value.values():
            yield from _activities(each)


def _broken_references(value: Any, assets: Mapping[str, set[str]]) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _broken_references(each, assets)
    elif isinstance(value, dict):
        folder = REFERENCES.get(str(value.get("type")))
        if folder is not None and value["referenceName"] not in assets[folder]:
            yield f"there is no {folder} {value['referenceName']}"
        for each in value.values():
            yield from _broken_references(each, assets)


def _broken_order(value: Any) -> Iterator[str]:
    """An activity waits for others of its own list only."""
    if isinstance(value, list):
        names = {each["name"] for each in value if isinstance(each, dict) and "name" in each}
        for each in value:
            for other in each.get("dependsOn", []) if isinstance(each, dict) else []:
                if other["activity"] not in names:
                    yield f"{each['name']} waits for {other['activity']}, which is not beside it"
            yield from _broken_order(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _broken_order(each)


def global_parameters_are_one_set(repo: Repo) -> Iterator[str]:
    """Those of the file, those that Bicep sets, those that expressions use."""
    file = repo.json("infra/adf/globalParameters.json")["properties"]
    types = {name: given["type"] for name, given in file.items()}
    used = {
        name
        for text in strings(documents(repo, "pipeline"))
        for name in re.findall(r"globalParameters\??\.(\w+)", text)
    }
    yield from differences("global parameters that are used", used, set(file))
    for variant in EVERY_VARIANT:
        given = global_parameters(repo.deployed(variant))
        found = {name: each["type"] for name, each in given.items() if name in file or variant == "default"}
        yield from differences(f"global parameters ({variant})", found, types)
        yield from (f"{name} is empty ({variant})" for name in types if given.get(name, {}).get("value") == "")
        for name, kind in types.items():
            if not isinstance(given.get(name, {}).get("value"), {"String": str, "Int": int}[kind]):
                yield f"{name} is no {kind} ({variant})"


def global_parameters(deployment: Deployment) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for factory in deployment.of_type(FACTORY):
        found |= factory.properties["globalParameters"]
    for own in deployed(deployment, "globalParameters").values():
        found |= own
    return found


def an_existing_factory_keeps_its_own(repo: Repo) -> Iterator[str]:
    there = global_parameters(repo.deployed("existing-factory"))
    if there.get("region") != {"type": "String", "value": "north"}:
        yield "the global parameters of an existing factory are lost"


CHECKS = (
    rules_start_what_is_deployed_with_its_parameters,
    pipelines_are_started_by_a_rule,
    files_are_deployed_as_they_are,
    linked_services_lead_to_the_lake,
    activities_refer_to_what_exists,
    global_parameters_are_one_set,
    an_existing_factory_keeps_its_own,
)
