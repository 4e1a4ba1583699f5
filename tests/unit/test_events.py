"""Deliveries as Event Grid sends them become events; events have identities and survive being stored."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import events
from shared.events import Breach, DriftDetected, FileLanded, ModelRegistered, Reason, Refused, RunEnded
from shared.events.envelopes import MAX_TEXT

SAMPLES = json.loads((Path(__file__).parent.parent / "data" / "events.json").read_text(encoding="utf-8"))
LAKE = SAMPLES["file-through-dfs"]["topic"]
WORKSPACE = SAMPLES["model"]["topic"]
ACCOUNTS = frozenset({"relearnlake"})

_TO_CLOUD_EVENT = {"topic": "source", "subject": "subject", "eventType": "type", "eventTime": "time", "id": "id"}


def sample(name, **data):
    """A sample with some of its data replaced; ... takes a key out."""
    event = SAMPLES[name]
    merged = {**event["data"], **data}
    return {**event, "data": {key: value for key, value in merged.items() if value is not ...}}


def cloud_event(event):
    converted = {new: event[old] for old, new in _TO_CLOUD_EVENT.items() if old in event}
    return {"specversion": "1.0", **converted, "data": event["data"]}


def parse(event):
    return events.parse(json.dumps(event), accounts=ACCOUNTS, workspace_id=WORKSPACE)


ENVELOPES = {
    "Event Grid schema in an array": lambda event: [event],
    "Event Grid schema alone": lambda event: event,
    "CloudEvents": cloud_event,
    "CloudEvents in an array": lambda event: [cloud_event(event)],
}

in_each_envelope = pytest.mark.parametrize("wrap", ENVELOPES.values(), ids=ENVELOPES.keys())

ACCEPTED = {
    "file-through-dfs": FileLanded,
    "file-in-one-put": FileLanded,
    "file-in-blocks": FileLanded,
    "file-through-sftp": FileLanded,
    "file-renamed": FileLanded,
    "model": ModelRegistered,
    "model-as-documented": ModelRegistered,
    "drift": DriftDetected,
    "drift-of-a-dataset": DriftDetected,
    "run-completed": RunEnded,
    "run-failed": RunEnded,
    "run-canceled": RunEnded,
}

REFUSED = {
    "file-begun-through-dfs": Reason.NOT_COMPLETE,
    "file-begun-through-sftp": Reason.NOT_COMPLETE,
    "file-copied": Reason.NOT_COMPLETE,
    "file-empty": Reason.EMPTY_FILE,
    "file-deleted": Reason.NOT_A_LANDING,
    "file-tier-changed": Reason.NOT_A_LANDING,
    "folder-created": Reason.NOT_A_LANDING,
    "folder-renamed": Reason.NOT_A_LANDING,
    "folder-deleted": Reason.NOT_A_LANDING,
    "model-deployed": Reason.UNKNOWN_TYPE,
    "run-running": Reason.NOT_FINAL,
    "subscription-validation": Reason.UNKNOWN_TYPE,
}


def test_every_sample_is_expected_to_be_accepted_or_refused():
    assert set(SAMPLES) == set(ACCEPTED) | set(REFUSED)


@in_each_envelope
@pytest.mark.parametrize(("name", "kind"), ACCEPTED.items())
def test_what_counts_is_accepted_in_both_schemas(name, kind, wrap):
    event = parse(wrap(SAMPLES[name]))
    assert type(event) is kind
    assert (event.event_id, event.subject) == (SAMPLES[name]["id"], SAMPLES[name]["subject"])
    assert event.time.tzinfo is UTC
    assert event.truncated is False


@in_each_envelope
@pytest.mark.parametrize(("name", "reason"), REFUSED.items())
def test_what_does_not_count_is_refused_with_its_reason_and_label(name, reason, wrap):
    refused = parse(wrap(SAMPLES[name]))
    assert isinstance(refused, Refused), refused
    assert refused.reason is reason
    assert (refused.event_id, refused.event_type) == (SAMPLES[name]["id"], SAMPLES[name]["eventType"])


@pytest.mark.parametrize("name", ACCEPTED)
def test_both_schemas_and_repeated_deliveries_are_the_same_event(name):
    parsed = [parse(wrap(SAMPLES[name])) for wrap in (*ENVELOPES.values(), *ENVELOPES.values())]
    assert all(event == parsed[0] for event in parsed)


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_file_through_dfs_has_all_its_facts():
    event = parse(SAMPLES["file-through-dfs"])
    assert event == FileLanded(
        source=LAKE,
        event_id="b1d7c3aa-501e-0041-6fa2-5b1f2406a001",
        subject="/blobServices/default/containers/lake/blobs/0-raw/diabetes/b1/stage/patient-age.csv",
        time=datetime(2026, 11, 22, 4, 10, 11, 123456, tzinfo=UTC),
        account="relearnlake",
        container="lake",
        path="0-raw/diabetes/b1/stage/patient-age.csv",
        etag="0x8DE29A7C1B3F540",
        api="FlushWithClose",
        sequencer="00000000000000000000000000015A3D00000000000f01c2",
        size=91204,
        url="https://relearnlake.dfs.core.windows.net/lake/0-raw/diabetes/b1/stage/patient-age.csv",
        content_type="text/csv",
    )


def test_the_path_is_the_subject_undecoded():
    assert parse(SAMPLES["file-in-blocks"]).path == "0-raw/diabetes/b1/stage/part 1 of 3%20(ä).csv"


def test_a_path_may_repeat_the_words_of_a_subject():
    event = {**SAMPLES["file-in-one-put"], "subject": "/blobServices/default/containers/lake/blobs/a/blobs/b\n.csv"}
    assert parse(event).path == "a/blobs/b\n.csv"


@pytest.mark.parametrize("host", ["blob", "dfs", "z13.blob.storage", "other"])
def test_the_host_of_the_url_changes_nothing(host):
    event = parse(sample("file-in-one-put", url=f"https://x.{host}.core.windows.net/wrong/place"))
    assert (event.account, event.container, event.path.split("/")[-1]) == ("relearnlake", "lake", "patient-levels.csv")


def test_a_rename_has_no_etag_yet_and_knows_where_the_file_came_from():
    event = parse(SAMPLES["file-renamed"])
    assert (event.etag, event.renamed, event.size) == (None, True, None)
    assert event.path == "0-raw/diabetes/b1/stage/patient-age.csv"
    assert event.renamed_from.endswith("/lake/upload/patient-age.csv.tmp")
    with pytest.raises(ValueError, match="must be read"):
        events.identity(event)


def test_a_rename_with_its_etag_read_is_the_same_event_as_an_upload_of_that_etag():
    upload = parse(SAMPLES["file-through-dfs"])
    assert events.event_key(replace(parse(SAMPLES["file-renamed"]), etag=upload.etag)) == events.event_key(upload)


@pytest.mark.parametrize("etag", ["0x8DE", '"0x8DE"', 'W/"0x8DE"', ' "0x8DE" '])
def test_quotes_around_an_etag_make_no_difference(etag):
    event = parse(sample("file-in-one-put", eTag=etag))
    assert event.etag == "0x8DE"
    assert events.identity(event) == events.identity(parse(sample("file-in-one-put", eTag="0x8DE")))


@pytest.mark.parametrize(
    ("given_length", "size"), [(1, 1), ("17", 17), (2**63 - 1, 2**63 - 1), (None, None), (..., None)]
)
def test_the_size_is_taken_as_number_or_digits_or_not_at_all(given_length, size):
    assert parse(sample("file-in-one-put", contentLength=given_length)).size == size


def test_the_account_of_an_arm_id_is_found_in_any_letter_case():
    event = {**SAMPLES["file-in-one-put"], "topic": LAKE.upper().replace("RELEARNLAKE", "RelearnLake")}
    assert parse(event).account == "relearnlake"


# --- models -----------------------------------------------------------------------------------------------------------


def test_a_model_has_its_name_version_and_tags():
    event = parse(SAMPLES["model"])
    assert (event.name, event.version) == ("diabetes-classifier", "4")
    assert event.tags == {"stage": "candidate", "reaction": "0f3a-1"}
    assert event.properties == {"Accuracy": "0.949"}


def test_pascal_case_numbers_and_nulls_of_the_documentation_mean_the_same_model():
    documented = parse(SAMPLES["model-as-documented"])
    assert (documented.version, documented.properties) == ("4", {})
    assert events.identity(documented) == events.identity(parse(SAMPLES["model"]))


@pytest.mark.parametrize("gone", [..., None, ""])
def test_name_and_version_fall_back_on_the_subject_at_its_last_colon(gone):
    event = {**sample("model", modelName=gone, modelVersion=gone), "subject": "models/team:churn:v2.1"}
    assert (parse(event).name, parse(event).version) == ("team:churn", "v2.1")


def test_tags_that_are_no_text_become_text():
    event = parse(sample("model", modelTags={"n": 3, "ok": True, "none": None, "list": ["a"]}))
    assert event.tags == {"n": "3", "ok": "true", "none": "", "list": '["a"]'}


@pytest.mark.parametrize("version", ["4", 4, "04"])
def test_versions_are_texts(version):
    assert parse(sample("model", modelVersion=version)).version == str(version)


# --- drift and runs ---------------------------------------------------------------------------------------------------

BREACH = SAMPLES["drift"]["data"]["runTags"]["azureml_modelmonitor_threshold_breached"]


def drift(text=BREACH, **data):
    return parse(sample("drift", runTags={"azureml_modelmonitor_threshold_breached": text}, **data))


def test_a_breach_tells_its_run_monitor_signal_and_features():
    event = parse(SAMPLES["drift"])
    assert (event.run_id, event.generation) == ("c1d9be2f-4c0a-4bb4-8e9b-0e6f9f1d7a55", 2)
    assert (event.monitor, event.signal) == ("diabetes-monitor", "data_drift")
    assert event.breaches == (
        Breach(feature="Age", metric="JensenShannonDistance", value=0.67, threshold=0.1),
        Breach(feature="Pregnancies", metric="JensenShannonDistance", value=0.45, threshold=0.1),
    )
    assert event.text == BREACH


@pytest.mark.parametrize("status", ["Running", "Finalizing", "Completed", "failed", None])
def test_every_status_of_a_breached_run_is_the_same_event(status):
    event = drift(runStatus=status)
    assert isinstance(event, DriftDetected)
    assert events.identity(event) == events.identity(parse(SAMPLES["drift"]))


@pytest.mark.parametrize(
    ("quoted", "experiment", "signal", "monitor"),
    [
        ("data_drift", "m", "data_drift", "m"),
        ("my_monitor_data_drift", "my_monitor", "data_drift", "my_monitor"),
        ("my_monitor_own_signal", "my_monitor", "own_signal", "my_monitor"),
        ("my_monitor_data_drift", None, "data_drift", "my_monitor"),
        ("my_monitor_feature_attribution_drift", None, "feature_attribution_drift", "my_monitor"),
        ("data_drift", None, "data_drift", "the-parent"),
        ("own_signal", None, "own_signal", "the-parent"),
        ("m_", "m", "m_", "m"),
    ],
)
def test_monitor_and_signal_are_taken_apart(quoted, experiment, signal, monitor):
    event = drift(
        f"The Signal '{quoted}' has failed",
        experimentName=experiment,
        runProperties={"azureml.rootpipelinerunid": "the-parent"},
    )
    assert (event.signal, event.monitor) == (signal, monitor)


def test_a_breach_nobody_can_name_is_still_a_breach():
    event = drift("something went over", experimentName=None, runProperties=None)
    assert (event.monitor, event.signal, event.breaches) == (None, None, ())


@pytest.mark.parametrize(
    ("rows", "features"),
    [
        ('[\'{"group": "a"}\', \'{broken}\', \'{"group": "b"}\']', ["a", "b"]),
        ('[\'{"group": "a", "metric_value": NaN, "threshold_value": "high"}\']', ["a"]),
        ('["{\\"group\\"', []),
        ("{}{}{}", []),
        ("{" * 10_000, []),
        (r'{"group": "a\ud800\u0000"}', ["a��"]),
        ('{"group": "x"}' * 1_000, ["x"] * 50),
    ],
)
def test_what_can_be_read_of_the_features_is_read(rows, features):
    event = drift(f"The signal 's' has failed\n{rows}")
    assert [breach.feature for breach in event.breaches] == features
    assert all(breach.value is None and breach.threshold is None for breach in event.breaches)


def test_the_run_falls_back_on_the_subject():
    assert drift(runId=...).run_id == "c1d9be2f-4c0a-4bb4-8e9b-0e6f9f1d7a55"
    assert parse(sample("run-failed", runId="")).run_id == "imp_clever_kite_7"


def test_the_retired_dataset_monitor_is_generation_1():
    event = parse(SAMPLES["drift-of-a-dataset"])
    assert (event.generation, event.monitor, event.coefficient) == (1, "diabetes-drift", 0.7312)
    assert event.run_id == "4e3ac7aa-2f60-4b9d-9d43-f2a6fb9b2c10_1783209600123"


@pytest.mark.parametrize(
    ("name", "status"), [("run-completed", "Completed"), ("run-failed", "Failed"), ("run-canceled", "Canceled")]
)
def test_a_run_that_ended_has_one_of_three_statuses(name, status):
    assert parse(SAMPLES[name]).status == status


def test_an_empty_breach_tag_is_no_breach():
    assert isinstance(drift("  ", runStatus="Completed"), RunEnded)


# --- sources ----------------------------------------------------------------------------------------------------------


def test_without_a_workspace_in_the_settings_every_workspace_counts_but_nothing_else():
    raw = json.dumps(SAMPLES["model"])
    assert isinstance(events.parse(raw, accounts=ACCOUNTS), ModelRegistered)
    other = json.dumps({**SAMPLES["model"], "topic": LAKE})
    assert events.parse(other, accounts=ACCOUNTS).reason is Reason.FOREIGN_SOURCE


def test_arm_ids_are_compared_without_regard_to_case():
    event = {**SAMPLES["model"], "topic": WORKSPACE.upper() + "/"}
    assert events.identity(parse(event)) == events.identity(parse(SAMPLES["model"]))


# --- identities -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("file-in-one-put", {"etag": "0x2"}),
        ("file-in-one-put", {"path": "other.csv"}),
        ("file-in-one-put", {"container": "other"}),
        ("file-in-one-put", {"account": "other"}),
        ("model", {"version": "5"}),
        ("model", {"name": "other"}),
        ("model", {"source": WORKSPACE + "2"}),
        ("drift", {"run_id": "other"}),
        ("run-failed", {"event_id": "other"}),
    ],
)
def test_what_is_part_of_the_identity_tells_events_apart(name, change):
    event = parse(SAMPLES[name])
    assert events.event_key(replace(event, **change)) != events.event_key(event)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("file-in-one-put", {"event_id": "other", "size": 5, "url": "", "sequencer": "ff", "api": "FlushWithClose"}),
        ("model", {"event_id": "other", "tags": {}, "subject": "x"}),
        ("drift", {"event_id": "other", "signal": "other", "text": ""}),
        ("run-failed", {"status": "Completed", "run_id": "other"}),
    ],
)
def test_what_is_not_part_of_the_identity_does_not(name, change):
    event = parse(SAMPLES[name])
    assert events.event_key(replace(event, **change)) == events.event_key(event)


@given(st.lists(st.text(max_size=5), min_size=8, max_size=8))
def test_no_two_files_share_an_identity(parts):
    base = parse(SAMPLES["file-in-one-put"])
    one, two = (replace(base, account=p[0], container=p[1], path=p[2], etag=p[3]) for p in (parts[:4], parts[4:]))
    assert (events.identity(one) == events.identity(two)) == (parts[:4] == parts[4:])


def test_a_key_is_32_hexadecimal_digits_and_stays_the_same_between_versions():
    # Keys are stored for 30 days: a change here would take every known event for a new one.
    assert events.event_key(parse(SAMPLES["file-through-dfs"])) == "f8ed4d0d9e30b9798c8774cd44602f6f"
    assert events.event_key(parse(SAMPLES["model"])) == "f63e27795091ce7cbcc4ccb21d2b0e09"
    assert events.event_key(parse(SAMPLES["drift"])) == "b765ab34c58c976bab34e34f9f2c9057"


# --- records ----------------------------------------------------------------------------------------------------------

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_texts = st.dictionaries(_text, _text, max_size=3)
_number = st.none() | st.floats(allow_nan=False, allow_infinity=False)
_common = {
    "source": _text,
    "event_id": _text,
    "subject": _text,
    "time": st.datetimes(min_value=datetime(1601, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - st.datetimes wants it
    "truncated": st.booleans(),
}
_breach = st.builds(Breach, feature=_text, metric=_text, value=_number, threshold=_number)
_events = st.one_of(
    st.builds(
        FileLanded,
        **_common,
        account=_text,
        container=_text,
        path=_text,
        etag=st.none() | _text,
        size=st.none() | st.integers(0, 2**63 - 1),
        renamed=st.booleans(),
    ),
    st.builds(
        DriftDetected,
        **_common,
        run_id=_text,
        monitor=st.none() | _text,
        signal=st.none() | _text,
        breaches=st.lists(_breach, max_size=3).map(tuple),
        coefficient=_number,
        text=_text,
        generation=st.sampled_from([1, 2]),
    ),
    st.builds(ModelRegistered, **_common, name=_text, version=_text, tags=_texts, properties=_texts),
    st.builds(RunEnded, **_common, run_id=_text, status=_text, tags=_texts, properties=_texts),
)


@given(_events)
def test_a_record_gives_back_exactly_its_event(event):
    record = events.to_record(event)
    assert events.from_record(record) == event
    assert events.from_record({**record, "PartitionKey": "p", "RowKey": "r", "somethingNewer": 1}) == event
    assert all(type(value) in {str, int, float, bool, datetime} for value in record.values())


@pytest.mark.parametrize("name", ACCEPTED)
def test_record_properties_can_be_columns_of_a_table(name):
    record = events.to_record(parse(SAMPLES[name]))
    assert all(key.isidentifier() and key.isascii() for key in record)
    assert not {key.lower() for key in record} & {"partitionkey", "rowkey", "timestamp"}
    assert (record["kind"], record["schema"]) == (ACCEPTED[name].kind, 1)


def test_a_record_of_the_first_schema_can_always_be_read():
    record = {
        "kind": "file-landed",
        "schema": 1,
        "source": LAKE,
        "event_id": "1",
        "subject": "s",
        "time": datetime(2026, 1, 1, tzinfo=UTC),
        "account": "relearnlake",
        "container": "lake",
        "path": "a.csv",
        "etag": "0x1",
    }
    assert events.from_record(record).path == "a.csv"


@pytest.mark.parametrize("record", [{}, {"kind": "file-moved"}, {"kind": 3}])
def test_a_record_of_another_kind_is_refused(record):
    with pytest.raises(ValueError, match="is not an event"):
        events.from_record(record)


# --- too long ---------------------------------------------------------------------------------------------------------


def test_a_note_that_is_too_long_is_cut_between_characters_and_flagged():
    event = drift("The signal 's' has failed " + "ä" * MAX_TEXT)
    assert event.truncated is True
    assert MAX_TEXT - 2 < len(event.text.encode()) <= MAX_TEXT
    assert event.signal == "s"


def test_tags_that_are_too_many_are_left_out_and_flagged():
    event = parse(sample("model", modelTags={f"tag{i}": "x" * 100 for i in range(1_000)}))
    assert event.truncated is True
    assert "tag0" in event.tags
    assert len(json.dumps(event.tags)) <= MAX_TEXT


def test_the_breach_is_found_behind_any_number_of_other_tags():
    tags = {f"tag{i}": "x" * 100 for i in range(1_000)}
    event = parse(sample("drift", runTags={**tags, "azureml_modelmonitor_threshold_breached": BREACH}))
    assert isinstance(event, DriftDetected)


def test_characters_a_table_does_not_take_are_replaced_in_notes():
    event = parse(sample("model", modelTags={"a\x00": "\ud800b"}))
    assert event.tags == {"a�": "�b"}


@given(st.text(max_size=200))
def test_any_breach_text_can_be_stored(text):
    event = drift(f"The signal 's' {text}")
    record = events.to_record(event)
    assert all(len(v.encode("utf-16-le")) <= 65536 for v in record.values() if isinstance(v, str))
