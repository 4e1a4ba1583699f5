"""Event Grid's filters, and the subscription file that Bicep loads too."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.event_grid import BadSubscription, Subscription, load_subscriptions
from local.event_grid.envelopes import Published
from local.event_grid.filters import parse_filter
from local.event_grid.subscriptions import FILE, parse_subscription
from local.service import Event
from shared.settings import EVENT_QUEUE

EVENT: dict[str, Any] = {
    "id": "1",
    "topic": "/subscriptions/s",
    "subject": "/blobServices/default/containers/lake/blobs/A.csv",
    "eventType": "Microsoft.Storage.BlobCreated",
    "data": {
        "api": "PutBlob",
        "length": 10,
        "share": 0.5,
        "done": True,
        "nothing": None,
        "RunTags": {"Breached": "Signal 'x' Has Failed today"},
        "list": ["one", "two", 3],
    },
}


def matches(operator: str, key: str, value: object = None, **more: object) -> bool:
    condition: dict[str, Any] = {"operatorType": operator, "key": key}
    if value is not None:
        single = operator in ("BoolEquals", *(name for name in (operator,) if "Than" in name))
        condition["value" if single else "values"] = value
    checked = parse_filter({"advancedFilters": [condition], **more}, "here")
    return checked.matches(EVENT, event_type=EVENT["eventType"], subject=EVENT["subject"])


@pytest.mark.parametrize(
    ("operator", "key", "value", "expected"),
    [
        ("StringIn", "data.api", ["FlushWithClose", "putblob"], True),
        ("StringIn", "DATA.API", ["PutBlob"], True),
        ("StringIn", "data.api", ["Put"], False),
        ("StringIn", "data.missing", ["x"], False),
        ("StringIn", "data.length", ["10"], False),
        ("StringNotIn", "data.api", ["CopyBlob"], True),
        ("StringNotIn", "data.api", ["CopyBlob", "PUTBLOB"], False),
        ("StringNotIn", "data.missing", ["x"], True),
        ("StringContains", "data.runTags.breached", ["has failed"], True),
        ("StringContains", "data.RunTags.Breached", ["went well"], False),
        ("StringContains", "data.RunTags.missing", ["x"], False),
        ("StringContains", "subject", ["LAKE"], True),
        ("StringNotContains", "data.api", ["list"], True),
        ("StringNotContains", "data.api", ["blob", "list"], False),
        ("StringNotContains", "data.missing", ["x"], False),
        ("StringBeginsWith", "data.api", ["put"], True),
        ("StringBeginsWith", "data.api", ["blob"], False),
        ("StringNotBeginsWith", "data.api", ["blob"], True),
        ("StringNotBeginsWith", "data.api", ["put"], False),
        ("StringNotBeginsWith", "data.nothing", ["put"], False),
        ("StringEndsWith", "subject", [".CSV"], True),
        ("StringEndsWith", "subject", [".tmp"], False),
        ("StringNotEndsWith", "subject", [".tmp"], True),
        ("StringNotEndsWith", "subject", [".csv", ".tmp"], False),
        ("NumberIn", "data.length", [1, 10], True),
        ("NumberIn", "data.length", [1], False),
        ("NumberIn", "data.done", [1], False),
        ("NumberIn", "data.api", [1], False),
        ("NumberNotIn", "data.length", [1], True),
        ("NumberNotIn", "data.length", [10], False),
        ("NumberNotIn", "data.missing", [1], True),
        ("NumberLessThan", "data.length", 10.5, True),
        ("NumberLessThan", "data.length", 10, False),
        ("NumberLessThanOrEquals", "data.length", 10, True),
        ("NumberLessThanOrEquals", "data.length", 9, False),
        ("NumberGreaterThan", "data.share", 0, True),
        ("NumberGreaterThan", "data.share", 0.5, False),
        ("NumberGreaterThanOrEquals", "data.share", 0.5, True),
        ("NumberGreaterThanOrEquals", "data.missing", 0, False),
        ("NumberInRange", "data.length", [[1, 2], [9, 10]], True),
        ("NumberInRange", "data.length", [[1, 9.9]], False),
        ("NumberNotInRange", "data.length", [[1, 9]], True),
        ("NumberNotInRange", "data.length", [[1, 10]], False),
        ("BoolEquals", "data.done", True, True),
        ("BoolEquals", "data.done", False, False),
        ("BoolEquals", "data.length", True, False),
        ("IsNullOrUndefined", "data.nothing", None, True),
        ("IsNullOrUndefined", "data.missing.deeper", None, True),
        ("IsNullOrUndefined", "data.api", None, False),
        ("IsNotNull", "data.api", None, True),
        ("IsNotNull", "data.nothing", None, False),
        ("StringIn", "data.list", ["two"], False),
    ],
)
def test_an_operator(operator: str, key: str, value: object, expected: bool) -> None:
    assert matches(operator, key, value) is expected


def test_arrays_are_looked_into_only_when_asked_for() -> None:
    assert matches("StringIn", "data.list", ["two"], enableAdvancedFilteringOnArrays=True)
    assert not matches("StringNotIn", "data.list", ["two"], enableAdvancedFilteringOnArrays=True)
    assert not matches("StringIn", "data.list", ["three"], enableAdvancedFilteringOnArrays=True)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"includedEventTypes": ["microsoft.storage.blobcreated"]}, True),
        ({"includedEventTypes": ["Microsoft.Storage.BlobDeleted"]}, False),
        ({"includedEventTypes": []}, False),
        ({"subjectBeginsWith": "/blobservices/DEFAULT/containers/lake/"}, True),
        ({"subjectBeginsWith": "/blobServices/default/containers/lakes/"}, False),
        ({"subjectEndsWith": ".CSV"}, True),
        ({"subjectEndsWith": ".CSV", "isSubjectCaseSensitive": True}, False),
        ({"subjectEndsWith": ".csv", "isSubjectCaseSensitive": True}, True),
        (
            {
                "advancedFilters": [
                    {"operatorType": "StringIn", "key": "data.api", "values": ["PutBlob"]},
                    {"operatorType": "NumberIn", "key": "data.length", "values": [11]},
                ]
            },
            False,
        ),
    ],
)
def test_types_subjects_and_all_conditions_together(changes: dict[str, Any], expected: bool) -> None:
    checked = parse_filter(changes, "here")
    assert checked.matches(EVENT, event_type=EVENT["eventType"], subject=EVENT["subject"]) is expected


def by_name() -> dict[str, Subscription]:
    return {subscription.name: subscription for subscription in load_subscriptions()}


def lake_event(api: str, kind: str = "BlobCreated", container: str = "lake") -> Published:
    event = Event(
        type=f"Microsoft.Storage.{kind}",
        subject=f"/blobServices/default/containers/{container}/blobs/a.csv",
        data={"api": api},
    )
    return Published(topic="/lake", event=event)


def run_event(kind: str, **tags: str) -> Published:
    event = Event(
        type=f"Microsoft.MachineLearningServices.{kind}", subject="experiments/e/runs/r", data={"runTags": tags}
    )
    return Published(topic="/workspace", event=event)


@pytest.mark.parametrize(
    ("event", "wanted_by"),
    [
        (lake_event("PutBlob"), ["lake-files"]),
        (lake_event("PutBlockList"), ["lake-files"]),
        (lake_event("FlushWithClose"), ["lake-files"]),
        (lake_event("SftpCommit"), ["lake-files"]),
        (lake_event("RenameFile", "BlobRenamed"), ["lake-files"]),
        (lake_event("SftpRename", "BlobRenamed"), ["lake-files"]),
        (lake_event("CreateFile"), []),
        (lake_event("SftpCreate"), []),
        (lake_event("CopyBlob"), []),
        (lake_event("DeleteBlob", "BlobDeleted"), []),
        (lake_event("PutBlob", container="lake2"), []),
        (lake_event("PutBlob", container="other"), []),
        (run_event("ModelRegistered"), ["workspace-models"]),
        (run_event("RunCompleted"), ["workspace-models"]),
        (run_event("ModelDeployed"), []),
        (run_event("DatasetDriftDetected"), []),
        (run_event("RunStatusChanged"), []),
        (run_event("RunStatusChanged", azureml_modelmonitor_threshold_breached="all is well"), []),
        (
            run_event(
                "RunStatusChanged",
                azureml_modelmonitor_threshold_breached="The signal 'data_drift' has failed due to one or more "
                "features violating metric thresholds.\nand so on",
            ),
            ["workspace-drift"],
        ),
    ],
)
def test_who_wants_an_event_by_the_subscription_file(event: Published, wanted_by: list[str]) -> None:
    assert [name for name, subscription in by_name().items() if subscription.wants(event)] == wanted_by


def test_the_subscription_file_is_complete() -> None:
    for subscription in load_subscriptions():
        assert subscription.function == "receive_event"
        assert subscription.queue == EVENT_QUEUE
        assert subscription.dead_letter_container == "dead-letters"
        assert subscription.retry.max_attempts == 30
        assert subscription.retry.time_to_live_minutes == 1440
        assert subscription.max_events_per_batch == 1


GOOD = json.loads(FILE.read_text())["subscriptions"][0]
Change = Callable[[dict[str, Any]], object]


def condition(**content: object) -> Change:
    return lambda item: item["filter"].update(advancedFilters=[content])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda item: item.update(extra=1), "unknown property 'extra'"),
        (lambda item: item.pop("name"), "'name' is missing"),
        (lambda item: item.update(source="factory"), "not one of lake, workspace"),
        (lambda item: item.update(eventDeliverySchema="CustomInputSchema"), "not one of EventGridSchema"),
        (lambda item: item["filter"].update(includedTypes=[]), "unknown property 'includedTypes'"),
        (lambda item: item["retryPolicy"].update(maxDeliveryAttempts=31), "not a whole number from 1 to 30"),
        (lambda item: item["retryPolicy"].update(eventTimeToLiveInMinutes=0), "from 1 to 1440"),
        (lambda item: item["destination"].update(maxEventsPerBatch="1"), "from 1 to 5000"),
        (lambda item: item["destination"].update(preferredBatchSizeInKilobytes=2048), "from 1 to 1024"),
        (lambda item: item["destination"].pop("queue"), "destination.queue: None is not the name of a queue"),
        (lambda item: item["destination"].update(queue="Events"), "'Events' is not the name of a queue"),
        (lambda item: item["destination"].update(queue="events--poison"), "is not the name of a queue"),
        (lambda item: item["destination"].update(function=""), "'' is not the name of a function"),
        (lambda item: item["destination"].update(topic="x"), "unknown property 'topic'"),
        (lambda item: item["deadLetter"].update(queue="x"), "unknown property 'queue'"),
        (condition(operatorType="StringMatches", key="data.api", values=["x"]), "unknown operator 'StringMatches'"),
        (condition(operatorType="StringIn", values=["x"]), "without a key"),
        (condition(operatorType="StringIn", key="data.api"), "needs 'values'"),
        (condition(operatorType="NumberLessThan", key="data.n", values=[1]), "needs 'value'"),
        (condition(operatorType="NumberIn", key="data.n", values=["1"]), "wrong type"),
        (condition(operatorType="NumberIn", key="data.n", values=[True]), "wrong type"),
        (condition(operatorType="BoolEquals", key="data.n", value=1), "wrong type"),
        (condition(operatorType="NumberInRange", key="data.n", values=[[1]]), "not a range"),
        (condition(operatorType="StringIn", key="data.api", values=["x" * 513]), "512 is the limit"),
        (condition(operatorType="StringIn", key="data.api", values=["x"] * 26), "25 is the limit"),
        (
            lambda item: item["filter"].update(
                advancedFilters=[{"operatorType": "IsNotNull", "key": f"data.k{n}"} for n in range(26)]
            ),
            "26 advanced filters",
        ),
    ],
)
def test_a_broken_subscription_is_refused_by_name(change: Change, says: str) -> None:
    item = copy.deepcopy(GOOD)
    change(item)
    with pytest.raises(BadSubscription, match=says):
        parse_subscription(item, "event-subscriptions.json")


def test_two_subscriptions_of_one_name_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "subscriptions.json"
    file.write_text(json.dumps({"subscriptions": [GOOD, GOOD]}))
    with pytest.raises(BadSubscription, match="same name"):
        load_subscriptions(file)
    file.write_text("{")
    with pytest.raises(BadSubscription, match="not JSON"):
        load_subscriptions(file)
