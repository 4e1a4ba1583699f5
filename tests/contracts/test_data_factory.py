"""The factory as Relearn needs it: the same cases on the fake and on the real SDK client; then what only a wire has."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import pytest
from azure.core.exceptions import HttpResponseError

from local.data_factory.factory import Factory
from local.faults import AcceptThen, Drop, Hang, Status, Truncate
from local.progress import ByHand, Interpret, Outcome
from local.service import factory_id
from shared.cloud.data_factory import DataFactoryClient
from shared.errors import InDoubt, TargetBusy, TargetRefused, TargetUnavailable
from shared.ports import DataFactory, RunStatus
from shared.reactions import Job
from shared.settings import ArmResource
from tests.fakes import FakeClock, FakeFactory, accept_then_lose, lose
from tests.local.adf import ADF_FOLDER, GROUP, SCORE, STAMP, Credential, Served, activity, pipeline, served

PAGE = 3
HOUR = timedelta(hours=1)
NOWHERE = "6b9e4c10-8d2f-4a37-9e51-c0d1e2f3a4b5"
OUTCOMES = {
    RunStatus.SUCCEEDED: Outcome.SUCCEEDED,
    RunStatus.FAILED: Outcome.FAILED,
    RunStatus.CANCELLED: Outcome.CANCELLED,
}


class Bench(Protocol):
    """A factory under test, and what its owner can do to it behind the port."""

    factory: DataFactory

    def now(self) -> datetime: ...
    def advance(self, step: timedelta) -> None: ...
    def publish(self, name: str, *parameters: str) -> None: ...
    def end(self, run_id: str, status: RunStatus, message: str = "") -> None: ...
    def runs(self) -> int: ...
    def next_start_is_busy(self, advised: int | None) -> None: ...
    def next_start_is_lost(self, *, accepted: bool) -> None: ...


class FakeBench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.fake = FakeFactory(self.clock)
        self.factory: DataFactory = self.fake
        self.now, self.advance = self.clock.now, self.clock.advance
        self.end = self.fake.end

    def publish(self, name: str, *parameters: str) -> None:
        self.fake.pipelines[name] = frozenset(parameters)

    def runs(self) -> int:
        return len(self.fake.started)

    def next_start_is_busy(self, advised: int | None) -> None:
        def busy(_accept: Callable[[], str]) -> str:
            raise TargetBusy("429", retry_after=None if advised is None else timedelta(seconds=advised))

        self.fake.on_start = busy

    def next_start_is_lost(self, *, accepted: bool) -> None:
        self.fake.on_start = accept_then_lose if accepted else lose


class WireBench:
    """The product's client, the SDK below it, TLS, and the local factory at the other end."""

    def __init__(self, listener: Served, client: DataFactoryClient, factory: Factory) -> None:
        self.listener = listener
        self.client = client
        self.factory: DataFactory = client
        self.service = listener.data_factory
        self.local = factory
        self.now = listener.clock.now

    def advance(self, step: timedelta) -> None:
        self.listener.clock.advance(step.total_seconds())

    def publish(self, name: str, *parameters: str) -> None:
        declared = {each: {"type": "String"} for each in parameters}
        self.local.publish(pipeline(name, activity("A", "Wait", waitTimeInSeconds=1), parameters=declared))

    def end(self, run_id: str, status: RunStatus, message: str = "") -> None:
        self.local.finish(run_id, OUTCOMES[status], message)

    def runs(self) -> int:
        return len(self.local.runs())

    def next_start_is_busy(self, advised: int | None) -> None:
        headers = {} if advised is None else {"Retry-After": str(advised)}
        self.fault("*/createrun", Status(429, headers=headers))

    def next_start_is_lost(self, *, accepted: bool) -> None:
        self.fault("*/createrun", AcceptThen(Drop()) if accepted else Drop())

    def fault(self, path: str, action: Any, times: int | None = 1) -> None:
        self.service.faults.add(path=path, action=action, times=times)

    def sent(self, end: str = "") -> int:
        """How many requests reached the factory's side, whatever became of them."""
        return sum(entry["path"].lower().endswith(end.lower()) for entry in self.service.requests.entries)


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("adf"), page_size=PAGE) as cloud, pytest.MonkeyPatch.context() as environment:
        environment.setenv("REQUESTS_CA_BUNDLE", str(cloud.ca_file))  # as the app's host is told whom to trust
        yield cloud


@pytest.fixture
def wire(listener: Served) -> Iterator[WireBench]:
    listener.data_factory.reset()
    listener.data_factory.progress.set(ByHand())
    uris = {f"{job}EndpointUri": f"{listener.url}/diabetes-{job}/jobs" for job in ("prep", "score")}
    factory = listener.data_factory.create("adf", ADF_FOLDER, global_parameters=uris)
    settings = ArmResource(
        subscription_id=factory_id("adf").split("/")[2],
        resource_group=GROUP,
        name="adf",
        resource_id=factory_id("adf"),
    )
    client = DataFactoryClient(settings, listener.url, Credential())
    yield WireBench(listener, client, factory)
    client.close()


@pytest.fixture(params=["fake", "wire"])
def bench(request: pytest.FixtureRequest) -> Bench:
    found: Bench = FakeBench() if request.param == "fake" else request.getfixturevalue("wire")
    found.publish("score", "reaction_id", "attempt", "batch")
    return found


def start(bench: Bench, name: str = "score", **parameters: str) -> str:
    return bench.factory.create_run(name, {**STAMP, "batch": "b1", **parameters})


def found(bench: Bench, **more: Any) -> list[str]:
    return [run.id for run in bench.factory.runs_updated(bench.now() - HOUR, bench.now() + HOUR, **more)]


# --- the same on both -------------------------------------------------------------------------------------------------


def test_a_pipeline_tells_what_it_declares_and_a_changed_one_tells_it_anew(bench: Bench) -> None:
    for _ in range(2):
        assert bench.factory.declared_parameters("score") == {"reaction_id", "attempt", "batch"}
    bench.publish("score", "reaction_id")
    assert bench.factory.declared_parameters("score") == {"reaction_id"}
    bench.publish("score")
    assert bench.factory.declared_parameters("score") == frozenset()


def test_a_missing_pipeline_is_a_refusal_by_name(bench: Bench) -> None:
    for call in (bench.factory.declared_parameters, lambda name: bench.factory.create_run(name, {})):
        with pytest.raises(TargetRefused, match="no-such") as caught:
            call("no-such")
        assert caught.value.status == 404
    assert bench.runs() == 0


def test_a_started_run_is_told_as_it_was_started_and_as_it_ended(bench: Bench) -> None:
    run_id = start(bench)
    run = bench.factory.run(run_id)
    assert run is not None
    assert (run.id, run.pipeline, run.status) == (run_id, "score", RunStatus.IN_PROGRESS)
    assert run.parameters == {**STAMP, "batch": "b1"}
    assert run.stamp == tuple(STAMP.values())
    assert run.started == bench.now()
    bench.end(run_id, RunStatus.FAILED, "the prep job failed")
    run = bench.factory.run(run_id)
    assert run is not None
    assert (run.status, run.message) == (RunStatus.FAILED, "the prep job failed")


@pytest.mark.parametrize("advised", [None, 7])
def test_a_busy_factory_starts_nothing_and_says_how_long_to_wait(bench: Bench, advised: int | None) -> None:
    bench.next_start_is_busy(advised)
    with pytest.raises(TargetBusy) as caught:
        start(bench)
    assert caught.value.retry_after == (None if advised is None else timedelta(seconds=advised))
    assert bench.runs() == 0


@pytest.mark.parametrize("accepted", [False, True])
def test_a_start_whose_answer_is_lost_is_in_doubt_and_its_run_can_be_found(bench: Bench, accepted: bool) -> None:
    bench.next_start_is_lost(accepted=accepted)
    with pytest.raises(InDoubt):
        start(bench)
    runs = bench.factory.runs_updated(bench.now() - HOUR, bench.now() + HOUR, pipeline="score")
    assert [run.stamp for run in runs] == [tuple(STAMP.values())] * accepted
    assert bench.runs() == accepted


def test_a_run_that_is_not_there_is_none(bench: Bench) -> None:
    assert bench.factory.run(NOWHERE) is None


def test_all_runs_of_the_time_asked_for_are_found_each_once(bench: Bench) -> None:
    started = {start(bench, batch=str(n)) for n in range(2 * PAGE + 1)}
    seen = found(bench)
    assert (set(seen), len(seen)) == (started, 2 * PAGE + 1)
    assert bench.factory.runs_updated(bench.now() + HOUR, bench.now() + 2 * HOUR) == []
    assert bench.factory.runs_updated(bench.now() - 2 * HOUR, bench.now() - HOUR) == []


def test_runs_are_found_by_pipeline(bench: Bench) -> None:
    bench.publish("train", *STAMP)
    score, train = start(bench), bench.factory.create_run("train", STAMP)
    assert found(bench, pipeline="score") == [score]
    assert found(bench, pipeline="train") == [train]
    assert found(bench, pipeline="no-such") == []


def test_a_cancelled_run_is_cancelled_and_stays_so_when_it_is_cancelled_again(bench: Bench) -> None:
    run_id, other = start(bench), start(bench)
    bench.factory.cancel(run_id)
    with contextlib.suppress(TargetRefused):  # whether Azure refuses it is not documented: callers are ready for both
        bench.factory.cancel(run_id)
    run, untouched = bench.factory.run(run_id), bench.factory.run(other)
    assert run is not None
    assert untouched is not None
    assert (run.status, untouched.status) == (RunStatus.CANCELLED, RunStatus.IN_PROGRESS)


def test_what_is_not_there_cannot_be_cancelled_and_has_no_jobs(bench: Bench) -> None:
    for call in (
        lambda: bench.factory.cancel(NOWHERE),
        lambda: bench.factory.jobs_of(NOWHERE, bench.now() - HOUR, bench.now() + HOUR),
    ):
        with pytest.raises(TargetRefused) as caught:
            call()
        assert caught.value.status == 404


def test_a_run_that_started_no_job_has_none(bench: Bench) -> None:
    run_id = start(bench)
    assert bench.factory.jobs_of(run_id, bench.now() - HOUR, bench.now() + HOUR) == ()


# --- the wire: the start is sent once, and no answer is taken for another ---------------------------------------------

ODD = b'{"name": "score", "properties": {"parameters": 1}, "value": [1]}'
UNREADABLE = [b"", b"<html>", b"null", b"[]", b'"x"', b"{}", ODD]


@pytest.mark.parametrize(
    ("action", "error"),
    [
        *((Status(code), TargetRefused) for code in (400, 401, 403, 404, 409, 412)),
        (Status(400, headers={"Retry-After": "0"}), TargetRefused),
        *((Status(code, body=b"<html>"), TargetRefused) for code in (400, 404)),
        (Status(400, body={"error": "text"}), TargetRefused),
        (Status(429), TargetBusy),
        (Status(429, headers={"Retry-After": "7"}), TargetBusy),
        (Status(429, headers={"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}), TargetBusy),
        *((Status(code), InDoubt) for code in (408, 500, 501, 502, 503, 504)),
        *((Status(code, headers={"Retry-After": "1"}), InDoubt) for code in (408, 500, 502, 503, 504)),
        (Status(500, body=b"<html>"), InDoubt),
        *((Status(code, body=b""), InDoubt) for code in (202, 204, 304)),
        *((AcceptThen(Status(200, body=body)), InDoubt) for body in UNREADABLE),
        (AcceptThen(Status(504)), InDoubt),
        (Drop(), InDoubt),
        (AcceptThen(Drop()), InDoubt),
        (Truncate(), InDoubt),
        (AcceptThen(Truncate()), InDoubt),
    ],
    ids=lambda value: f"{value} {getattr(value, 'headers', '')}" if not isinstance(value, type) else value.__name__,
)
def test_a_start_is_sent_exactly_once(wire: WireBench, action: Any, error: type[Exception]) -> None:
    wire.publish("score", *STAMP)
    wire.fault("*/createrun", action)
    with pytest.raises(error):
        wire.client.create_run("score", STAMP)
    assert wire.sent("/createRun") == 1
    assert wire.runs() == isinstance(action, AcceptThen)


def test_a_start_without_a_value_the_pipeline_needs_is_refused_by_its_name(wire: WireBench) -> None:
    wire.publish("score", *STAMP, "batch")
    with pytest.raises(TargetRefused, match="batch") as caught:
        wire.client.create_run("score", STAMP)
    assert (caught.value.status, caught.value.target_code, wire.runs()) == (400, "BadRequest", 0)


def test_a_start_that_is_not_answered_in_time_is_in_doubt(wire: WireBench) -> None:
    wire.publish("score", *STAMP)
    wire.fault("*/createrun", AcceptThen(Hang(60)))
    with pytest.raises(InDoubt):
        wire.client.create_run("score", STAMP)
    assert (wire.sent("/createRun"), wire.runs()) == (1, 1)


@pytest.mark.parametrize(("code", "headers"), [(500, {}), (503, {}), (504, {}), (429, {"Retry-After": "0"})])
def test_the_sdk_by_itself_would_send_a_start_four_times(wire: WireBench, code: int, headers: dict[str, str]) -> None:
    """Why the client is told not to; and that the count above can count."""
    wire.fault("*/createrun", Status(code, headers=headers), times=None)
    with wire.listener.client(retry_backoff_factor=0) as sdk, pytest.raises(HttpResponseError):
        sdk.pipelines.create_run(GROUP, "adf", "score-diabetes", parameters=SCORE)
    assert wire.sent("/createRun") == 4


QUESTIONS: dict[str, Callable[[WireBench], object]] = {
    "/pipelines/score": lambda wire: wire.client.declared_parameters("score"),
    f"/pipelineruns/{NOWHERE}": lambda wire: wire.client.run(NOWHERE),
    "/queryPipelineRuns": lambda wire: wire.client.runs_updated(wire.now() - HOUR, wire.now()),
    "/queryActivityruns": lambda wire: wire.client.jobs_of(NOWHERE, wire.now() - HOUR, wire.now()),
    f"/pipelineruns/{NOWHERE}/cancel": lambda wire: wire.client.cancel(NOWHERE),
}


NO_ANSWERS = [
    (Status(403), TargetRefused),
    (Status(429, headers={"Retry-After": "7"}), TargetBusy),
    (Status(408), TargetBusy),
    *((Status(code), TargetUnavailable) for code in (500, 502, 503, 504)),
    (Status(503, body=b"<html>", headers={"Retry-After": "1"}), TargetUnavailable),
    (Status(200, body=b"<html>"), TargetUnavailable),
    (Drop(), TargetUnavailable),
    (Truncate(), TargetUnavailable),
]


@pytest.mark.parametrize(
    ("path", "action", "error"),
    # Of the answer to a cancellation nothing is read that could be cut short.
    [
        (p, *answer)
        for p in QUESTIONS
        for answer in NO_ANSWERS
        if not (p.endswith("cancel") and answer[0] == Truncate())
    ],
    ids=str,
)
def test_a_question_ends_in_one_of_three_errors_and_is_asked_once(
    wire: WireBench, path: str, action: Any, error: type[Exception]
) -> None:
    wire.fault(f"*{path}", action)
    with pytest.raises(error) as caught:
        QUESTIONS[path](wire)
    assert wire.sent(path) == 1
    if isinstance(caught.value, TargetBusy) and action.code == 429:
        assert caught.value.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize("path", [path for path in QUESTIONS if not path.endswith("cancel")])
@pytest.mark.parametrize("body", UNREADABLE)
def test_an_answer_that_cannot_be_read_is_none(wire: WireBench, path: str, body: bytes) -> None:
    wire.fault(f"*{path}", Status(200, body=body))
    with pytest.raises(TargetUnavailable):
        QUESTIONS[path](wire)


def test_an_unreadable_pipeline_does_not_replace_what_is_known(wire: WireBench) -> None:
    wire.publish("score", *STAMP)
    assert wire.client.declared_parameters("score") == set(STAMP)
    wire.fault("*/pipelines/score", Status(200, body=b"{}"))
    with pytest.raises(TargetUnavailable):
        wire.client.declared_parameters("score")
    assert wire.client.declared_parameters("score") == set(STAMP)


def test_an_unchanged_pipeline_costs_a_304(wire: WireBench) -> None:
    wire.publish("score", *STAMP)
    for _ in range(3):
        assert wire.client.declared_parameters("score") == set(STAMP)
    wire.publish("score", *STAMP, "batch")
    assert "batch" in wire.client.declared_parameters("score")
    assert [entry["status"] for entry in wire.service.requests.entries] == [200, 304, 304, 200]


def test_runs_come_in_pages(wire: WireBench) -> None:
    wire.publish("score", *STAMP)
    for _ in range(2 * PAGE + 1):
        wire.client.create_run("score", STAMP)
    assert len(found(wire)) == 2 * PAGE + 1
    assert wire.sent("/queryPipelineRuns") == 3


def test_a_page_that_is_missing_is_not_taken_for_the_end(wire: WireBench) -> None:
    wire.publish("score", *STAMP)
    for _ in range(PAGE + 1):
        wire.client.create_run("score", STAMP)
    wire.fault("*/querypipelineruns", AcceptThen(Status(200, body={"value": [], "continuationToken": "unknown"})))
    with pytest.raises(TargetRefused):
        found(wire)


@pytest.mark.parametrize("status", ["Paused", "", None, "succeeded"])
def test_a_status_new_to_us_is_no_end_and_does_not_hide_the_other_runs(wire: WireBench, status: str | None) -> None:
    odd = {"runId": NOWHERE, "pipelineName": "score", "status": status, "runStart": "2026-11-22T12:00:00Z"}
    done = {**odd, "runId": "done", "status": "Succeeded", "parameters": None, "message": None}
    wire.fault("*/querypipelineruns", Status(200, body={"value": [odd, done]}))
    runs = wire.client.runs_updated(wire.now() - HOUR, wire.now())
    assert [(run.id, run.status) for run in runs] == [
        (NOWHERE, RunStatus.IN_PROGRESS),
        ("done", RunStatus.SUCCEEDED),
    ]
    assert runs[1].stamp == ("", "")
    wire.fault(f"*/pipelineruns/{NOWHERE}", Status(200, body=odd))
    run = wire.client.run(NOWHERE)
    assert run is not None
    assert not run.status.final


# --- the jobs of a run ------------------------------------------------------------------------------------------------


@dataclass
class Ended:
    id: str
    jobs: tuple[Job, ...]


def ended(wire: WireBench, name: str, parameters: dict[str, str]) -> Ended:
    wire.local.progress.set(Interpret())
    run_id = wire.client.create_run(name, parameters)
    wire.local.wait_until_final(run_id)
    return Ended(id=run_id, jobs=wire.client.jobs_of(run_id, wire.now() - HOUR, wire.now() + HOUR))


def test_the_jobs_of_score_diabetes_are_told_with_their_last_status(wire: WireBench) -> None:
    wire.listener.endpoints.scripts = {
        "diabetes-prep": ["Running", "Running", "Running", "Completed"],
        "diabetes-score": ["Queued", "Failed"],
    }
    run = ended(wire, "score-diabetes", SCORE)
    assert run.jobs == tuple(
        Job(
            run_id=run.id,
            name=f"diabetes-{job}-job-1",
            url=f"{wire.listener.url}/diabetes-{job}/jobs/diabetes-{job}-job-1",
            status=status,
        )
        for job, status in (("prep", "Completed"), ("score", "Failed"))
    )
    assert wire.sent("/queryActivityruns") == 3  # 2 starts and 6 polls, and no other activity, in pages of 3


def test_a_job_that_was_only_started_is_told_without_the_key_in_its_address(wire: WireBench) -> None:
    url = f"{wire.listener.url}/one/jobs"
    identity = {"type": "MSI", "resource": "https://ml.azure.com"}
    call = activity("Start", "WebActivity", method="POST", url=f"{url}?code=secret", body={}, authentication=identity)
    wire.local.publish(pipeline("one", call, activity("After", "Wait", "Start", waitTimeInSeconds=1)))
    run = ended(wire, "one", {})
    assert run.jobs == (Job(run_id=run.id, name="one-job-1", url=url, status="NotStarted"),)


def test_a_call_that_fails_or_describes_no_job_is_none(wire: WireBench) -> None:
    other = activity("Other", "WebActivity", method="GET", url=f"{wire.listener.url}/odd/other")
    failing = activity("Failing", "WebActivity", "Other", method="GET", url=f"{wire.listener.url}/odd/text")
    wire.local.publish(pipeline("none", other, failing))
    assert ended(wire, "none", {}).jobs == ()


@pytest.mark.parametrize(
    ("output", "name"),
    [
        ({"id": "/a/jobs/j1", "name": "shown", "properties": {"status": "Running"}}, "j1"),
        ({"id": "j1/", "properties": {"status": "Running"}}, "j1"),
        ({"name": "j1", "properties": {"status": "Running"}}, "j1"),
        ({"id": "/a/jobs/j1", "properties": {}}, None),
        ({"id": "/a/jobs/j1", "properties": "Running"}, None),
        ({"properties": {"status": "Running"}}, None),
        ({"id": "j1", "properties": {"status": 7}}, None),
        (None, None),
        ("text", None),
        ([1], None),
    ],
)
def test_a_job_is_what_has_a_name_and_a_status(wire: WireBench, output: object, name: str | None) -> None:
    call = {"activityName": "A", "activityType": "WebActivity", "input": None, "output": output}
    wire.fault("*/queryactivityruns", Status(200, body={"value": [{**call, "activityRunStart": None}]}))
    jobs = wire.client.jobs_of(NOWHERE, wire.now() - HOUR, wire.now())
    assert jobs == (() if name is None else (Job(run_id=NOWHERE, name=name, url=None, status="Running"),))
