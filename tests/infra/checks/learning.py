"""Azure Machine Learning: endpoints, compute, datastores, components and models go by one name everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.infra.bicep import Deployment
from tests.infra.checks.pipelines import global_parameters
from tests.infra.checks.repo import Repo, differences, strings
from tests.infra.checks.settings import app_settings
from tests.infra.checks.storage import made

WORKSPACE = "Microsoft.MachineLearningServices/workspaces"
# Each workspace has these of its own.
DATASTORES = {"workspaceartifactstore", "workspaceblobstore", "workspacefilestore", "workspaceworkingdirectory"}
AUTH_MODES = {"aad_token": "AADToken", "key": "Key", "aml_token": "AMLToken"}


def yaml_files(repo: Repo, pattern: str) -> dict[str, Mapping[str, Any]]:
    return {path.stem: repo.yaml(str(path.relative_to(repo.root))) for path in repo.files(f"ml/{pattern}")}


def names(deployment: Deployment, kind: str) -> set[str]:
    return {each.short_name for each in deployment.of_type(f"{WORKSPACE}/{kind}")}


def batch_endpoints_are_those_of_the_yaml(repo: Repo) -> Iterator[str]:
    """The YAML's name with the environment's token; each is an output, for who publishes and who invokes."""
    files = yaml_files(repo, "batch/*-endpoint.yml")
    for variant in ("first", "isolated-first", "existing-workspace", "keys"):
        deployment = repo.deployed(variant)
        endpoints = {each.short_name: each for each in deployment.of_type(f"{WORKSPACE}/batchEndpoints")}
        told = {stem: deployment.outputs.get(_output_of(stem)) for stem in files}
        yield from differences(f"batch endpoints ({variant})", set(endpoints), set(filter(None, told.values())))
        for stem, file in files.items():
            name = told[stem]
            if name is None:
                yield f"main.bicep has no output {_output_of(stem)}"
            elif not name.startswith(f"{file['name']}-"):
                yield f"{_output_of(stem)} is {name}, ml/batch/{stem}.yml is {file['name']}"
            elif name in endpoints and endpoints[name].properties["authMode"] != AUTH_MODES[file["auth_mode"]]:
                yield f"{name} ({variant}) takes {endpoints[name].properties['authMode']}"


def _output_of(stem: str) -> str:
    return f"RELEARN_{stem.removesuffix('-endpoint').upper()}_ENDPOINT"


def pipelines_invoke_the_batch_endpoints(repo: Repo) -> Iterator[str]:
    for variant in ("default", "existing", "existing-factory", "existing-workspace"):
        deployment = repo.deployed(variant)
        region = "northeurope" if variant in ("existing", "existing-workspace") else "westeurope"
        given = global_parameters(deployment)
        for stem in yaml_files(repo, "batch/*-endpoint.yml"):
            name = f"{stem.removesuffix('-endpoint')}EndpointUri"
            address = f"https://{deployment.outputs[_output_of(stem)]}.{region}.inference.ml.azure.com/jobs"
            if given.get(name, {}).get("value") != address:
                yield f"{name} ({variant}) is {given.get(name)}, not {address}"


def endpoints_names_fit_azures_limits(repo: Repo) -> Iterator[str]:
    """3 to 32 letters, digits and dashes, a letter first; a deployment of one gets its name's own 32."""
    for kind in ("onlineEndpoints", "batchEndpoints"):
        for name in names(repo.deployed("first"), kind):
            if not re.fullmatch(r"[a-z][a-z0-9-]{1,30}[a-z0-9]", name):
                yield f"{name} is no name of an endpoint"


def the_online_endpoint_is_the_setting(repo: Repo) -> Iterator[str]:
    for variant in ("first", "isolated-first", "existing-workspace"):
        deployment = repo.deployed(variant)
        setting = app_settings(deployment).get("DIABETES_ENDPOINT")
        yield from differences(f"online endpoints ({variant})", names(deployment, "onlineEndpoints"), {setting})
    for variant in ("default", "others"):
        deployment = repo.deployed(variant)
        if app_settings(deployment).get("DIABETES_ENDPOINT") != deployment.outputs["DIABETES_ENDPOINT"]:
            yield f"DIABETES_ENDPOINT is told differently ({variant})"
    for name, rule in repo.rules.items():
        used = [rule["deploy-model"]["endpoint"]] if "deploy-model" in rule else []
        used += re.findall(r"live:([^}]+\})", " ".join(strings(rule.get("with", {}))))
        yield from (f"rule {name} is about {each}" for each in used if each != "${DIABETES_ENDPOINT}")


def endpoints_take_the_chosen_credential(repo: Repo) -> Iterator[str]:
    for variant, mode in (("first", "AADToken"), ("keys", "Key"), ("tokens", "AMLToken")):
        for each in repo.deployed(variant).of_type(f"{WORKSPACE}/onlineEndpoints"):
            if each.properties["authMode"] != mode:
                yield f"{each.short_name} ({variant}) takes {each.properties['authMode']}"


def endpoints_are_left_alone_later(repo: Repo) -> Iterator[str]:
    """To put an endpoint again would set its traffic, or its default deployment, back."""
    for kind in ("onlineEndpoints", "batchEndpoints"):
        yield from (f"{each} is put again" for each in sorted(names(repo.deployed("default"), kind)))


def jobs_run_on_the_cluster(repo: Repo) -> Iterator[str]:
    for variant in ("default", "existing-workspace"):
        clusters = repo.deployed(variant).of_type(f"{WORKSPACE}/computes")
        for stem, file in yaml_files(repo, "batch/*-deployment.yml").items():
            wanted = file["settings"]["default_compute"].removeprefix("azureml:")
            if wanted not in {each.short_name for each in clusters}:
                yield f"ml/batch/{stem}.yml runs on {wanted}, which is not made ({variant})"
        for each in clusters:
            scale = each.properties["properties"]["scaleSettings"]
            if scale != {"minNodeCount": 0, "maxNodeCount": 4, "nodeIdleTimeBeforeScaleDown": "PT600S"}:
                yield f"{each.short_name} scales as {scale}"
    priority = [
        each.properties["properties"]["vmPriority"]
        for variant in ("default", "others")
        for each in repo.deployed(variant).of_type(f"{WORKSPACE}/computes")
    ]
    if priority != ["Dedicated", "LowPriority"]:
        yield f"priorities are {priority}"


def datastores_are_made(repo: Repo) -> Iterator[str]:
    for variant in ("default", "existing-lake", "existing-workspace"):
        deployment = repo.deployed(variant)
        there = {each.short_name: each.properties for each in deployment.of_type(f"{WORKSPACE}/datastores")}
        for where, text in _texts(repo):
            for name in re.findall(r"azureml://datastores/([\w-]+)/", text):
                if name not in there.keys() | DATASTORES:
                    yield f"{where} names the datastore {name}, which is not made ({variant})"
        lake = deployment.outputs["RELEARN_LAKE_ACCOUNT"]
        for name, store in there.items():
            if store["accountName"] != lake:
                yield f"datastore {name} ({variant}) is in {store['accountName']}, the lake is {lake}"
            containers = made(deployment, lake, "blobServices/containers") or {"lake"}
            if store["filesystem"] not in containers:
                yield f"datastore {name} ({variant}) is the container {store['filesystem']}"


def _texts(repo: Repo) -> Iterator[tuple[str, str]]:
    patterns = ("ml/**/*.yml", "infra/adf/**/*.json", "reactions.yaml")
    for path in (path for pattern in patterns for path in repo.files(pattern)):
        yield str(path.relative_to(repo.root)), path.read_text()


def references_name_what_the_yaml_defines(repo: Repo) -> Iterator[str]:
    """`azureml:name:version` of components, environments and code."""
    defined = {
        f"{each['name']}:{each['version']}"
        for pattern in (
            "components/*/component.yml",
            "environments/*.yml",
            "pipelines/*.yml",
            "data/*.yml",
            "codes/*.yml",
        )
        for each in yaml_files_of(repo, pattern)
        if "version" in each
    }
    for where, text in _texts(repo):
        for name in re.findall(r"azureml:([\w-]+:\w+)", text):
            if name not in defined:
                yield f"{where} names {name}, which nothing defines"


def yaml_files_of(repo: Repo, pattern: str) -> list[Mapping[str, Any]]:
    return [repo.yaml(str(path.relative_to(repo.root))) for path in repo.files(f"ml/{pattern}")]


def rules_wait_for_what_jobs_register(repo: Repo) -> Iterator[str]:
    """The model of the register step, the monitor of the schedule and its signal."""
    model = repo.yaml("ml/components/register/component.yml")["inputs"]["model_name"]["default"]
    monitors = yaml_files_of(repo, "monitors/*.yml")
    signals = {name for each in monitors for name in each["create_monitor"]["monitoring_signals"]}
    for name, rule in repo.rules.items():
        registered, drift = rule["when"].get("model-registered"), rule["when"].get("drift-detected")
        if registered and registered["model"] != model:
            yield f"rule {name} waits for {registered['model']}, jobs register {model}"
        if drift:
            yield from (f"rule {name} waits for {each}" for each in drift["signals"] if each not in signals)
            pattern = re.sub(r"\\\{\w+\\\}", ".+", re.escape(drift["monitor"]))
            if not any(re.fullmatch(pattern, each["name"]) for each in monitors):
                yield f"rule {name} waits for the monitor {drift['monitor']}"


CHECKS = (
    batch_endpoints_are_those_of_the_yaml,
    pipelines_invoke_the_batch_endpoints,
    endpoints_names_fit_azures_limits,
    the_online_endpoint_is_the_setting,
    endpoints_take_the_chosen_credential,
    endpoints_are_left_alone_later,
    jobs_run_on_the_cluster,
    datastores_are_made,
    references_name_what_the_yaml_defines,
    rules_wait_for_what_jobs_register,
)
