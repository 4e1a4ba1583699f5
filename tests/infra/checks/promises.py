"""What is promised of single values: who acts as whom, what is kept, what is left alone, who is told, what waits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.infra.bicep import Deployment, Resource
from tests.infra.checks.access import ASSIGNMENT, table
from tests.infra.checks.repo import Repo, differences
from tests.infra.checks.security import value_at
from tests.infra.checks.settings import SITE, app, app_settings, delivery
from tests.infra.checks.variants import FACTORY, GLOBAL, THERE, variant

ACCOUNT = "Microsoft.Storage/storageAccounts"
AML = "Microsoft.MachineLearningServices/workspaces"
# Which of the three identities each has: app for what the product does, compute for jobs, endpoint for the live model.
ACTS_AS = {SITE: "app", f"{AML}/computes": "compute", f"{AML}/onlineEndpoints": "endpoint"}
NEVER_DELETED = ("0-raw", "3-gold", "models")
COST_PARTS = {
    "modules/lake.bicep": "data",
    "modules/app-storage.bicep": "reactions",
    "modules/function-app.bicep": "reactions",
    "modules/workspace.bicep": "learning",
    "modules/compute.bicep": "learning",
    "modules/endpoints.bicep": "learning",
    "modules/data-factory.bicep": "orchestration",
    "modules/monitoring.bicep": "monitoring",
    "modules/virtual-network.bicep": "network",
}
# A role that was not yet given when its owner starts is a start that fails: each of these waits.
WAIT_FOR_ROLES = ("compute", "functionApp", "lakeSubscriptions", "workspaceSubscriptions")
# How the id of a scope of the table ends, where it is only a part of a resource.
NARROW = {
    "lakeContainer": r"/blobServices/default/containers/lake",
    "manifests": r"/blobServices/default/containers/manifests",
    "deadLetters": r"/blobServices/default/containers/dead-letters",
    "deployments": r"/blobServices/default/containers/deployments",
    "eventQueue": r"/queueServices/default/queues/events",
    "endpoint": r"/onlineEndpoints/[^/]+",
    "factory": r"/factories/[^/]+",
    "workspace": r"/workspaces/[^/]+",
    "eventsTopic": r"/topics/[^/]+",
}


def each_acts_as_itself(repo: Repo) -> Iterator[str]:
    deployment = repo.deployed("first")
    for kind, who in ACTS_AS.items():
        for resource in deployment.of_type(kind):
            names = [each.rpartition("/")[2] for each in resource.body["identity"]["userAssignedIdentities"]]
            if len(names) != 1 or not names[0].startswith(f"id-relearn-{who}-"):
                yield f"{resource.name} acts as {names}, not as {who}"


def the_app_uses_its_identity(repo: Repo) -> Iterator[str]:
    """For its package, its settings, the host's storage and telemetry: the same one, said in the way each wants it."""
    deployment = repo.deployed("first")
    site = app(deployment)
    [identity] = site.body["identity"]["userAssignedIdentities"]
    storage = site.properties["functionAppConfig"]["deployment"]["storage"]["authentication"]
    if storage["userAssignedIdentityResourceId"] != identity:
        yield f"the package is fetched as {storage['userAssignedIdentityResourceId']}"
    client = f"${{{identity}.properties.clientId}}"
    wanted = {
        "AZURE_CLIENT_ID": client,
        "AzureWebJobsStorage__clientId": client,
        "AzureWebJobsStorage__credential": "managedidentity",
        "RelearnStorage__clientId": client,
        "RelearnStorage__credential": "managedidentity",
        "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": f"ClientId={client};Authorization=AAD",
    }
    told = app_settings(deployment)
    yield from differences("settings", {name: told.get(name) for name in wanted}, wanted)


def scopes_are_as_narrow_as_the_table_says(repo: Repo) -> Iterator[str]:
    """A scope that has become its whole account or workspace gives more than the table's reader approved."""
    scope_of = {row["why"]: row["scope"] for row in table(repo)["assignments"]}
    many = [row["why"] for row in table(repo)["assignments"]]
    for each in repo.deployed("first").of_type(ASSIGNMENT):
        why = each.properties["description"]
        pattern = NARROW.get(scope_of[why]) if many.count(why) == 1 else None
        if pattern is not None and not re.search(f"{pattern}$", each.scope):
            yield f"{why!r} is given on {each.scope}"


def what_cannot_be_made_again_is_kept(repo: Repo) -> Iterator[str]:
    deployment = repo.deployed()
    [lake] = [each for each in deployment.of_type(ACCOUNT) if each.file == "modules/lake.bicep"]
    if lake.properties.get("isHnsEnabled") is not True:
        yield "the lake has no hierarchical namespace"
    for service in deployment.of_type(f"{ACCOUNT}/blobServices"):
        for policy in ("deleteRetentionPolicy", "containerDeleteRetentionPolicy"):
            if value_at(service.body, f"properties.{policy}.enabled") is not True:
                yield f"{service.name}: {policy} is off"
    for policies in deployment.of_type(f"{ACCOUNT}/managementPolicies"):
        for rule in policies.properties["policy"]["rules"]:
            yield from (f"{rule['name']} deletes {prefix}" for prefix in _deleted(rule) if _must_stay(prefix))


def _deleted(rule: Mapping[str, Any]) -> list[str]:
    told = rule["definition"]
    found: list[str] = told["filters"]["prefixMatch"] if "delete" in told["actions"]["baseBlob"] else []
    return found


def _must_stay(prefix: str) -> bool:
    return "/" not in prefix or any(prefix.startswith(f"lake/{folder}") for folder in NEVER_DELETED)


def nothing_that_serves_is_put_back(repo: Repo) -> Iterator[str]:
    """Traffic and default deployments belong to rollouts and to publishing; global parameters of others stay."""
    for kind in ("onlineEndpoints", "batchEndpoints"):
        for endpoint in repo.deployed("first").of_type(f"{AML}/{kind}"):
            said = {"traffic", "mirrorTraffic", "defaults"} & endpoint.properties.keys()
            yield from (f"{endpoint.name} says {name}" for name in sorted(said))
    ours = {**GLOBAL, "prepEndpointUri": {"type": "String", "value": "of yesterday"}}
    there = {FACTORY: {**THERE[FACTORY], "properties": {"globalParameters": ours}}}
    deployment = repo.deploy(variant(there, existingDataFactoryId=FACTORY))
    [merged] = deployment.of_type("Microsoft.DataFactory/factories/globalParameters")
    if "of yesterday" in str(merged.properties):
        yield "an existing factory keeps an address of yesterday"
    if merged.properties.get("region") != GLOBAL["region"]:
        yield "an existing factory loses its own global parameters"
    for pipeline in deployment.of_type("Microsoft.DataFactory/factories/pipelines"):
        if "mergedParameters" not in pipeline.depends_on:
            yield f"{pipeline.short_name} may run before its global parameters are there"


def a_deleted_vault_is_recovered_only_then(repo: Repo) -> Iterator[str]:
    for recover, wanted in ((True, "recover"), (False, "default")):
        [vault] = repo.deploy(variant(recoverVault=recover)).of_type("Microsoft.KeyVault/vaults")
        if vault.properties["createMode"] != wanted:
            yield f"recoverVault {recover}: createMode is {vault.properties['createMode']}"


# In isolation, beside the doors: firewalls, a registry that can have private endpoints, nodes that nobody signs in to.
SHUT: Mapping[str, Mapping[str, Any]] = {
    ACCOUNT: {"properties.networkAcls.defaultAction": "Deny"},
    "Microsoft.KeyVault/vaults": {"properties.networkAcls.defaultAction": "Deny"},
    "Microsoft.ContainerRegistry/registries": {"sku.name": "Premium"},
    f"{AML}/computes": {"properties.properties.remoteLoginPortPublicAccess": "Disabled"},
}


def isolation_is_whole(repo: Repo) -> Iterator[str]:
    deployment = repo.deployed("isolated-first")
    for kind, told in SHUT.items():
        for resource in deployment.of_type(kind):
            for path, wanted in told.items():
                if value_at(resource.body, path) != wanted:
                    yield f"{resource.name}: {path} is {value_at(resource.body, path)!r}"
    [network] = deployment.of_type("Microsoft.Network/virtualNetworks")
    for link in deployment.of_type("Microsoft.Network/privateDnsZones/virtualNetworkLinks"):
        if link.properties["virtualNetwork"]["id"] != network.id:
            yield f"{link.name} is linked to {link.properties['virtualNetwork']['id']}"


def delivery_is_what_was_asked_for(repo: Repo) -> Iterator[str]:
    for name, wanted in (("default", "webhook"), ("queue", "queue"), ("isolated", "queue")):
        found = delivery(repo.deployed(name))
        if found != wanted:
            yield f"{name}: events come by {found}, not by {wanted}"


def outputs_lead_to_what_is_used(repo: Repo) -> Iterator[str]:
    for name in ("default", "existing"):
        told = repo.deployed(name).outputs
        parts = str(told["RELEARN_WORKSPACE_ID"]).split("/")
        if (told["RELEARN_WORKSPACE_RESOURCE_GROUP"], told["RELEARN_WORKSPACE_NAME"]) != (parts[4], parts[8]):
            yield f"{name}: the workspace's group and name are not those of its id"


def operators_are_told(repo: Repo) -> Iterator[str]:
    wanted = {f"relearn-{each['name']}": each for each in repo.json("infra/alerts.json")["alerts"]}
    for name, people in (("default", 0), ("others", 1)):  # the second names an address
        deployment = repo.deployed(name)
        problems = [*_switched_off(deployment, people), *_thresholds(deployment, wanted), *_not_watched(deployment)]
        yield from (f"{problem} ({name})" for problem in problems)


LOG, METRIC = "Microsoft.Insights/scheduledQueryRules", "Microsoft.Insights/metricAlerts"


def _switched_off(deployment: Deployment, people: int) -> Iterator[str]:
    for alert in [*deployment.of_type(LOG), *deployment.of_type(METRIC)]:
        if alert.properties["enabled"] is not True:
            yield f"{alert.name} is off"
        if len(_told(alert)) != people:
            yield f"{alert.name} is told to {len(_told(alert))}, not to {people}"


def _thresholds(deployment: Deployment, wanted: Mapping[str, Any]) -> Iterator[str]:
    for alert in deployment.of_type(LOG):
        [condition] = alert.properties["criteria"]["allOf"]
        said = wanted[alert.name]
        if (condition["threshold"], condition["operator"]) != (said["threshold"], said["operator"]):
            yield f"{alert.name} waits for {condition['operator']} {condition['threshold']}"
    for alert in deployment.of_type(METRIC):
        if [each["threshold"] for each in alert.properties["criteria"]["allOf"]] != [0]:
            yield f"{alert.name} does not tell of the first one"


def _not_watched(deployment: Deployment) -> Iterator[str]:
    topics = {deployment.outputs[f"RELEARN_{source}_TOPIC_ID"] for source in ("LAKE", "WORKSPACE")}
    for metric in ("DeadLetteredCount", "DroppedEventCount"):
        watched = {
            scope
            for alert in deployment.of_type(METRIC)
            for scope in alert.properties["scopes"]
            if alert.properties["criteria"]["allOf"][0]["metricName"] == metric
        }
        yield from (f"nobody watches {metric} of {topic}" for topic in sorted(topics - watched))


def _told(alert: Resource) -> list[Any]:
    actions = alert.properties["actions"]
    found: list[Any] = actions["actionGroups"] if isinstance(actions, Mapping) else actions
    return found


def costs_are_told_apart(repo: Repo) -> Iterator[str]:
    for resource in repo.deployed("isolated-first").resources:
        part = resource.body.get("tags", {}).get("cost-part")
        if "location" in resource.body and resource.file in COST_PARTS and part != COST_PARTS[resource.file]:
            yield f"{resource.file}: {resource.symbol} is paid for as {part}"


def who_needs_a_role_waits_for_it(repo: Repo) -> Iterator[str]:
    text = repo.text("infra/main.bicep")
    for name in WAIT_FOR_ROLES:
        [body] = re.findall(rf"^module {name} .*?^}}", text, re.DOTALL | re.MULTILINE)
        waits = re.search(r"^  dependsOn: \[(.*?)\]", body, re.DOTALL | re.MULTILINE)
        if waits is None or "roles" not in re.split(r"[,\s]+", waits[1]):
            yield f"{name} does not wait for the roles"


CHECKS: tuple[Callable[[Repo], Iterator[str]], ...] = (
    each_acts_as_itself,
    the_app_uses_its_identity,
    scopes_are_as_narrow_as_the_table_says,
    what_cannot_be_made_again_is_kept,
    nothing_that_serves_is_put_back,
    a_deleted_vault_is_recovered_only_then,
    isolation_is_whole,
    delivery_is_what_was_asked_for,
    outputs_lead_to_what_is_used,
    operators_are_told,
    costs_are_told_apart,
    who_needs_a_role_waits_for_it,
)
