"""What is stored: every table, queue, container and folder that is named is made."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.infra.bicep import Deployment
from tests.infra.checks.repo import Repo, differences, strings

ACCOUNT = "Microsoft.Storage/storageAccounts"
# The platform's, not the product's: where a Flex Consumption app keeps its package.
OF_THE_HOST = {"deployments"}
FOLDERS = {"0-raw", "1-bronze", "2-silver", "3-gold", "models"}


def made(deployment: Deployment, account: str, kind: str) -> set[str]:
    """The names of an account's tables, queues or containers."""
    return {each.short_name for each in deployment.of_type(f"{ACCOUNT}/{kind}") if each.name.startswith(f"{account}/")}


def app_account(deployment: Deployment) -> str:
    found: str = deployment.outputs["RELEARN_APP_STORAGE_ACCOUNT"]
    return found


def what_the_app_names_is_made(repo: Repo) -> Iterator[str]:
    named = {
        "tableServices/tables": set(repo.settings.TABLES),
        "queueServices/queues": set(repo.settings.QUEUES),
        "blobServices/containers": set(repo.settings.CONTAINERS) | OF_THE_HOST,
    }
    for variant in ("default", "queue", "isolated", "existing"):
        deployment = repo.deployed(variant)
        for kind, names in named.items():
            what = f"{kind.partition('/')[2]} ({variant})"
            yield from differences(what, made(deployment, app_account(deployment), kind), names)


def triggers_read_queues_that_are_made(repo: Repo) -> Iterator[str]:
    deployment = repo.deployed("queue")
    queues = made(deployment, app_account(deployment), "queueServices/queues")
    triggers = {name: told for name, told in repo.functions.items() if told.get("trigger") == "queue_trigger"}
    if not triggers:
        yield "no function reads a queue"
    for name, told in triggers.items():
        for queue in (told["queue_name"], f"{told['queue_name']}-poison"):
            if queue not in queues:
                yield f"{name} needs the queue {queue}"


def the_package_lies_in_a_container_that_is_made(repo: Repo) -> Iterator[str]:
    deployment = repo.deployed()
    [site] = deployment.of_type("Microsoft.Web/sites")
    address = site.properties["functionAppConfig"]["deployment"]["storage"]["value"]
    account, _, container = address.removeprefix("https://").partition("/")
    if account.partition(".")[0] != app_account(deployment) or container not in OF_THE_HOST:
        yield f"the package lies in {address}"


def rules_watch_containers_and_folders_that_exist(repo: Repo) -> Iterator[str]:
    deployment = repo.deployed()
    lake = deployment.outputs["RELEARN_LAKE_ACCOUNT"]
    containers = made(deployment, lake, "blobServices/containers")
    for name, rule in repo.rules.items():
        path = rule["when"].get("file-landed", {}).get("path")
        if path is not None:
            container, folder, *_ = path.split("/")
            if container not in containers:
                yield f"rule {name} watches the container {container}, which is not made"
            if folder not in FOLDERS:
                yield f"rule {name} watches the folder {folder}, which the lake has not"


def lifecycle_rules_name_the_lakes_folders(repo: Repo) -> Iterator[str]:
    """A rule of an account is for a container of it, and of the lake for a folder of it; nothing deletes models."""
    deployment = repo.deployed()
    for policy in deployment.of_type(f"{ACCOUNT}/managementPolicies"):
        account = policy.name.partition("/")[0]
        containers = made(deployment, account, "blobServices/containers")
        for rule in policy.properties["policy"]["rules"]:
            for prefix in rule["definition"]["filters"]["prefixMatch"]:
                container, _, folder = prefix.rstrip("/").partition("/")
                if container not in containers:
                    yield f"{rule['name']}: {account} has no container {container}"
                if container == "lake" and folder.partition("/")[0] not in FOLDERS:
                    yield f"{rule['name']}: the lake has no folder {folder!r}"
                if folder.startswith("models") and "delete" in str(rule["definition"]["actions"]):
                    yield f"{rule['name']} deletes models"


def jobs_write_into_the_lakes_folders(repo: Repo) -> Iterator[str]:
    """What pipelines, monitors and rules say about places in the lake."""
    for path in [*repo.files("infra/adf/pipeline/*.json"), *repo.files("ml/**/*.yml")]:
        for datastore, folder in re.findall(r"azureml://datastores/([\w-]+)/paths/([\w-]+)", path.read_text()):
            if datastore == "lake" and folder not in FOLDERS:
                yield f"{path.name} names the folder {folder}"
    for name, rule in repo.rules.items():
        for text in strings(rule.get("with", {})):
            if "/" in text and not text.startswith(("{", "azureml:")) and text.partition("/")[0] not in FOLDERS:
                yield f"rule {name} names the folder {text}"


CHECKS = (
    what_the_app_names_is_made,
    triggers_read_queues_that_are_made,
    the_package_lies_in_a_container_that_is_made,
    rules_watch_containers_and_folders_that_exist,
    lifecycle_rules_name_the_lakes_folders,
    jobs_write_into_the_lakes_folders,
)
