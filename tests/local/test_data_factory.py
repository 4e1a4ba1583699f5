"""The Data Factory REST API through the real SDK client: runs, queries, pages, policies, cancelling, the record."""

from __future__ import annotations

import ssl
import threading
from datetime import timedelta

import httpx
import pytest
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.datafactory.models import RunFilterParameters, RunQueryFilter, RunQueryOrderBy

from local.data_factory.request_log import duplicate_starts
from local.progress import AfterPolls, AfterSeconds, ByHand, Immediately, Interpret, Outcome, fail_at
from local.service import factory_id
from tests.local.adf import ADF_FOLDER, GROUP, SCORE, STAMP, activity, pipeline, requests_in, served

PAGE = 3


@pytest.fixture(scope="module")
def listener(tmp_path_factory):
    with served(tmp_path_factory.mktemp("adf"), page_size=PAGE) as cloud:
        yield cloud


@pytest.fixture
def cloud(listener):
    listener.data_factory.reset()
    listener.requests.unlink(missing_ok=True)
    listener.data_factory.progress.set(ByHand())
    return listener


@pytest.fixture
def factory(cloud):
    return cloud.data_factory.create("adf", ADF_FOLDER)


@pytest.fixture
def client(cloud):
    with cloud.client() as client:
        yield client


def start(client, name="score-diabetes", **parameters):
    return client.pipelines.create_run(GROUP, "adf", name, parameters=SCORE | parameters).run_id


def window(cloud, **more):
    now = cloud.clock.now()
    return RunFilterParameters(
        last_updated_after=now - timedelta(days=1), last_updated_before=now + timedelta(minutes=5), **more
    )


def ask(cloud, client, **more):
    return client.pipeline_runs.query_by_factory(GROUP, "adf", window(cloud, **more)).value


def where(operand, operator, *values):
    return RunQueryFilter(operand=operand, operator=operator, values_property=list(values))


def status(client, run_id):
    return client.pipeline_runs.get(GROUP, "adf", run_id).status


# Factories and pipelines


def test_a_factory_shows_its_global_parameters(factory, client):
    found = client.factories.get(GROUP, "adf")
    assert found.id == factory_id("adf")
    assert found.global_parameters["pollSeconds"].value == 60


def test_names_and_paths_do_not_mind_case(cloud, factory):
    path = factory_id("ADF").upper() + "/PIPELINES/SCORE-DIABETES"
    answer = httpx.get(cloud.url + path, verify=_trusting(cloud), headers={"Authorization": "Bearer x"})
    assert answer.json()["name"] == "score-diabetes"


def test_a_call_without_a_token_is_refused(cloud, factory):
    answer = httpx.get(cloud.url + factory_id("adf"), verify=_trusting(cloud))
    assert answer.status_code == 401


def _trusting(cloud):
    return ssl.create_default_context(cafile=str(cloud.ca_file))


def test_a_pipeline_shows_what_it_declares(factory, client):
    listed = {each.name: set(each.parameters) for each in client.pipelines.list_by_factory(GROUP, "adf")}
    stamp = {"reaction_id", "attempt"}
    assert listed == {
        "score-diabetes": stamp | {"batch", "folder", "files", "model"},
        "train-diabetes": stamp | {"batch", "live", "reason", "monitor_run", "algorithm", "regularisation"},
    }


def test_an_unchanged_pipeline_costs_a_304_and_a_new_one_has_a_new_etag(cloud, factory, client):
    def read(etag):
        condition = None if etag is None else MatchConditions.IfModified
        return client.pipelines.get(GROUP, "adf", "score-diabetes", etag=etag, match_condition=condition)

    first = read(None)
    assert read(first.etag) is None
    assert requests_in(cloud.requests)[-1]["status"] == 304
    factory.publish(pipeline("score-diabetes", activity("A", "Wait", waitTimeInSeconds=1)))
    changed = read(first.etag)
    assert changed.etag != first.etag
    assert changed.parameters is None


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.factories.get(GROUP, "other"),
        lambda client: client.pipelines.get(GROUP, "adf", "other"),
        lambda client: client.pipelines.create_run(GROUP, "adf", "other", parameters={}),
        lambda client: client.pipeline_runs.get(GROUP, "adf", "6b9e4c10-8d2f-4a37-9e51-c0d1e2f3a4b5"),
        lambda client: client.pipeline_runs.cancel(GROUP, "adf", "6b9e4c10-8d2f-4a37-9e51-c0d1e2f3a4b5"),
    ],
)
def test_what_is_not_there_is_a_404_that_names_it(factory, client, call):
    with pytest.raises(ResourceNotFoundError) as caught:
        call(client)
    assert "other" in caught.value.error.message or "6b9e4c10" in caught.value.error.message


def test_what_is_not_imitated_says_so(cloud, factory, client):
    with pytest.raises(HttpResponseError) as caught:
        list(client.datasets.list_by_factory(GROUP, "adf"))
    assert caught.value.status_code == 501
    assert "/datasets is not imitated" in caught.value.error.message
    assert requests_in(cloud.requests)[-1]["status"] == 501


# Starting


def test_a_run_brings_its_parameters_back_as_strings(cloud, factory, client):
    factory.publish(
        pipeline(
            "typed",
            activity("A", "Wait", waitTimeInSeconds=1),
            parameters={
                "n": {"type": "Int"},
                "yes": {"type": "Bool", "defaultValue": True},
                "list": {"type": "Array", "defaultValue": [1, "a"]},
                "text": {"type": "String", "defaultValue": "x"},
            },
        )
    )
    run_id = client.pipelines.create_run(GROUP, "adf", "typed", parameters={"n": 5}).run_id
    run = client.pipeline_runs.get(GROUP, "adf", run_id)
    assert run.parameters == {"n": "5", "yes": "True", "list": '[1,"a"]', "text": "x"}
    assert (run.pipeline_name, run.status, run.invoked_by.name) == ("typed", "InProgress", "Manual")
    assert (run.run_start, run.last_updated, run.run_end, run.duration_in_ms) == (cloud.clock.now(),) * 2 + (None,) * 2


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({}, "'score-diabetes' needs a value for its parameter 'reaction_id'"),
        ({**SCORE, "attempt": None}, "parameter 'attempt'"),
        ({**SCORE, "attempt": [1]}, "'attempt' is of type String; Array '[1]' cannot be used"),
    ],
)
def test_a_missing_or_wrong_parameter_is_a_400(factory, client, parameters, said):
    with pytest.raises(HttpResponseError) as caught:
        client.pipelines.create_run(GROUP, "adf", "score-diabetes", parameters=parameters)
    assert caught.value.status_code == 400
    assert caught.value.error.code == "BadRequest"
    assert said in caught.value.error.message
    assert caught.value.error.target == "pipeline/score-diabetes/"
    assert factory.runs() == []


def test_a_parameter_the_pipeline_does_not_declare_is_dropped(factory, client):
    run_id = start(client, other="x")
    assert "other" not in client.pipeline_runs.get(GROUP, "adf", run_id).parameters


def test_a_body_that_is_no_object_is_a_400(cloud, factory):
    path = factory_id("adf") + "/pipelines/score-diabetes/createRun"
    for body in (b"[1]", b"{"):
        answer = httpx.post(
            cloud.url + path, content=body, verify=_trusting(cloud), headers={"Authorization": "Bearer x"}
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")


def test_a_rerun_takes_the_parameters_and_the_group_of_the_run_it_refers_to(factory, client):
    first = start(client)
    second = client.pipelines.create_run(GROUP, "adf", "score-diabetes", reference_pipeline_run_id=first).run_id
    older, newer = (client.pipeline_runs.get(GROUP, "adf", run_id) for run_id in (first, second))
    assert newer.parameters == older.parameters
    assert (newer.run_group_id, older.is_latest, newer.is_latest) == (older.run_group_id, False, True)


def test_a_rerun_of_an_unknown_run_is_refused_by_its_own_code(factory, client):
    with pytest.raises(HttpResponseError) as caught:
        client.pipelines.create_run(GROUP, "adf", "score-diabetes", reference_pipeline_run_id="none")
    assert caught.value.error.code == "ReferencedPipelineRunNotValid"


def test_a_hundred_queued_runs_are_enough(factory, client):
    factory.publish(pipeline("one-at-a-time", activity("A", "Wait", waitTimeInSeconds=1), concurrency=1))
    started = [factory.start("one-at-a-time", {}) for _ in range(101)]
    assert [run.status for run in started[:2]] == ["InProgress", "Queued"]
    with pytest.raises(HttpResponseError) as caught:
        client.pipelines.create_run(GROUP, "adf", "one-at-a-time")
    assert caught.value.status_code == 429
    factory.finish(started[0].id)
    assert started[1].status == "InProgress"
    assert client.pipelines.create_run(GROUP, "adf", "one-at-a-time").run_id


def test_a_full_queue_can_be_asked_for(factory, client):
    factory.queue_full(times=1, retry_after=7)
    with pytest.raises(HttpResponseError) as caught:
        client.pipelines.create_run(GROUP, "adf", "score-diabetes", parameters=SCORE, retry_total=0)
    assert (caught.value.status_code, caught.value.response.headers["Retry-After"]) == (429, "7")
    assert factory.runs() == []
    assert start(client)


# Policies


def test_a_run_can_be_over_at_once(factory, client):
    factory.progress.set(Immediately(Outcome.FAILED, "no data"))
    run = client.pipeline_runs.get(GROUP, "adf", start(client))
    assert (run.status, run.message, run.duration_in_ms) == ("Failed", "no data", 0)


def test_a_run_can_be_over_after_polls_by_get_or_by_query(cloud, factory, client):
    factory.progress.set(AfterPolls(2))
    run_id = start(client)
    assert status(client, run_id) == "InProgress"
    assert [run.status for run in ask(cloud, client)] == ["InProgress"]
    assert factory.runs()[0].status == "InProgress"  # looking on from a test is no poll
    assert status(client, run_id) == "Succeeded"


def test_a_query_for_something_else_is_not_a_poll(cloud, factory, client):
    factory.progress.set(AfterPolls(1))
    run_id = start(client)
    ask(cloud, client, filters=[where("PipelineName", "Equals", "other")])
    assert status(client, run_id) == "InProgress"


def test_a_run_can_be_over_after_seconds_on_the_tests_clock(cloud, factory, client):
    factory.progress.set(AfterSeconds(90, Outcome.CANCELLED))
    run_id = start(client)
    cloud.clock.advance(89)
    assert status(client, run_id) == "InProgress"
    cloud.clock.advance(1)
    run = client.pipeline_runs.get(GROUP, "adf", run_id)
    assert (run.status, run.duration_in_ms, run.last_updated) == ("Cancelled", 90_000, cloud.clock.now())


def test_a_run_can_be_ended_by_hand_once(factory, client):
    run_id = start(client)
    factory.fail(run_id, "by hand")
    factory.finish(run_id)
    run = client.pipeline_runs.get(GROUP, "adf", run_id)
    assert (run.status, run.message) == ("Failed", "by hand")


def test_policies_go_by_pipeline_factory_and_service_and_can_be_used_once(cloud, factory, client):
    factory.publish(pipeline("other", activity("A", "Wait", waitTimeInSeconds=1)))
    factory.progress.set(Immediately(Outcome.CANCELLED), "Score-Diabetes")
    factory.progress.once(Immediately(Outcome.FAILED), "score-diabetes")
    cloud.data_factory.progress.set(Immediately())
    ended = [status(client, start(client, name)) for name in ("score-diabetes", "score-diabetes", "other")]
    assert ended == ["Failed", "Cancelled", "Succeeded"]


def test_a_second_run_with_the_same_stamp_can_be_forced(cloud, factory, client):
    first = start(client)
    younger = factory.start("score-diabetes", SCORE, at=cloud.clock.now() + timedelta(seconds=3))
    found = ask(cloud, client, filters=[where("PipelineName", "Equals", "score-diabetes")])
    assert [run.run_id for run in found] == [first, younger.id]
    assert all(STAMP.items() <= run.parameters.items() for run in found)
    assert duplicate_starts(cloud.requests) == 0  # nobody posted it


# Queries


@pytest.mark.parametrize("bound", ["lastUpdatedAfter", "lastUpdatedBefore"])
def test_both_time_bounds_are_needed(cloud, factory, bound):
    body = {"lastUpdatedAfter": "2026-01-01T00:00:00Z", "lastUpdatedBefore": "2027-01-01T00:00:00Z"}
    del body[bound]
    answer = httpx.post(
        f"{cloud.url}{factory_id('adf')}/queryPipelineRuns",
        json=body,
        verify=_trusting(cloud),
        headers={"Authorization": "Bearer x"},
    )
    assert answer.status_code == 400
    assert bound in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"filters": [where("Parameters", "Equals", "x")]}, "Unknown operand 'Parameters'"),
        ({"filters": [where("Status", "Contains", "x")]}, "Unknown operator 'Contains'"),
        ({"filters": [where("Status", "Equals", "Failed", "Queued")]}, "'Equals' takes one value"),
        ({"filters": [where("Status", "In")]}, "needs a list of values"),
        ({"filters": [where("RunStart", "Equals", "soon")]}, "'soon' is not a timestamp"),
        ({"order_by": [RunQueryOrderBy(order_by="Message", order="ASC")]}, "Unknown property 'Message'"),
        ({"order_by": [RunQueryOrderBy(order_by="RunStart", order="UP")]}, "Unknown order 'UP'"),
        ({"continuation_token": "made-up"}, "continuation token"),
    ],
)
def test_a_query_the_service_would_not_understand_is_a_400(cloud, factory, client, more, said):
    with pytest.raises(HttpResponseError) as caught:
        ask(cloud, client, **more)
    assert caught.value.status_code == 400
    assert said in caught.value.error.message


def test_a_query_finds_what_was_updated_in_its_window(cloud, factory, client):
    run_id = start(client)
    cloud.clock.advance(3 * 24 * 3600)
    assert ask(cloud, client) == []
    factory.finish(run_id)
    assert [run.run_id for run in ask(cloud, client)] == [run_id]


def test_filters_choose(cloud, factory, client):
    factory.publish(pipeline("other", activity("A", "Wait", waitTimeInSeconds=1)))
    first = start(client)
    cloud.clock.advance(10)
    second = start(client, "other")
    factory.finish(second)

    def found(*filters):
        return [run.run_id for run in ask(cloud, client, filters=list(filters))]

    run = client.pipeline_runs.get(GROUP, "adf", second)
    assert found(where("PipelineName", "Equals", "OTHER")) == [second]
    assert found(where("PipelineName", "NotEquals", "other")) == [first]
    assert found(where("PipelineName", "In", "other", "score-diabetes")) == [first, second]
    assert found(where("PipelineName", "NotIn", "other", "score-diabetes")) == []
    assert found(where("Status", "Equals", "Succeeded")) == [second]
    assert found(where("Status", "In", "Queued", "InProgress")) == [first]
    assert found(where("RunStart", "Equals", run.run_start.isoformat())) == [second]
    assert found(where("RunEnd", "Equals", run.run_end.isoformat())) == [second]
    assert found(where("LatestOnly", "Equals", "true")) == [first, second]
    assert found(where("PipelineName", "Equals", "other"), where("Status", "Equals", "Failed")) == []


def test_the_latest_only_of_a_group_of_reruns(cloud, factory, client):
    first = start(client)
    rerun = client.pipelines.create_run(GROUP, "adf", "score-diabetes", reference_pipeline_run_id=first).run_id
    assert [run.run_id for run in ask(cloud, client, filters=[where("LatestOnly", "Equals", "true")])] == [rerun]


@pytest.mark.parametrize(("order", "expected"), [("ASC", [0, 1, 2]), ("DESC", [2, 1, 0])])
def test_runs_come_in_the_order_that_was_asked(cloud, factory, client, order, expected):
    started = []
    for _ in range(3):
        started.append(start(client))
        cloud.clock.advance(1)
    found = ask(cloud, client, order_by=[RunQueryOrderBy(order_by="RunStart", order=order)])
    assert [started.index(run.run_id) for run in found] == expected


def test_pages_cover_everything_once_even_when_runs_start_in_between(cloud, factory, client):
    started = [start(client) for _ in range(2 * PAGE + 1)]
    pages, token, late = [], None, None
    query = window(cloud)
    while True:
        query.continuation_token = token
        answer = client.pipeline_runs.query_by_factory(GROUP, "adf", query)
        pages.append([run.run_id for run in answer.value])
        token = answer.continuation_token
        if token is None:
            break
        late = late or start(client)
    assert [len(page) for page in pages] == [PAGE, PAGE, 1]
    assert sorted(run_id for page in pages for run_id in page) == sorted(started)


def test_a_continuation_token_belongs_to_its_query(cloud, factory, client):
    for _ in range(PAGE + 1):
        start(client)
    token = client.pipeline_runs.query_by_factory(GROUP, "adf", window(cloud)).continuation_token
    with pytest.raises(HttpResponseError) as caught:
        ask(cloud, client, continuation_token=token, filters=[where("Status", "Equals", "Failed")])
    assert caught.value.status_code == 400


def test_a_hidden_run_is_found_only_after_the_polls_it_is_hidden_for(cloud, factory, client):
    factory.hide(next_runs=1, polls=2)
    hidden, visible = start(client), start(client)
    mine = [where("PipelineName", "Equals", "score-diabetes")]
    ask(cloud, client, filters=[where("PipelineName", "Equals", "other")])  # would not have found it anyway
    seen = [{run.run_id for run in ask(cloud, client, filters=mine)} for _ in range(3)]
    assert seen == [{visible}, {visible}, {hidden, visible}]


def test_a_run_hidden_from_queries_is_there_for_get_unless_that_is_asked_for_too(cloud, factory, client):
    factory.hide(polls=1)
    assert status(client, start(client)) == "InProgress"
    factory.hide(polls=1, from_get=True)
    run_id = start(client)
    with pytest.raises(ResourceNotFoundError):
        status(client, run_id)
    ask(cloud, client)
    ask(cloud, client)
    assert status(client, run_id) == "InProgress"


# Cancelling


def test_a_cancelled_run_is_cancelled(cloud, factory, client):
    run_id = start(client)
    client.pipeline_runs.cancel(GROUP, "adf", run_id, is_recursive=True)
    run = client.pipeline_runs.get(GROUP, "adf", run_id)
    assert (run.status, run.run_end) == ("Cancelled", cloud.clock.now())


def test_cancelling_can_take_its_time(factory, client):
    factory.slow_cancel(polls=1)
    run_id = start(client)
    client.pipeline_runs.cancel(GROUP, "adf", run_id)
    assert [status(client, run_id), status(client, run_id)] == ["Canceling", "Cancelled"]


def test_a_run_that_has_ended_cannot_be_cancelled(factory, client):
    run_id = start(client)
    factory.finish(run_id)
    with pytest.raises(HttpResponseError) as caught:
        client.pipeline_runs.cancel(GROUP, "adf", run_id)
    assert caught.value.status_code == 400
    assert status(client, run_id) == "Succeeded"


def test_an_interpreted_run_stops_when_it_is_cancelled(cloud, client):
    factory = cloud.data_factory.create("adf")
    factory.publish(LOOPING)
    factory.progress.set(Interpret())
    run_id = client.pipelines.create_run(GROUP, "adf", "looping").run_id
    (thread,) = [each for each in threading.enumerate() if each.name == f"run-{run_id}"]
    client.pipeline_runs.cancel(GROUP, "adf", run_id)
    thread.join(10)
    assert not thread.is_alive()
    assert status(client, run_id) == "Cancelled"


LOOPING = pipeline(
    "looping",
    activity(
        "Loop", "Until", expression="@equals(1, 2)", timeout="7.00:00:00",
        activities=[activity("Pause", "Wait", waitTimeInSeconds=1)],
    ),
)  # fmt: skip


# Really interpreting


COUNTDOWN = pipeline(
    "countdown",
    activity("Begin", "SetVariable", variableName="dots", value="@pipeline().parameters.first"),
    activity(
        "Loop",
        "Until",
        "Begin",
        expression={"value": "@equals(length(variables('dots')), 3)", "type": "Expression"},
        timeout="0.01:00:00",
        activities=[
            activity("Pause", "Wait", waitTimeInSeconds=10),
            activity("More", "SetVariable", "Pause", variableName="more", value="@{variables('dots')}."),
            activity("Keep", "SetVariable", "More", variableName="dots", value="@variables('more')"),
        ],
    ),
    activity(
        "Decide",
        "IfCondition",
        "Loop",
        expression={"value": "@equals(pipeline().parameters.wanted, variables('dots'))", "type": "Expression"},
        ifFalseActivities=[
            activity(
                "Stop",
                "Fail",
                message="@concat('got ', variables('dots'), ' in ', pipeline().DataFactory)",
                errorCode="7",
            )
        ],
    ),
    parameters={"first": {"type": "String"}, "wanted": {"type": "String", "defaultValue": "..."}},
    variables={"dots": {"type": "String"}, "more": {"type": "String"}},
)


@pytest.fixture
def interpreting(cloud):
    factory = cloud.data_factory.create("adf")
    factory.publish(COUNTDOWN)
    cloud.data_factory.progress.clear()
    return factory


def test_a_third_pipeline_is_really_run(cloud, interpreting, client):
    run_id = client.pipelines.create_run(GROUP, "adf", "countdown", parameters={"first": "."}).run_id
    interpreting.wait_until_final(run_id)
    run = client.pipeline_runs.get(GROUP, "adf", run_id)
    assert (run.status, run.message) == ("Succeeded", "")
    assert run.run_end - run.run_start == timedelta(seconds=20)
    rows, token = [], None
    while True:
        page = client.activity_runs.query_by_pipeline_run(GROUP, "adf", run_id, window(cloud, continuation_token=token))
        rows += page.value
        token = page.continuation_token
        if token is None:
            break
    names = [row.activity_name for row in rows]
    assert sorted(names) == ["Begin", "Decide", "Keep", "Keep", "Loop", "More", "More", "Pause", "Pause"]
    assert {row.status for row in rows} == {"Succeeded"}
    begin = rows[names.index("Begin")]
    assert begin.input == {"variableName": "dots", "value": "."}


def test_a_third_pipeline_fails_where_it_says(cloud, interpreting, client):
    parameters = {"first": ".", "wanted": "...."}
    run_id = client.pipelines.create_run(GROUP, "adf", "countdown", parameters=parameters).run_id
    run = interpreting.wait_until_final(run_id)
    assert run.status == "Failed"
    assert run.message.endswith("Inner activity name: Stop, Error: got ... in adf")
    failed = window(cloud, filters=[where("Status", "Equals", "Failed"), where("ActivityType", "Equals", "Fail")])
    (stop,) = client.activity_runs.query_by_pipeline_run(GROUP, "adf", run_id, failed).value
    assert (stop.activity_name, stop.error["errorCode"]) == ("Stop", "7")


def test_a_step_told_to_fail_fails_the_run(interpreting, client):
    interpreting.progress.once(fail_at("Begin", "told so"))
    run_id = client.pipelines.create_run(GROUP, "adf", "countdown", parameters={"first": "."}).run_id
    run = interpreting.wait_until_final(run_id)
    assert (run.status, run.message) == ("Failed", "Operation on target Begin failed: told so")


# The record


def test_every_request_is_recorded_with_what_it_started(cloud, factory, client):
    run_id = start(client)
    with pytest.raises(ResourceNotFoundError):
        client.pipelines.create_run(GROUP, "adf", "other", parameters=SCORE)
    with pytest.raises(HttpResponseError):
        client.pipelines.create_run(GROUP, "adf", "score-diabetes", parameters=STAMP)
    status(client, run_id)
    started, missing, refused, got = requests_in(cloud.requests)
    base = factory_id("adf")
    assert started == {
        "at": cloud.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%f0Z"),
        "method": "POST",
        "path": f"{base}/pipelines/score-diabetes/createRun",
        "status": 200,
        "fault": None,
        "pipeline": "score-diabetes",
        "parameters": SCORE,
        "runId": run_id,
    }
    assert missing["status"] == 404
    assert (refused["status"], refused["parameters"], refused["runId"]) == (400, STAMP, None)
    assert (got["method"], got["path"], got["status"]) == ("GET", f"{base}/pipelineruns/{run_id}", 200)
    assert cloud.data_factory.requests.entries == requests_in(cloud.requests)


def test_a_second_createrun_with_the_same_stamp_is_one_duplicate_start(cloud, factory, client):
    start(client)
    start(client, attempt="2")
    start(client, reaction_id="lane-8")
    assert duplicate_starts(cloud.requests) == 0
    start(client)
    assert duplicate_starts(cloud.requests) == 1
    start(client)
    assert duplicate_starts(cloud.requests) == 2


def test_a_start_that_was_refused_is_no_duplicate(cloud, factory, client):
    start(client)
    factory.queue_full()
    with pytest.raises(HttpResponseError):
        start(client)
    assert len(requests_in(cloud.requests)) == 2
    assert duplicate_starts(cloud.requests) == 0


def test_no_record_means_no_duplicates(tmp_path):
    assert duplicate_starts(tmp_path / "none.jsonl") == 0


def test_everything_can_be_looked_at_and_forgotten(cloud, factory, client):
    start(client)
    shown = httpx.get(f"{cloud.url}/_local/state", verify=_trusting(cloud)).json()
    assert [run["pipelineName"] for run in shown["data-factory"]["adf"]] == ["score-diabetes"]
    httpx.post(f"{cloud.url}/_local/reset", verify=_trusting(cloud))
    assert factory.runs() == []
