"""The interpreter: order, conditions, the leaf rule, containers, time, failures; Web activities and score-diabetes."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest

from local.data_factory.definitions import InvalidPipeline, parse
from local.data_factory.interpreter import Execution, Surroundings
from local.data_factory.web import WebClient
from local.progress import Interpret, Outcome, real_pause
from tests.local.adf import ADF_FOLDER, SCORE, ManualClock, activity, pipeline, served

YES, NO = "@equals(1, 1)", "@equals(1, 2)"


class Told:
    """One execution, and what it told about its activities."""

    def __init__(self, document, *, policy=None, pause=None, cancelled=None, parameters=None):
        self.clock, self.runs = ManualClock(), []
        self._lock = threading.Lock()
        web = WebClient()
        execution = Execution(
            parse(document),
            system={"RunId": "run-1", "parameters": parameters or {}, "globalParameters": {}},
            surroundings=Surroundings(now=self.clock.now, pause=pause or self.clock.pause, web=web),
            policy=policy,
            cancelled=cancelled,
            seen=self._saw,
        )
        self.ending = execution.run()
        web.close()

    def _saw(self, run):
        with self._lock:
            if not any(each is run for each in self.runs):
                self.runs.append(run)

    @property
    def statuses(self):
        return {run.name: run.status for run in self.runs}

    def of(self, name):
        return [run for run in self.runs if run.name == name]


def fail(name, *after, message="broken", code="500"):
    return activity(name, "Fail", *after, message=message, errorCode=code)


def wait(name, *after, seconds=1):
    return activity(name, "Wait", *after, waitTimeInSeconds=seconds)


def put(name, variable, value, *after):
    return activity(name, "SetVariable", *after, variableName=variable, value=value)


def strings(*names):
    return {name: {"type": "String", "defaultValue": ""} for name in names}


# Microsoft's "Pipeline failure and error message" page: how the ways to handle an error end.
OUTCOMES = {
    "try catch, and it fails": ([fail("Do"), wait("Catch", "Do:Failed")], "succeeded", {}),
    "try catch, and all is well": ([wait("Do"), wait("Catch", "Do:Failed")], "succeeded", {"Catch": "Skipped"}),
    "do if else, and it fails": (
        [fail("Do"), wait("Then", "Do"), wait("Else", "Do:Failed")],
        "failed",
        {"Then": "Skipped", "Else": "Succeeded"},
    ),
    "do if else, and all is well": (
        [wait("Do"), wait("Then", "Do"), wait("Else", "Do:Failed")],
        "succeeded",
        {"Else": "Skipped"},
    ),
    "do if skip else, and it fails": (
        [fail("Do"), wait("Then", "Do"), wait("Skip", "Then:Skipped"), wait("Else", "Do:Failed")],
        "succeeded",
        {"Then": "Skipped", "Skip": "Succeeded", "Else": "Succeeded"},
    ),
    "a chain behind a failure": (
        [fail("Do"), wait("Second", "Do"), wait("Third", "Second")],
        "failed",
        {"Second": "Skipped", "Third": "Skipped"},
    ),
    "completion follows a failure": ([fail("Do"), wait("After", "Do:Completed")], "succeeded", {}),
    "completion does not follow a skipped activity": (
        [fail("Do"), wait("Second", "Do"), wait("After", "Second:Completed")],
        "failed",
        {"Second": "Skipped", "After": "Skipped"},
    ),
    "all dependencies must hold": (
        [wait("A"), fail("B"), wait("Both", "A", "B"), wait("Forgive", "B:Failed")],
        "failed",
        {"Both": "Skipped"},
    ),
}


@pytest.mark.parametrize("case", OUTCOMES)
def test_the_outcome_is_that_of_the_leaves(case):
    activities, outcome, statuses = OUTCOMES[case]
    told = Told(pipeline("p", *activities))
    assert told.ending.outcome == outcome
    assert statuses.items() <= told.statuses.items()


def test_conditions_of_one_dependency_are_alternatives():
    either = wait("Either", "Do")
    either["dependsOn"][0]["dependencyConditions"] = ["Failed", "Skipped"]
    assert Told(pipeline("p", fail("Do"), either)).statuses["Either"] == "Succeeded"


def test_the_message_names_the_activity_and_the_inner_one():
    branch = activity(
        "Check", "IfCondition", expression=YES, ifTrueActivities=[fail("Stop", message="no rows", code="7")]
    )
    told = Told(pipeline("p", branch))
    assert told.ending.message == (
        "Operation on target Check failed: Activity failed because an inner activity failed; "
        "Inner activity name: Stop, Error: no rows"
    )
    assert told.of("Stop")[0].error["errorCode"] == "7"


def test_branches_without_a_dependency_run_at_the_same_time():
    meeting = threading.Barrier(2, timeout=10)  # broken, and the run with it, unless both are there at once
    told = Told(pipeline("p", wait("A"), wait("B")), pause=lambda *_: meeting.wait())
    assert told.ending.outcome == "succeeded"


@pytest.mark.parametrize(("condition", "taken", "left"), [(YES, "Yes", "No"), (NO, "No", "Yes")])
def test_if_takes_one_branch(condition, taken, left):
    branch = activity(
        "If", "IfCondition", expression=condition, ifTrueActivities=[wait("Yes")], ifFalseActivities=[wait("No")]
    )
    told = Told(pipeline("p", branch))
    assert taken in told.statuses
    assert left not in told.statuses


@pytest.mark.parametrize(("on", "taken"), [("a", "A"), ("b", "B"), ("A", "Other")])
def test_switch_takes_the_case_or_the_default(on, taken):
    cases = [{"value": "a", "activities": [wait("A")]}, {"value": "b", "activities": [wait("B")]}]
    switch = activity(
        "Switch", "Switch", on=f"@toLower('{on}')" if on != "A" else "A", cases=cases, defaultActivities=[wait("Other")]
    )
    assert {"A", "B", "Other"} & Told(pipeline("p", switch)).statuses.keys() == {taken}


def test_for_each_in_sequence_has_every_item_even_after_a_failure():
    inner = activity("Fail1", "Fail", message="@{item()}", errorCode="1")
    told = Told(
        pipeline(
            "p", activity("Each", "ForEach", items="@createArray('x', 'y')", isSequential=True, activities=[inner])
        )
    )
    assert [run.error["message"] for run in told.of("Fail1")] == ["x", "y"]
    assert told.ending.outcome == "failed"


def test_for_each_in_a_batch_runs_as_many_at_once_as_it_says():
    meeting, most, inside, lock = threading.Barrier(2, timeout=10), [0], [0], threading.Lock()

    def pause(*_):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        meeting.wait()
        with lock:
            inside[0] -= 1

    each = activity("Each", "ForEach", items="@range(0, 4)", batchCount=2, activities=[wait("W")])
    assert Told(pipeline("p", each), pause=pause).ending.outcome == "succeeded"
    assert most[0] == 2


def test_appended_items_are_collected():
    each = activity(
        "Each", "ForEach", items="@range(1, 3)", isSequential=True,
        activities=[activity("Add", "AppendVariable", variableName="seen", value="@item()")],
    )  # fmt: skip
    show = fail("Show", "Each", message="@{join(variables('seen'), '-')}")
    told = Told(pipeline("p", each, show, variables={"seen": {"type": "Array", "defaultValue": []}}))
    assert told.of("Show")[0].error["message"] == "1-2-3"


def until(*inner, expression, timeout="0.01:00:00"):
    return activity(
        "Loop", "Until", expression={"value": expression, "type": "Expression"}, timeout=timeout, activities=list(inner)
    )


def test_until_goes_on_until_its_condition_holds():
    count = put("Count", "next", "@concat(variables('n'), 'x')", "Pause")
    keep = put("Keep", "n", "@variables('next')", "Count")
    told = Told(
        pipeline(
            "p",
            until(wait("Pause", seconds=30), count, keep, expression="@equals(variables('n'), 'xxx')"),
            variables=strings("n", "next"),
        )
    )
    assert told.ending.outcome == "succeeded"
    assert len(told.of("Pause")) == 3
    assert told.clock.waits == [30, 30, 30]


def test_a_failing_inner_activity_does_not_end_the_loop():
    """And once it runs out of time, the loop has failed."""
    told = Told(
        pipeline("p", until(wait("Pause", seconds=600), fail("Poll", "Pause"), expression=NO, timeout="0.01:00:00"))
    )
    assert told.ending.outcome == "failed"
    assert "Operation on target Loop failed: 'Loop' was not done within 1:00:00" in told.ending.message
    assert len(told.of("Poll")) == 6


def test_a_loop_whose_last_round_failed_has_failed():
    """Unlike an earlier one that was made good."""
    inner = [
        wait("Pause", seconds=1),
        put("More", "more", "@concat(variables('n'), 'x')", "Pause"),
        put("Keep", "n", "@variables('more')", "More"),
        activity(
            "Odd",
            "IfCondition",
            "Keep",
            expression="@equals(length(variables('n')), 1)",
            ifTrueActivities=[fail("Stop")],
        ),
    ]
    outcomes = {}
    for rounds in (1, 2):
        document = pipeline(
            "p", until(*inner, expression=f"@equals(length(variables('n')), {rounds})"), variables=strings("n", "more")
        )
        outcomes[rounds] = Told(document).ending.outcome
    assert outcomes == {1: "failed", 2: "succeeded"}


def test_a_wait_inside_a_loop_ends_with_the_loop():
    told = Told(pipeline("p", until(wait("Pause", seconds=7 * 24 * 3600), expression=NO, timeout="0.00:10:00")))
    assert told.clock.waits == [600]
    assert told.ending.outcome == "failed"


def test_the_condition_sees_the_last_round():
    told = Told(pipeline("p", until(wait("Pause"), expression="@equals(activity('Pause').Status, 'Succeeded')")))
    assert told.ending.outcome == "succeeded"


def test_what_is_inside_a_loop_is_not_seen_outside():
    told = Told(
        pipeline("p", until(wait("Pause"), expression=YES), fail("Show", "Loop", message="@activity('Pause').Status"))
    )
    assert "the activity 'Pause' has not run" in told.ending.message


def test_a_condition_that_is_no_boolean_fails_the_loop():
    told = Told(pipeline("p", until(wait("Pause"), expression="@concat('true')")))
    assert "'Until' expects a boolean, not String 'true'" in told.ending.message


@pytest.mark.parametrize(
    ("type_", "value", "said"),
    [
        ("String", 5, "of type 'String' cannot be initialized or updated with value of type 'Integer'"),
        ("Boolean", "true", "of type 'Boolean'"),
        ("Array", "@concat('a')", "of type 'Array'"),
        ("Integer", "@equals(1, 1)", "of type 'Integer'"),
    ],
)
def test_a_variable_keeps_its_type(type_, value, said):
    told = Told(pipeline("p", put("Set", "v", value), variables={"v": {"type": type_}}))
    assert said in told.ending.message


# Microsoft's "Fail activity" page, its table of edge cases.
@pytest.mark.parametrize(
    ("message", "code", "said", "as_code"),
    [
        ("no rows", "404", "no rows", "404"),
        ("@createArray(1)", "404", "Stop fail message parameter couldn't be interpreted as a string", "404"),
        ("  ", "404", "Failed to interpret Stop fail message or error code", "404"),
        ("no rows", "@createArray(1)", "no rows", "ErrorCodeNotString"),
        ("no rows", "", "no rows", "ErrorCodeNotString"),
    ],
)
def test_fail_says_what_it_was_told(message, code, said, as_code):
    error = Told(pipeline("p", fail("Stop", message=message, code=code))).of("Stop")[0].error
    assert (error["message"], error["errorCode"]) == (said, as_code)


def test_a_retried_activity_has_a_run_for_each_attempt():
    stop = {**fail("Stop"), "policy": {"retry": 2, "retryIntervalInSeconds": 40}}
    told = Told(pipeline("p", stop))
    assert [run.attempt for run in told.of("Stop")] == [0, 1, 2]
    assert told.clock.waits == [40, 40]


@pytest.mark.parametrize("step", [2, "Second"])
def test_a_step_can_be_told_to_fail(step):
    told = Told(
        pipeline("p", wait("First"), wait("Second", "First"), wait("Third", "Second")), policy=Interpret(fail_at=step)
    )
    assert told.statuses == {"First": "Succeeded", "Second": "Failed", "Third": "Skipped"}
    assert told.ending.outcome == "failed"


def test_an_unknown_activity_fails_the_run_with_its_name_before_anything_starts():
    """Even where the pipeline would forgive the failure, or never come there."""
    copy = activity("Copy1", "Copy")
    hidden = activity("If", "IfCondition", "First", expression=NO, ifTrueActivities=[copy])
    told = Told(pipeline("p", wait("First"), hidden))
    assert told.ending.outcome == "failed"
    assert "'Copy1'" in told.ending.message
    assert "'Copy'" in told.ending.message
    assert told.runs == []


def test_a_cancelled_run_stops_where_it_waits():
    cancelled, waiting = threading.Event(), threading.Event()

    def pause(seconds, event):
        waiting.set()
        real_pause(seconds, event)

    def cancel():
        waiting.wait(10)
        cancelled.set()

    threading.Thread(target=cancel).start()
    told = Told(pipeline("p", wait("Long", seconds=3600), wait("Next", "Long")), pause=pause, cancelled=cancelled)
    assert told.ending.outcome == Outcome.CANCELLED
    assert told.statuses == {"Long": "Cancelled"}


REFUSED = {
    "two activities are called 'A'": [wait("A"), wait("A")],
    "depends on 'B', which is not beside it": [wait("A", "B")],
    "has wrong conditions on 'A'": [wait("A"), wait("B", "A:Done")],
    "depend on each other: A → B → A": [wait("A", "B"), wait("B", "A")],
    "sets 'other', which is not declared": [put("A", "other", "x")],
    "sets 'v' from itself": [put("A", "v", "@concat(variables('v'), 'x')")],
    "no Until inside ForEach": [activity("A", "ForEach", items=[], activities=[until(expression=YES)])],
    "no IfCondition inside Switch": [
        activity("A", "Switch", on="x", defaultActivities=[activity("B", "IfCondition", expression=YES)])
    ],
}


@pytest.mark.parametrize("said", REFUSED)
def test_a_pipeline_that_could_not_be_published_is_refused(said):
    with pytest.raises(InvalidPipeline, match=said) as caught:
        parse(pipeline("p", *REFUSED[said], variables=strings("v")))
    assert "Pipeline 'p'" in str(caught.value)


# Web activities, then score-diabetes, against endpoints that answer real HTTP over TLS


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with served(tmp_path_factory.mktemp("adf")) as cloud:
        yield cloud


@pytest.fixture
def endpoints(cloud):
    for left in (cloud.endpoints.posts, cloud.endpoints.polls, cloud.identity._requested):
        left.clear()
    cloud.endpoints.post_status.clear()
    cloud.endpoints.failing_polls = 0
    cloud.endpoints.scripts = {
        "diabetes-prep": ["NotStarted", "Running", "Completed"],
        "diabetes-score": ["Queued", "Completed"],
    }
    return cloud.endpoints


def call(cloud, path, **properties):
    """Runs one Web activity and gives it and the run."""
    factory = cloud.data_factory.create("web")
    url = path if path.startswith("http") else cloud.url + path
    authentication = {"type": "MSI", "resource": "https://ml.azure.com"}
    web = {"method": "GET", "url": url, "authentication": authentication, **properties}
    factory.publish(pipeline("web", activity("Call", "WebActivity", **web)))
    run = factory.wait_until_final(factory.start("web", {}).id)
    return run, run.activities[-1]


def test_a_web_activity_gives_the_body_and_the_headers(cloud):
    run, web = call(cloud, "/odd/fine", method="POST", headers={"X-One": "@{add(0, 1)}"}, body={"a": "@add(1, 1)"})
    assert run.status == "Succeeded"
    assert {"status": "done", "method": "POST", "got": "1"}.items() <= web.output.items()
    assert web.output["ADFWebActivityResponseHeaders"]["content-type"] == "application/json"
    assert web.input["body"] == {"a": 2}
    assert "Authorization" not in str(web.input)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/odd/array", "Response Content is not a valid JObject"),
        ("/odd/text", "Response Content is not a valid JObject"),
        ("/odd/large", "longer than 4 MB"),
        ("https://diabetes-prep.westeurope.inference.ml.azure.com/jobs", "is not on this machine"),
        ("https://127.0.0.1:9/jobs", "Response status code: 'NA - Unknown'"),
    ],
)
def test_an_answer_a_web_activity_cannot_use_fails_it(cloud, path, said):
    run, web = call(cloud, path)
    assert run.status == "Failed"
    assert said in run.message
    assert (web.error["errorCode"], web.error["target"]) == ("2108", "Call")
    assert "properties" not in web.output


@pytest.mark.parametrize(("off", "status", "waits"), [(False, "done", [7.0]), (True, "accepted", [])])
def test_a_web_activity_follows_a_location_unless_that_is_off(cloud, off, status, waits):
    cloud.clock.waits.clear()
    _, web = call(cloud, "/odd/later", turnOffAsync=off)
    assert web.output["status"] == status
    assert cloud.clock.waits == waits


def test_an_authentication_that_is_not_imitated_says_so(cloud):
    run, _ = call(cloud, "/odd/fine", authentication={"type": "Basic", "username": "u", "password": "p"})
    assert "Web authentication of type 'Basic' is not imitated" in run.message


def score(cloud, change=None, poll_seconds=60):
    """Runs score-diabetes (changed) to its end; the run and the statuses of its activities' last rounds."""
    uris = cloud.data_factory.factory("adf").global_parameters
    factory = cloud.data_factory.create("score", ADF_FOLDER, global_parameters={**uris, "pollSeconds": poll_seconds})
    if change is not None:
        text = json.dumps(json.loads((ADF_FOLDER / "pipeline" / "score-diabetes.json").read_text()))
        assert change[0] in text
        factory.publish(json.loads(text.replace(*change)))
    run = factory.wait_until_final(factory.start("score-diabetes", SCORE).id)
    return run, {each.name: each.status for each in run.activities}


def test_score_diabetes_starts_both_jobs_once_and_passes_the_stamp_on(cloud, endpoints):
    run, statuses = score(cloud)
    assert (run.status, run.message) == ("Succeeded", "")
    assert set(statuses.values()) == {"Succeeded"}
    (prep, prep_body, prep_token), (scoring, score_body, _) = endpoints.posts
    assert (prep, scoring) == ("diabetes-prep", "diabetes-score")
    lake = "azureml://datastores/lake/paths"
    stamp = {
        "reaction_id": {"JobInputType": "Literal", "Value": "lane-7"},
        "attempt": {"JobInputType": "Literal", "Value": "1"},
    }
    assert prep_body["properties"] == {
        "InputData": {
            "raw": {"JobInputType": "UriFolder", "Uri": f"{lake}/0-raw/diabetes/b1/stage"},
            "manifest": {"JobInputType": "UriFile", "Uri": "https://a/manifest.json"},
            **stamp,
        },
        "OutputData": {"bronze": {"JobOutputType": "UriFolder", "Uri": f"{lake}/1-bronze/diabetes/b1/lane-7-1/"}},
        "properties": {"experimentName": "score-diabetes"},
    }
    assert score_body["properties"]["InputData"] == {
        "bronze": {"JobInputType": "UriFolder", "Uri": f"{lake}/1-bronze/diabetes/b1/lane-7-1/"},
        "model": {"JobInputType": "MLFlowModel", "Uri": "azureml://m"},
        **stamp,
    }
    assert score_body["properties"]["OutputData"]["silver"]["Uri"] == f"{lake}/2-silver/diabetes/b1/lane-7-1/"
    assert endpoints.polls == ["diabetes-prep/diabetes-prep-job-1"] * 3 + ["diabetes-score/diabetes-score-job-1"] * 2
    assert prep_token.startswith("Bearer ")
    assert set(cloud.identity.requested) == {"https://ml.azure.com"}


@pytest.mark.parametrize("status", ["Failed", "Canceled"])
@pytest.mark.parametrize("job", ["prep", "score"])
def test_score_diabetes_fails_when_a_job_ends_otherwise(cloud, endpoints, job, status):
    endpoints.scripts[f"diabetes-{job}"] = ["Running", status]
    run, statuses = score(cloud)
    assert run.status == "Failed"
    assert f"The {job} job diabetes-{job}-job-1 is {status}, not Completed." in run.message
    assert len(endpoints.posts) == (1 if job == "prep" else 2)
    assert statuses["StartScore"] == ("Skipped" if job == "prep" else "Succeeded")


@pytest.mark.parametrize("job", ["prep", "score"])
def test_score_diabetes_fails_when_a_job_cannot_be_started_and_asks_only_once(cloud, endpoints, job):
    endpoints.post_status[f"diabetes-{job}"] = 500
    run, _ = score(cloud)
    name = job.capitalize()
    assert run.status == "Failed"
    assert run.message.startswith(f"Operation on target Start{name} failed: Error calling the endpoint")
    assert "'InternalServerError - 500'" in run.message
    assert [endpoint for endpoint, _, _ in endpoints.posts].count(f"diabetes-{job}") == 1


def test_score_diabetes_forgives_polls_that_fail(cloud, endpoints):
    endpoints.failing_polls = 6  # more than the retries of one round
    run, _ = score(cloud)
    assert run.status == "Succeeded"
    assert len(endpoints.polls) == 6 + 3 + 2


def test_score_diabetes_fails_when_a_job_never_ends(cloud, endpoints):
    endpoints.scripts["diabetes-prep"] = ["Running"]
    run, statuses = score(cloud, change=('"0.06:00:00"', '"0.00:10:00"'))
    assert run.status == "Failed"
    assert "The prep job diabetes-prep-job-1 is Running, not Completed." in run.message
    assert statuses["WaitForPrep"] == "Failed"
    assert len(endpoints.posts) == 1


BREAKS = {
    "the poll reads a property that is not there": ("output.properties.status", "output.properties.state"),
    "the poll asks at the wrong place": ("EndpointUri, '/', variables", "EndpointUri, variables"),
    "the job's id is not the last segment": ("@last(split(activity('StartPrep')", "@first(split(activity('StartPrep')"),
    "a misspelt function": ("@contains(createArray('Completed'", "@contain(createArray('Completed'"),
    "a misspelt variable": ("variables('prepStatus'))", "variables('prepState'))"),
    "a parameter nobody declared": ("pipeline().parameters.files", "pipeline().parameters.manifest"),
}


@pytest.mark.parametrize("broken", BREAKS)
def test_breaking_an_expression_breaks_the_run(cloud, endpoints, broken):
    """The pipeline file is really what runs: nothing of it can be wrong without being noticed."""
    run, statuses = score(cloud, change=BREAKS[broken], poll_seconds=3600)
    assert run.status == "Failed"
    assert statuses["StartScore"] == "Skipped"


def test_a_loop_that_looks_for_the_wrong_word_does_not_end_by_itself(cloud, endpoints):
    started = cloud.clock.now()
    score(cloud, change=("'Completed', 'Failed', 'Canceled'", "'Done', 'Failed', 'Canceled'"), poll_seconds=3600)
    assert cloud.clock.now() - started >= timedelta(hours=6)
