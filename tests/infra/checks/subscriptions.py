"""Event subscriptions as they are deployed, both ways: what they let through, and where it goes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from local.event_grid import BadSubscription
from local.event_grid.filters import Filter, parse_filter
from tests.infra.bicep import Deployment, Resource
from tests.infra.checks.repo import Repo, differences
from tests.infra.checks.settings import app_settings, delivery
from tests.infra.checks.storage import app_account, made

TYPE = "Microsoft.EventGrid/systemTopics/eventSubscriptions"
SEVEN_DAYS = 7 * 24 * 60 * 60
QUEUE_SENDER = "Storage Queue Data Message Sender"
BLOB_WRITER = "Storage Blob Data Contributor"
# By the names of tests/data/events.json; every other sample must not pass.
LET_THROUGH = {
    "lake-files": {
        "file-through-dfs", "file-in-one-put", "file-in-blocks", "file-through-sftp", "file-renamed", "file-empty",
    },
    "workspace-models": {"model", "model-as-documented", "run-completed"},
    "workspace-drift": {"drift"},
}  # fmt: skip
# Understood, for whoever still sends it, and not subscribed to: v1 of monitoring is retired.
NOT_SUBSCRIBED = {"Microsoft.MachineLearningServices.DatasetDriftDetected"}


def ways(repo: Repo) -> Iterator[tuple[str, Deployment, Deployment]]:
    """Each way of delivery: its name, what has the subscriptions, and the whole."""
    for variant in ("default", "existing"):
        yield f"webhook, {variant}", repo.webhook_subscriptions(variant), repo.deployed(variant)
    for variant in ("queue", "isolated", "existing-isolated"):
        yield f"queue, {variant}", repo.deployed(variant), repo.deployed(variant)


def subscriptions(deployment: Deployment) -> dict[str, Resource]:
    return {each.short_name: each for each in deployment.of_type(TYPE)}


def envelopes(sample: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One event in both schemas; a filter must not care which it is."""
    yield dict(sample)
    yield {
        "specversion": "1.0",
        "id": sample["id"],
        "source": sample.get("topic"),
        "type": sample["eventType"],
        "subject": sample["subject"],
        "time": sample["eventTime"],
        "data": sample["data"],
    }


def passes(wanted: Filter, sample: Mapping[str, Any]) -> bool:
    answers = {
        wanted.matches(each, event_type=sample["eventType"], subject=sample["subject"]) for each in envelopes(sample)
    }
    return answers == {True}


def both_ways_have_the_files_subscriptions(repo: Repo) -> Iterator[str]:
    file = {each["name"]: each for each in repo.json("infra/event-subscriptions.json")["subscriptions"]}
    for way, deployment, whole in ways(repo):
        found = subscriptions(deployment)
        yield from differences(f"subscriptions ({way})", set(found), set(file))
        for name, resource in found.items():
            for part in ("filter", "retryPolicy", "eventDeliverySchema"):
                if resource.properties[part] != file.get(name, {}).get(part):
                    yield f"{name} ({way}): {part} is not the file's"
            source = whole.outputs["RELEARN_LAKE_TOPIC_ID" if name.startswith("lake") else "RELEARN_WORKSPACE_TOPIC_ID"]
            if resource.parent != source:
                yield f"{name} ({way}) is of the topic {resource.parent}"


def filters_let_through_what_they_must(repo: Repo) -> Iterator[str]:
    samples = repo.json("tests/data/events.json")
    for way, deployment, _ in ways(repo):
        for name, resource in subscriptions(deployment).items():
            try:
                wanted = parse_filter(resource.properties["filter"], name)
            except BadSubscription as problem:
                yield str(problem)
                continue
            through = {each for each, sample in samples.items() if passes(wanted, sample)}
            yield from differences(f"{name} ({way}) lets through", through, LET_THROUGH.get(name, set()))


def the_product_understands_what_is_delivered(repo: Repo) -> Iterator[str]:
    """Of each type that is subscribed to there is a sample that the product takes; what it takes is subscribed to."""
    types = {
        each
        for subscription in repo.json("infra/event-subscriptions.json")["subscriptions"]
        for each in subscription["filter"]["includedEventTypes"]
    }
    understood = set()
    events = repo.module("shared.events")
    for sample in repo.json("tests/data/events.json").values():
        if not isinstance(events.parse(json.dumps(sample), accounts={"relearnlake"}), events.Refused):
            understood.add(sample["eventType"])
    yield from differences("event types", types, understood - NOT_SUBSCRIBED)


def webhooks_lead_to_the_function(repo: Repo) -> Iterator[str]:
    triggers = {name for name, told in repo.functions.items() if told.get("trigger") == "event_grid_trigger"}
    for way, deployment, whole in ways(repo):
        if way.startswith("queue"):
            continue
        [site] = whole.of_type("Microsoft.Web/sites")
        for name, resource in subscriptions(deployment).items():
            destination = resource.properties["destination"]
            prefix, _, function = destination["properties"]["resourceId"].rpartition("/functions/")
            if destination["endpointType"] != "AzureFunction" or prefix != site.id:
                yield f"{name} ({way}) leads to {prefix}"
            if function not in triggers:
                yield f"{name} ({way}) leads to {function}, which has no Event Grid trigger"
            if resource.properties["deliveryWithResourceIdentity"] is not None:
                yield f"{name} ({way}): a function cannot be called with an identity"


def the_queues_function_is_off_where_nothing_comes(repo: Repo) -> Iterator[str]:
    """It would poll the queue all day."""
    readers = {name for name, told in repo.functions.items() if told.get("queue_name") == repo.settings.EVENT_QUEUE}
    if not readers:
        yield f"no function reads {repo.settings.EVENT_QUEUE}"
    for variant in ("default", "queue", "isolated"):
        off = {name for name in readers if f"AzureWebJobs.{name}.Disabled" in app_settings(repo.deployed(variant))}
        if off != (readers if delivery(repo.deployed(variant)) == "webhook" else set()):
            yield f"functions that are off ({variant}): {sorted(off)}"


def queues_lead_to_the_queue_that_is_read(repo: Repo) -> Iterator[str]:
    read = {told.get("queue_name") for told in repo.functions.values()}
    for way, deployment, whole in ways(repo):
        if way.startswith("queue"):
            there = read & made(whole, app_account(whole), "queueServices/queues")
            for name, resource in subscriptions(deployment).items():
                yield from (f"{name} ({way}) {problem}" for problem in _wrong_queue(resource, whole, there))
                to = resource.properties["deliveryWithResourceIdentity"]["destination"]["properties"]
                yield from _may(whole, resource, f"/queueServices/default/queues/{to['queueName']}", QUEUE_SENDER, repo)


def _wrong_queue(resource: Resource, whole: Deployment, queues: set[str]) -> Iterator[str]:
    delivered = resource.properties["deliveryWithResourceIdentity"]
    to = delivered["destination"]["properties"]
    if resource.properties["destination"] is not None or delivered["identity"] != {"type": "SystemAssigned"}:
        yield "is not delivered with the topic's identity"
    if delivered["destination"]["endpointType"] != "StorageQueue" or _account(to) != app_account(whole):
        yield f"is delivered to {to['resourceId']}"
    if to["queueName"] not in queues:
        yield f"is delivered to {to['queueName']}, which nothing reads"
    if to["queueMessageTimeToLiveInSeconds"] != SEVEN_DAYS:
        yield f"has messages that live {to['queueMessageTimeToLiveInSeconds']} s, not seven days"


def dead_letters_are_kept_with_identity(repo: Repo) -> Iterator[str]:
    for way, deployment, whole in ways(repo):
        containers = made(whole, app_account(whole), "blobServices/containers")
        for name, resource in subscriptions(deployment).items():
            letters = resource.properties["deadLetterWithResourceIdentity"]
            to = letters["deadLetterDestination"]["properties"]
            if letters["identity"] != {"type": "SystemAssigned"} or "deadLetterDestination" in resource.properties:
                yield f"{name} ({way}): dead letters are not written with the topic's identity"
            if _account(to) != app_account(whole) or to["blobContainerName"] not in containers:
                yield f"{name} ({way}): there is no container {to['blobContainerName']} for dead letters"
            yield from _may(
                whole, resource, f"/blobServices/default/containers/{to['blobContainerName']}", BLOB_WRITER, repo
            )


def _account(destination: Mapping[str, Any]) -> str:
    return str(destination["resourceId"]).rpartition("/")[2]


def _may(whole: Deployment, subscription: Resource, place: str, role: str, repo: Repo) -> Iterator[str]:
    """The topic's identity has the role there."""
    topic = subscription.parent or ""
    guid = repo.json("infra/roles.json")["builtInRoles"].get(role, role)
    holders = {
        each.properties["principalId"]
        for each in whole.of_type("Microsoft.Authorization/roleAssignments")
        if each.scope.endswith(place) and each.properties["roleDefinitionId"].endswith(guid)
    }
    if principal_of(whole, topic) not in holders:
        yield f"{topic} may not write to {place}"


def principal_of(whole: Deployment, identifier: str) -> str | None:
    """The object id of a resource's own identity; of a new one a text that stands for it."""
    if whole.by_id(identifier) is not None:
        return f"${{{identifier}.identity.principalId}}"
    return next((e.body["identity"]["principalId"] for e in whole.existing if e.id == identifier), None)


CHECKS = (
    both_ways_have_the_files_subscriptions,
    filters_let_through_what_they_must,
    the_product_understands_what_is_delivered,
    webhooks_lead_to_the_function,
    queues_lead_to_the_queue_that_is_read,
    the_queues_function_is_off_where_nothing_comes,
    dead_letters_are_kept_with_identity,
)
