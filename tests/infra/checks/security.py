"""What a reviewer asks of every resource: no keys, TLS, no public door in isolation, tags."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.infra.bicep import Deployment, Refused, Resource
from tests.infra.checks.repo import Repo
from tests.infra.checks.variants import API_CLIENT, VARIANTS, variant

SITE = "Microsoft.Web/sites"
TAGS = {"azd-env-name", "cost-center", "product"}
# Each with what must be said of it for nobody to come in with a key.
KEYLESS: Mapping[str, Mapping[str, Any]] = {
    "Microsoft.Storage/storageAccounts": {
        "properties.allowSharedKeyAccess": False, "properties.allowBlobPublicAccess": False,
        "properties.minimumTlsVersion": "TLS1_2", "properties.supportsHttpsTrafficOnly": True,
        "properties.allowCrossTenantReplication": False,
    },
    "Microsoft.Storage/storageAccounts/blobServices/containers": {"properties.publicAccess": "None"},
    "Microsoft.KeyVault/vaults": {
        "properties.enableRbacAuthorization": True, "properties.enablePurgeProtection": True,
    },
    "Microsoft.ContainerRegistry/registries": {"properties.adminUserEnabled": False},
    "Microsoft.EventGrid/topics": {
        "properties.disableLocalAuth": True, "properties.minimumTlsVersionAllowed": "1.2",
    },
    "Microsoft.Insights/components": {"properties.DisableLocalAuth": True},
    "Microsoft.OperationalInsights/workspaces": {"properties.features.disableLocalAuth": True},
    "Microsoft.MachineLearningServices/workspaces": {
        "properties.systemDatastoresAuthMode": "Identity", "properties.v1LegacyMode": False,
    },
    "Microsoft.MachineLearningServices/workspaces/computes": {"properties.disableLocalAuth": True},
    "Microsoft.MachineLearningServices/workspaces/batchEndpoints": {"properties.authMode": "AADToken"},
    "Microsoft.MachineLearningServices/workspaces/datastores": {"properties.credentials.credentialsType": "None"},
    "Microsoft.Web/sites": {
        "properties.httpsOnly": True, "properties.siteConfig.ftpsState": "Disabled",
        "properties.siteConfig.minTlsVersion": "1.2", "properties.siteConfig.scmMinTlsVersion": "1.2",
        "properties.siteConfig.remoteDebuggingEnabled": False,
        "properties.functionAppConfig.deployment.storage.authentication.type": "UserAssignedIdentity",
    },
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": {"properties.allow": False},
}  # fmt: skip
# What has a public door, and through which private endpoints it is reached without. Two are not there to be reached
# from our network: the workspace's managed network makes its own private endpoint to the registry; of the factory only
# ARM is used, and what it reaches it reaches through managed private endpoints.
DOORS: Mapping[str, set[str]] = {
    "Microsoft.Storage/storageAccounts": {"blob"},
    "Microsoft.KeyVault/vaults": {"vault"},
    "Microsoft.ContainerRegistry/registries": set(),
    "Microsoft.MachineLearningServices/workspaces": {"amlworkspace"},
    "Microsoft.DataFactory/factories": set(),
    "Microsoft.EventGrid/topics": {"topic"},
    "Microsoft.Web/sites": {"sites"},
}
# "Disabled" would also shut out the trusted services its firewall lets in: Event Grid writes events and dead letters.
BEHIND_FIREWALL = {"modules/app-storage.bicep"}
NEITHER_NOR = {"Microsoft.MachineLearningServices/workspaces/onlineEndpoints"}
ISOLATED = ("isolated", "isolated-first", "existing-isolated")


def every_variant_deploys(repo: Repo) -> Iterator[str]:
    """No compiler's refusal, no name used twice, no value that does not fit: for every way of using the parameters."""
    for name in VARIANTS:
        try:
            repo.deployed(name)
        except Refused as problem:
            yield f"{name}: {problem}"
    for name in ("default", "existing"):
        try:
            repo.webhook_subscriptions(name)
        except Refused as problem:
            yield f"events.bicep, {name}: {problem}"


def a_webhook_into_isolation_is_refused(repo: Repo) -> Iterator[str]:
    try:
        repo.deploy(variant(networkIsolation=True, eventDelivery="webhook"))
    except Refused as problem:
        if "exclude each other" not in str(problem):
            yield f"webhook with networkIsolation fails otherwise: {problem}"
        return
    yield "webhook with networkIsolation is deployed"


def nothing_takes_keys(repo: Repo) -> Iterator[str]:
    for name in ("first", "isolated-first", "existing-workspace"):
        for resource in repo.deployed(name).resources:
            for path, wanted in KEYLESS.get(resource.type, {}).items():
                if value_at(resource.body, path) != wanted:
                    yield f"{_shown(resource)} ({name}): {path} is {value_at(resource.body, path)!r}, not {wanted!r}"
    kinds = {each.type for each in repo.deployed("first").resources}
    yield from (f"nothing of type {kind} is deployed" for kind in sorted(KEYLESS.keys() - kinds))
    doors = repo.deployed().of_type("Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    if {each.short_name for each in doors} != {"ftp", "scm"}:
        yield "passwords are not off for ftp and scm both"


def the_api_takes_its_registrations_tokens(repo: Repo) -> Iterator[str]:
    """And no others; without a registration nobody is told apart, and the app, which is told so, lets nobody in."""
    for name, client in (("default", ""), ("others", API_CLIENT)):
        found = repo.deployed(name).of_type(f"{SITE}/config")
        if [each.short_name for each in found] != ["authsettingsV2"]:
            yield f"{name}: the app has no authsettingsV2"
            continue
        wanted = {
            "properties.platform.enabled": bool(client),
            "properties.globalValidation.requireAuthentication": False,
            "properties.globalValidation.unauthenticatedClientAction": "AllowAnonymous",
            "properties.identityProviders.azureActiveDirectory.enabled": bool(client),
            "properties.identityProviders.azureActiveDirectory.registration.clientId": client,
            "properties.login.tokenStore.enabled": False,
            "properties.httpSettings.requireHttps": True,
        }
        for path, value in wanted.items():
            if value_at(found[0].body, path) != value:
                yield f"{name}: {path} is {value_at(found[0].body, path)!r}, not {value!r}"
        if client:
            yield from _tokens(found[0], client)
            audience = repo.deployed(name).outputs["RELEARN_API_AUDIENCE"]
            if audience != f"api://{client}":
                yield f"{name}: callers are told of the audience {audience!r}"


def _tokens(settings: Resource, client: str) -> Iterator[str]:
    directory = value_at(settings.body, "properties.identityProviders.azureActiveDirectory")
    if set(directory["validation"]["allowedAudiences"]) != {client, f"api://{client}"}:
        yield f"tokens for {directory['validation']['allowedAudiences']} are taken"
    issuer = str(directory["registration"]["openIdIssuer"])
    if not (issuer.startswith("https://login.microsoftonline.com/") and issuer.endswith("/v2.0")):
        yield f"tokens of {issuer} are taken"


def isolation_shuts_every_door(repo: Repo) -> Iterator[str]:
    for name in ISOLATED:
        for resource in repo.deployed(name).resources:
            if resource.type in DOORS.keys() | NEITHER_NOR:
                yield from (f"{_shown(resource)} ({name}): {problem}" for problem in _open_doors(resource))


def isolation_has_another_way_in(repo: Repo) -> Iterator[str]:
    for name in ISOLATED:
        targets = private_endpoints(repo.deployed(name))
        for resource in repo.deployed(name).resources:
            for part in sorted(_parts(resource) - targets.get(resource.id.lower(), set())):
                yield f"{_shown(resource)} ({name}) has no private endpoint for {part}"
    for resource in repo.deployed().of_type("Microsoft.Network/privateEndpoints"):
        yield f"{_shown(resource)} is made without isolation"


def _open_doors(resource: Resource) -> Iterator[str]:
    told = resource.properties
    if resource.file in BEHIND_FIREWALL:
        acls = told.get("networkAcls", {})
        if (acls.get("defaultAction"), acls.get("bypass")) != ("Deny", "AzureServices"):
            yield f"its firewall is {acls}"
    elif told.get("publicNetworkAccess") != "Disabled":
        yield f"publicNetworkAccess is {told.get('publicNetworkAccess')}"


def _parts(resource: Resource) -> set[str]:
    if resource.type != "Microsoft.Storage/storageAccounts":
        return DOORS.get(resource.type, set())
    lake, app = resource.properties.get("isHnsEnabled") is True, resource.file in BEHIND_FIREWALL
    return {"blob"} | ({"dfs"} if lake else set()) | ({"queue", "table"} if app else set())


def private_endpoints(deployment: Deployment) -> dict[str, set[str]]:
    """Resource id to the parts of it that have a private endpoint; only those that have a name in a private zone."""
    found: dict[str, set[str]] = {}
    named = {each.parent for each in deployment.of_type("Microsoft.Network/privateEndpoints/privateDnsZoneGroups")}
    for endpoint in deployment.of_type("Microsoft.Network/privateEndpoints"):
        for connection in endpoint.properties["privateLinkServiceConnections"]:
            target = connection["properties"]
            if endpoint.id in named:
                found.setdefault(target["privateLinkServiceId"].lower(), set()).update(target["groupIds"])
    return found


def private_names_are_in_their_zones(repo: Repo) -> Iterator[str]:
    """Each zone that an endpoint is named in is made, is linked to the network, and is of the endpoint's kind."""
    deployment = repo.deployed("isolated")
    zones = {each.id.lower() for each in deployment.of_type("Microsoft.Network/privateDnsZones")}
    linked = {
        (each.parent or "").lower()
        for each in deployment.of_type("Microsoft.Network/privateDnsZones/virtualNetworkLinks")
    }
    yield from (f"{zone} is linked to no network" for zone in sorted(zones - linked))
    used = set()
    for group in deployment.of_type("Microsoft.Network/privateEndpoints/privateDnsZoneGroups"):
        for each in group.properties["privateDnsZoneConfigs"]:
            zone = each["properties"]["privateDnsZoneId"].lower()
            used.add(zone)
            if zone not in zones:
                yield f"{_shown(group)} is named in {zone}, which is not made"
    yield from (f"nothing is named in {zone}" for zone in sorted(zones - used))


def isolation_gives_ways_in_and_out(repo: Repo) -> Iterator[str]:
    """The app's subnet is Flex Consumption's; jobs and activities have managed networks, with ways to the data."""
    for name in ISOLATED:
        deployment = repo.deployed(name)
        [site] = deployment.of_type("Microsoft.Web/sites")
        delegated = _delegations(deployment, str(site.properties["virtualNetworkSubnetId"]))
        if delegated != ["Microsoft.App/environments"]:
            yield f"the app's subnet ({name}) is delegated to {delegated}"
        for workspace in deployment.of_type("Microsoft.MachineLearningServices/workspaces"):
            if workspace.properties["managedNetwork"]["isolationMode"] == "Disabled":
                yield f"the workspace's jobs ({name}) have no network"
        for factory in deployment.of_type("Microsoft.DataFactory/factories"):
            if not deployment.of_type("Microsoft.DataFactory/factories/managedVirtualNetworks/managedPrivateEndpoints"):
                yield f"the activities of {factory.name} ({name}) have no way"
        yield from _missing_ways(deployment, name)


def _delegations(deployment: Deployment, subnet_id: str) -> list[str]:
    for network in deployment.of_type("Microsoft.Network/virtualNetworks"):
        for subnet in network.properties["subnets"]:
            if f"{network.id}/subnets/{subnet['name']}" == subnet_id:
                return [each["properties"]["serviceName"] for each in subnet["properties"].get("delegations", [])]
    return []


def _missing_ways(deployment: Deployment, name: str) -> Iterator[str]:
    """Jobs read the lake in both its ways, and the manifest of their batch in the app's account."""
    rules = deployment.of_type("Microsoft.MachineLearningServices/workspaces/outboundRules")
    there = {
        (to["serviceResourceId"].rpartition("/")[2], to["subresourceTarget"])
        for to in (each.properties["destination"] for each in rules)
    }
    lake, app = (deployment.outputs[each] for each in ("RELEARN_LAKE_ACCOUNT", "RELEARN_APP_STORAGE_ACCOUNT"))
    for account, part in ((lake, "blob"), (lake, "dfs"), (app, "blob")):
        if (account, part) not in there:
            yield f"jobs ({name}) have no way to {account}, {part}"


def everything_is_tagged(repo: Repo) -> Iterator[str]:
    """Whatever has a place has tags: whose environment it is, and who pays."""
    for name in ("first", "isolated-first", "existing-isolated"):
        for resource in repo.deployed(name).resources:
            if "location" in resource.body:
                missing = TAGS - resource.body.get("tags", {}).keys()
                yield from (f"{_shown(resource)} ({name}) has no tag {tag}" for tag in sorted(missing))


def names_fit_azures_limits(repo: Repo) -> Iterator[str]:
    """Lengths and letters that Azure would refuse only half-way through a deployment."""
    for name in ("first", "isolated-first"):
        for resource in repo.deployed(name).resources:
            pattern = NAMES.get(resource.type)
            if pattern is not None and not re.fullmatch(pattern, resource.short_name):
                yield f"{resource.short_name} is no name of a {resource.type}"


NAMES: Mapping[str, str] = {
    "Microsoft.Storage/storageAccounts": "[a-z0-9]{3,24}",
    "Microsoft.KeyVault/vaults": "[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]",
    "Microsoft.ContainerRegistry/registries": "[a-zA-Z0-9]{5,50}",
    "Microsoft.MachineLearningServices/workspaces": "[a-zA-Z0-9][a-zA-Z0-9_-]{2,32}",
    "Microsoft.MachineLearningServices/workspaces/computes": "[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]",
    "Microsoft.DataFactory/factories": "[a-zA-Z0-9][a-zA-Z0-9-]{1,61}[a-zA-Z0-9]",
    "Microsoft.EventGrid/topics": "[a-zA-Z0-9-]{3,50}",
    "Microsoft.EventGrid/systemTopics": "[a-zA-Z0-9-]{3,128}",
    "Microsoft.EventGrid/systemTopics/eventSubscriptions": "[a-zA-Z0-9-]{3,64}",
    "Microsoft.Web/sites": "[a-zA-Z0-9][a-zA-Z0-9-]{0,58}[a-zA-Z0-9]",
    "Microsoft.Web/serverfarms": "[a-zA-Z0-9-]{1,60}",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "[a-zA-Z0-9][a-zA-Z0-9_-]{2,127}",
    "Microsoft.Storage/storageAccounts/queueServices/queues": "[a-z0-9](?:-?[a-z0-9]){2,62}",
    "Microsoft.Storage/storageAccounts/tableServices/tables": "[a-zA-Z][a-zA-Z0-9]{2,62}",
    "Microsoft.Storage/storageAccounts/blobServices/containers": "[a-z0-9](?:-?[a-z0-9]){2,62}",
}


def topics_belong_to_their_sources(repo: Repo) -> Iterator[str]:
    """A source can have one system topic, beside it; and the topic needs an identity of its own."""
    for name in ("default", "isolated", "existing-lake", "existing-workspace"):
        topics = repo.deployed(name).of_type("Microsoft.EventGrid/systemTopics")
        sources = Counter(each.properties["source"].lower() for each in topics)
        yield from (f"{source} has more than one topic ({name})" for source, n in sources.items() if n > 1)
        for topic in topics:
            if topic.scope.lower() not in topic.properties["source"].lower():
                yield f"{_shown(topic)} ({name}) is not beside its source"
            if topic.body.get("identity") != {"type": "SystemAssigned"}:
                yield f"{_shown(topic)} ({name}) has no identity to deliver with"


def value_at(body: Mapping[str, Any], path: str) -> Any:
    found: Any = body
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _shown(resource: Resource) -> str:
    return f"{resource.file}: {resource.symbol} {resource.short_name}"


CHECKS: tuple[Callable[[Repo], Iterator[str]], ...] = (
    every_variant_deploys,
    a_webhook_into_isolation_is_refused,
    nothing_takes_keys,
    the_api_takes_its_registrations_tokens,
    isolation_shuts_every_door,
    isolation_has_another_way_in,
    private_names_are_in_their_zones,
    isolation_gives_ways_in_and_out,
    everything_is_tagged,
    names_fit_azures_limits,
    topics_belong_to_their_sources,
)
