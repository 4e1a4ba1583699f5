"""Whatever is delivered, it becomes an event or is refused for a reason; reading it never raises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import events
from shared.events import Event, Reason, Refused

SAMPLES = json.loads((Path(__file__).parent.parent / "data" / "events.json").read_text(encoding="utf-8"))
WORKSPACE = SAMPLES["model"]["topic"]
FILE, RENAMED, MODEL, DRIFT, RUN = (
    SAMPLES[name] for name in ("file-in-one-put", "file-renamed", "model", "drift", "run-failed")
)
TAG = "azureml_modelmonitor_threshold_breached"
LONG = "x" * 40_000
GONE = object()


def changed(event, **outer):
    return {key: value for key, value in {**event, **outer}.items() if value is not GONE}


def data(event, **inner):
    return {**event, "data": changed(event["data"], **inner)}


def blob_at(subject):
    return changed(FILE, subject=subject)


def cloud_event(**outer):
    event = {
        "specversion": "1.0",
        "id": FILE["id"],
        "source": FILE["topic"],
        "subject": FILE["subject"],
        "type": FILE["eventType"],
        "time": FILE["eventTime"],
        "data": FILE["data"],
    }
    return changed(event, **outer)


def storage(event_type):
    return changed(FILE, eventType=f"Microsoft.Storage.{event_type}")


def ml(event_type):
    return changed(RUN, eventType=f"Microsoft.MachineLearningServices.{event_type}")


# name, what is delivered (a text is sent as it is), and a part of the detail
MALFORMED = [
    ("nothing", "", "not JSON"),
    ("a space", " ", "not JSON"),
    ("a word", "hello", "not JSON"),
    ("XML", "<event/>", "not JSON"),
    ("single quotes", "{'id': 1}", "not JSON"),
    ("half an object", json.dumps(FILE)[:200], "not JSON"),
    ("two objects", json.dumps(FILE) + json.dumps(FILE), "not JSON"),
    ("a trailing comma", json.dumps(FILE)[:-1] + ",}", "not JSON"),
    ("a byte order mark", "\ufeff" + json.dumps(FILE), "not JSON"),
    ("a zero byte", "\x00", "not JSON"),
    ("a number of too many digits", "9" * 5_000, "not JSON"),
    ("brackets without end", "[" * 100_000, "nested too deeply"),
    ("objects without end", '{"a":' * 100_000, "nested too deeply"),
    ("null", "null", "not a JSON object"),
    ("true", "true", "not a JSON object"),
    ("a number", "17", "not a JSON object"),
    ("not a number", "NaN", "not a JSON object"),
    ("a text", '"event"', "not a JSON object"),
    ("base64 of an event", '"eyJpZCI6ICIxIn0="', "not a JSON object"),
    ("no event", "[]", "an array of 0 events"),
    ("two events", [FILE, MODEL], "an array of 2 events"),
    ("an array in an array", [[FILE]], "not a JSON object"),
    ("an array of null", [None], "not a JSON object"),
    ("an empty object", {}, "id is missing"),
    ("no id", changed(FILE, id=GONE), "id is missing"),
    ("an empty id", changed(FILE, id=""), "id is missing"),
    ("null for an id", changed(FILE, id=None), "id is missing"),
    ("a number for an id", changed(FILE, id=17), "id is not text"),
    ("an object for an id", changed(FILE, id={}), "id is not text"),
    ("an id of 40,000 characters", changed(FILE, id=LONG), "id is longer than 32 KB"),
    ("half a surrogate pair in the id", changed(FILE, id="a\ud800"), "id holds"),
    ("a zero character in the id", changed(FILE, id="a\x00"), "id holds"),
    ("no type", changed(FILE, eventType=GONE), "eventType is missing"),
    ("a number for a type", changed(FILE, eventType=5), "eventType is not text"),
    ("the type under the other schema's name", changed(FILE, eventType=GONE, type=FILE["eventType"]), "eventType"),
    ("no time", changed(FILE, eventTime=GONE), "eventTime is missing"),
    ("a number for a time", changed(FILE, eventTime=1732248611), "eventTime is not text"),
    ("a date", changed(FILE, eventTime="2026-11-22"), "not an ISO 8601"),
    ("a time in words", changed(FILE, eventTime="yesterday"), "not an ISO 8601"),
    ("an English time", changed(FILE, eventTime="Sun, 22 Nov 2026 04:10:11 GMT"), "not an ISO 8601"),
    ("a week", changed(FILE, eventTime="2026-W47-7T04:10:11Z"), "not an ISO 8601"),
    ("Arabic digits", changed(FILE, eventTime="٢٠٢٦-11-22T04:10:11Z"), "not an ISO 8601"),
    ("the 13th month", changed(FILE, eventTime="2026-13-22T04:10:11Z"), "no such time"),
    ("the 30th of February", changed(FILE, eventTime="2026-02-30T04:10:11Z"), "no such time"),
    ("the year 0", changed(FILE, eventTime="0000-01-01T00:00:00Z"), "no such time"),
    ("25 hours from Greenwich", changed(FILE, eventTime="2026-11-22T04:10:11+25:00"), "no such time"),
    (".NET's empty time", changed(FILE, eventTime="0001-01-01T00:00:00Z"), "before the year 1601"),
    ("before there is time", changed(FILE, eventTime="0001-01-01T00:00:00+14:00"), "no such time"),
    ("after there is time", changed(FILE, eventTime="9999-12-31T23:59:59-14:00"), "no such time"),
    ("CloudEvents 0.3", cloud_event(specversion="0.3"), "specversion"),
    ("CloudEvents 1", cloud_event(specversion=1), "specversion"),
    ("a CloudEvent without type", cloud_event(type=GONE), "type is missing"),
    ("a CloudEvent without time", cloud_event(time=GONE), "time is missing"),
    ("a CloudEvent without id", cloud_event(id=GONE), "id is missing"),
    ("a CloudEvent without data", cloud_event(data=GONE), "data.api is missing"),
    ("a CloudEvent with data in base64", cloud_event(data=GONE, data_base64="e30="), "data.api is missing"),
    ("no data", changed(FILE, data=GONE), "data.api is missing"),
    ("null for data", changed(FILE, data=None), "data.api is missing"),
    ("a text for data", changed(FILE, data=json.dumps(FILE["data"])), "data is not an object"),
    ("an array for data", changed(FILE, data=[FILE["data"]]), "data is not an object"),
    ("a number for data", changed(FILE, data=0), "data is not an object"),
    ("a topic that is no text", changed(FILE, topic=["x"]), "topic is not text"),
    ("a subject that is no text", changed(FILE, subject=7), "subject is not text"),
    ("no api", data(FILE, api=GONE), "data.api is missing"),
    ("an empty api", data(FILE, api=""), "data.api is missing"),
    ("an array for an api", data(FILE, api=["PutBlob"]), "data.api is not text"),
    ("no ETag", data(FILE, eTag=GONE), "data.eTag is missing"),
    ("an empty ETag", data(FILE, eTag=""), "data.eTag is missing"),
    ("an ETag of quotes only", data(FILE, eTag='""'), "data.eTag is empty"),
    ("a number for an ETag", data(FILE, eTag=8), "data.eTag is not text"),
    ("a negative size", data(FILE, contentLength=-1), "data.contentLength is not a whole number"),
    ("half a byte", data(FILE, contentLength=0.5), "data.contentLength is not a whole number"),
    ("a size in words", data(FILE, contentLength="much"), "data.contentLength is not a whole number"),
    ("true for a size", data(FILE, contentLength=True), "data.contentLength is not a whole number"),
    ("an infinite size", data(FILE, contentLength=float("inf")), "data.contentLength is not a whole number"),
    ("a size no table holds", data(FILE, contentLength=2**63), "data.contentLength is not a whole number"),
    ("a sequencer that is no text", data(FILE, sequencer=12), "data.sequencer is not text"),
    ("no subject", changed(FILE, subject=GONE), "the subject is not"),
    ("an empty subject", blob_at(""), "the subject is not"),
    ("a path alone", blob_at("0-raw/diabetes/b1/stage/patient-age.csv"), "the subject is not"),
    ("a container without a path", blob_at("/blobServices/default/containers/lake"), "the subject is not"),
    ("a container and an empty path", blob_at("/blobServices/default/containers/lake/blobs/"), "the subject is not"),
    ("no container", blob_at("/blobServices/default/containers//blobs/a.csv"), "the subject is not"),
    ("a queue", blob_at("/queueServices/default/queues/lake/messages/a"), "the subject is not"),
    ("a subject in upper case", blob_at(FILE["subject"].upper()), "the subject is not"),
    ("a path of 40,000 characters", blob_at(FILE["subject"] + LONG), "subject is longer than 32 KB"),
    ("half a surrogate pair in the path", blob_at(FILE["subject"] + "\udc00"), "subject holds"),
    ("a control character in the path", blob_at(FILE["subject"] + "\x07"), "subject holds"),
    ("a rename without a subject", changed(RENAMED, subject=""), "the subject is not"),
    ("a rename with data that is none", changed(RENAMED, data="x"), "data is not an object"),
    (
        "a model without name and subject",
        changed(data(MODEL, modelName=GONE), subject=""),
        "data does not name a model",
    ),
    (
        "a model without a colon",
        changed(data(MODEL, modelVersion=GONE), subject="models/churn"),
        "does not name a model",
    ),
    (
        "a model of another kind of subject",
        changed(data(MODEL, modelName=""), subject="data/churn:1"),
        "not name a model",
    ),
    ("a version of true", data(MODEL, modelVersion=True), "data.modelVersion is not text"),
    ("a version of 1.5", data(MODEL, modelVersion=1.5), "data.modelVersion is not text"),
    ("a name that is a number", data(MODEL, modelName=4), "data.modelName is not text"),
    ("tags in an array", data(MODEL, modelTags=["a"]), "data.modelTags is not an object"),
    ("tags in a text", data(MODEL, modelTags="a=b"), "data.modelTags is not an object"),
    ("properties in an array", data(MODEL, modelProperties=[]), "data.modelProperties is not an object"),
    ("a run without status", data(RUN, runStatus=GONE), "data.runStatus is missing"),
    ("a run with a number for a status", data(RUN, runStatus=3), "data.runStatus is not text"),
    ("a run nobody names", changed(data(RUN, runId=GONE), subject="experiments/1"), "does not name a run"),
    ("a breach of a run nobody names", changed(data(DRIFT, runId=""), subject=""), "does not name a run"),
    ("run tags in an array", data(DRIFT, runTags=[TAG]), "data.runTags is not an object"),
    ("an experiment that is a number", data(DRIFT, experimentName=4), "data.experimentName is not text"),
    (
        "run properties in a text",
        data(DRIFT, experimentName="", runProperties="x"),
        "data.runProperties is not an object",
    ),
]

NOT_COMPLETE = [
    ("a file that is begun", data(FILE, api="CreateFile", contentLength=0), "CreateFile"),
    ("a file that is begun, with a size", data(FILE, api="CreateFile"), "CreateFile"),
    ("a file that is begun over SFTP", data(FILE, api="SftpCreate", contentLength=0), "SftpCreate"),
    ("a copy", data(FILE, api="CopyBlob"), "CopyBlob"),
    ("an api of tomorrow", data(FILE, api="PutBlobFromTheMoon"), "PutBlobFromTheMoon"),
    ("an append", data(FILE, api="AppendFile"), "AppendFile"),
    ("a begun file without an ETag", data(FILE, api="CreateFile", eTag=GONE), "CreateFile"),
]

EMPTY = [
    ("an empty blob", data(FILE, contentLength=0), "no content"),
    ("an empty blob in blocks", data(FILE, api="PutBlockList", contentLength="0"), "no content"),
    ("an empty file over SFTP", data(FILE, api="SftpCommit", contentLength=0), "no content"),
]

NO_LANDING = [
    *((name, storage(name), name) for name in ("BlobDeleted", "DirectoryCreated", "BlobTierChanged")),
    ("a folder that was renamed", storage("DirectoryRenamed"), "`python -m relearn backfill RULE --since TIME`"),
    ("a deletion without data", changed(storage("BlobDeleted"), data=None), "BlobDeleted"),
    ("a report of a policy", changed(storage("LifecyclePolicyCompleted"), subject=""), "LifecyclePolicyCompleted"),
]

FOREIGN = [
    ("another account", changed(FILE, topic=FILE["topic"] + "2"), "storageAccounts/relearnlake2"),
    ("an account named like a longer one", changed(FILE, topic=FILE["topic"][:-1]), "not a storage account"),
    ("no topic", changed(FILE, topic=GONE), "not a storage account"),
    ("an empty topic", changed(FILE, topic=""), "not a storage account"),
    ("the account's name alone", changed(FILE, topic="relearnlake"), "not a storage account"),
    (
        "a topic below the account",
        changed(FILE, topic=FILE["topic"] + "/blobServices/default"),
        "not a storage account",
    ),
    ("something before the topic", changed(FILE, topic="x" + FILE["topic"]), "not a storage account"),
    ("a file from the workspace", changed(FILE, topic=WORKSPACE), "not a storage account"),
    ("a rename elsewhere", changed(RENAMED, topic=FILE["topic"] + "2"), "not a storage account"),
    ("a deletion elsewhere", changed(storage("BlobDeleted"), topic="x"), "not a storage account"),
    ("a begun file elsewhere", changed(data(FILE, api="CreateFile"), topic="x"), "not a storage account"),
    ("a CloudEvent from elsewhere", cloud_event(source="/elsewhere"), "not a storage account"),
    ("a CloudEvent without source", cloud_event(source=GONE), "not a storage account"),
    ("another workspace", changed(MODEL, topic=WORKSPACE + "2"), "not the workspace"),
    (
        "a workspace of another group",
        changed(MODEL, topic=WORKSPACE.replace("rg-relearn", "rg-other")),
        "not the workspace",
    ),
    ("a model from the lake", changed(MODEL, topic=FILE["topic"]), "not the workspace"),
    ("a breach from elsewhere", changed(DRIFT, topic=""), "not the workspace"),
    ("a run from elsewhere", changed(RUN, topic="https://ml.azure.com"), "not the workspace"),
]

UNKNOWN = [
    ("a validation", SAMPLES["subscription-validation"], "SubscriptionValidationEvent"),
    ("a model deployed", SAMPLES["model-deployed"], "ModelDeployed"),
    ("a file of tomorrow", storage("BlobTeleported"), "BlobTeleported"),
    ("a type in another case", changed(FILE, eventType="microsoft.storage.blobcreated"), "microsoft.storage"),
    ("a type with a space", changed(FILE, eventType=FILE["eventType"] + " "), "BlobCreated "),
    ("somebody's own type", changed(FILE, eventType="Contoso.Items.ItemReceived", topic="contoso"), "Contoso"),
    ("an unknown type without data", changed(FILE, eventType="Some.Thing", data=GONE, subject=GONE), "Some.Thing"),
    ("an unknown type in CloudEvents", cloud_event(type="com.example.thing", source="x", data=GONE), "com.example"),
    ("a workspace's other type", ml("SomethingElse"), "SomethingElse"),
]

NOT_FINAL = [
    (f"a run that is {status}", data(RUN, runStatus=status), status)
    for status in (
        "NotStarted",
        "Preparing",
        "Queued",
        "Running",
        "Finalizing",
        "CancelRequested",
        "NotResponding",
        "Ω",
    )
]

TABLES = {
    Reason.MALFORMED: MALFORMED,
    Reason.NOT_COMPLETE: NOT_COMPLETE,
    Reason.EMPTY_FILE: EMPTY,
    Reason.NOT_A_LANDING: NO_LANDING,
    Reason.FOREIGN_SOURCE: FOREIGN,
    Reason.UNKNOWN_TYPE: UNKNOWN,
    Reason.NOT_FINAL: NOT_FINAL,
}
CASES = [(reason, *case) for reason, table in TABLES.items() for case in table]


def parse(raw):
    return events.parse(raw, accounts={"relearnlake"}, workspace_id=WORKSPACE)


def test_there_are_more_than_a_hundred_of_them():
    assert len(CASES) > 100
    assert len({name for _, name, _, _ in CASES}) == len(CASES)


@pytest.mark.parametrize(("reason", "delivered", "detail"), [pytest.param(r, e, d, id=n) for r, n, e, d in CASES])
def test_it_is_refused_for_this_reason(reason, delivered, detail):
    refused = parse(delivered if isinstance(delivered, str) else json.dumps(delivered))
    assert isinstance(refused, Refused), refused
    assert (refused.reason, detail in refused.detail) == (reason, True), refused.detail
    assert_can_be_recorded(refused)


@pytest.mark.parametrize("event", [FILE, MODEL, DRIFT, RUN], ids=["file", "model", "drift", "run"])
def test_the_tables_change_events_that_are_accepted_as_they_are(event):
    assert isinstance(parse(json.dumps(event)), Event)
    assert isinstance(parse(json.dumps(cloud_event())), Event)


def test_a_label_that_is_too_long_is_cut():
    refused = parse(json.dumps(changed(FILE, id=LONG, subject=LONG, eventType="T" + LONG)))
    assert_can_be_recorded(refused)
    assert refused.subject == LONG[:1024]


def test_a_name_that_begins_like_another_model_is_its_own_model():
    other = parse(json.dumps(data(MODEL, modelName="diabetes-classifier2")))
    assert events.event_key(other) != events.event_key(parse(json.dumps(MODEL)))


def assert_can_be_recorded(refused):
    texts = [refused.detail, refused.event_id, refused.event_type, refused.subject]
    assert all(len(text.encode()) <= 1024 for text in texts if text is not None)


# --- anything at all --------------------------------------------------------------------------------------------------

_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_json = st.recursive(_scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@st.composite
def _distorted(draw):
    """A real event, a few of whose fields are replaced, dropped or spelled in another case."""
    event = json.loads(json.dumps(SAMPLES[draw(st.sampled_from(sorted(SAMPLES)))]))
    for _ in range(draw(st.integers(1, 4))):
        target = event["data"] if isinstance(event.get("data"), dict) and draw(st.booleans()) else event
        key = draw(st.sampled_from(sorted(target) or ["id"]))
        change = draw(st.sampled_from(["replace", "drop", "case"]))
        old = target.pop(key, None)
        if change == "replace":
            target[key] = draw(_json)
        elif change == "case":
            target[draw(st.sampled_from([key.upper(), key.lower(), key.title()]))] = old
    return json.dumps(event)


@given(st.text() | _json.map(json.dumps) | _distorted())
def test_reading_never_raises_and_what_is_accepted_can_be_kept(raw):
    parsed = parse(raw)
    if isinstance(parsed, Refused):
        assert_can_be_recorded(parsed)
        return
    record = events.to_record(parsed)
    assert events.from_record(record) == parsed
    assert all(len(value.encode("utf-16-le")) <= 65536 for value in record.values() if isinstance(value, str))
    if record.get("etag") is not None or record["kind"] != "file-landed":
        assert len(events.event_key(parsed)) == 32
