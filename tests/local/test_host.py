"""The function host as a process of its own: every trigger really invoked, and how it starts, fails and ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.host import schedules
from local.host.client import CoreToolsMissing, FunctionHost, HostFailed
from local.processes import scrubbed
from tests.local.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
APPS = Path(__file__).parent / "apps"
NO_QUEUES = {"AzureWebJobs.work.Disabled": "true", "AzureWebJobs.fail.Disabled": "1"}
DAILY = "0 0 3 * * *"


@dataclass(frozen=True, kw_only=True)
class Run:
    """A host that serves one of the sample apps, and what its functions wrote down."""

    host: FunctionHost
    client: httpx.Client
    records_file: Path

    def records(self, function: str) -> list[dict[str, Any]]:
        if not self.records_file.exists():
            return []
        lines = [json.loads(line) for line in self.records_file.read_text().splitlines()]
        return [line for line in lines if line["function"] == function]

    def deliver(self, content: object, *, function: str = "receive_raw", kind: str = "Notification") -> httpx.Response:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.client.post(self.host.webhook(function), content=body, headers={"aeg-event-type": kind})


@dataclass(frozen=True, kw_only=True)
class Starter:
    """Starts hosts, all below one folder, and stops them at the end."""

    folder: Path
    runs: list[Run]

    def __call__(self, app: str = "triggers", **settings: str) -> Run:
        folder = self.folder / f"{len(self.runs)}-{app}"
        records = folder / "records.jsonl"
        environment = {
            **scrubbed(os.environ),
            "RECORD_FILE": str(records),
            "WORK_QUEUE": "work",
            "TICK": DAILY,
            **settings,
        }
        run = Run(
            host=FunctionHost(APPS / app, environment, folder=folder),
            client=httpx.Client(trust_env=False, timeout=30.0),
            records_file=records,
        )
        self.runs.append(run)
        run.host.start()
        return run

    def stop(self) -> None:
        for run in self.runs:
            run.client.close()
            run.host.stop()


@pytest.fixture
def start(tmp_path) -> Iterator[Starter]:
    starter = Starter(folder=tmp_path, runs=[])
    yield starter
    starter.stop()


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Run]:
    """One host for everything that only asks and answers."""
    starter = Starter(folder=tmp_path_factory.mktemp("served"), runs=[])
    yield starter(**NO_QUEUES)
    starter.stop()


def event(**data: object) -> dict[str, Any]:
    return {
        "id": "1", "topic": "/t", "subject": "/s", "eventType": "Nothing.Known", "data": data,
        "eventTime": "2026-11-22T04:10:11.1234567Z", "dataVersion": "2", "metadataVersion": "1",
    }  # fmt: skip


class TestEventGrid:
    @pytest.mark.parametrize("wrap", [lambda one: one, lambda one: [one]], ids=["object", "array"])
    def test_a_str_parameter_gets_the_event_as_json_without_white_space(self, served, wrap):
        sent = event(text="é ñ", number=1.50, nested={"a": [1, None, True]})
        before = len(served.records("receive_raw"))
        answer = served.deliver(wrap(sent))
        assert (answer.status_code, answer.content) == (202, b"")
        (record,) = served.records("receive_raw")[before:]
        assert record["raw"] == json.dumps(sent, separators=(",", ":"), ensure_ascii=False)
        assert record["context"] == ["receive_raw", True]

    def test_the_events_of_one_delivery_run_at_the_same_time(self, served):
        assert served.deliver([event(meet=True) for _ in range(3)]).status_code == 202

    def test_one_failing_event_of_three_makes_it_500_and_the_others_run(self, served):
        before = len(served.records("receive_raw"))
        answer = served.deliver([event(n=1), event(n=2, fail=True), event(n=3)])
        assert answer.status_code == 500
        assert answer.text == "Exception while executing function: Functions.receive_raw"
        seen = [json.loads(record["raw"])["data"]["n"] for record in served.records("receive_raw")[before:]]
        assert sorted(seen) == [1, 2, 3]
        assert "RuntimeError: this event was told to fail" in served.host.log()

    def test_no_events_are_taken_too(self, served):
        assert served.deliver([]).status_code == 202

    def test_the_annotation_does_not_decide_between_the_envelopes(self, served):
        cloud_event = {"specversion": "1.0", "id": "2", "source": "/s", "type": "Some.Kind", "data": {"n": 2}}
        assert served.deliver([event(n=1)], function="receive_typed").status_code == 202
        assert served.deliver(cloud_event, function="receive_typed").status_code == 202
        facts = [(record["cls"], record["kind"], record["data"]) for record in served.records("receive_typed")]
        assert facts == [("EventGridEvent", "Nothing.Known", {"n": 1}), ("CloudEvent", "Some.Kind", {"n": 2})]

    @pytest.mark.parametrize("query", ["", "?functionName=nobody", "?functionName=work", "?functionName=RECEIVE_RAW"])
    def test_the_function_name_decides_first(self, served, query):
        answer = served.client.post(f"{served.host.url}/runtime/webhooks/eventgrid{query}", content=b"not JSON")
        name = query.partition("=")[2]
        assert (answer.status_code, answer.text) == (404, f"cannot find function: '{name}'")

    @pytest.mark.parametrize(
        "content",
        [
            [{"id": "1", "data": {"validationCode": "C-1"}}],
            {"id": "1", "data": json.dumps({"validationCode": "C-1"})},
        ],
        ids=["array", "object with data in a string"],
    )
    def test_the_validation_handshake(self, served, content):
        before = len(served.records("receive_raw"))
        answer = served.deliver(content, kind="subscriptionvalidation")
        assert (answer.status_code, answer.json()) == (200, {"validationResponse": "C-1"})
        assert len(served.records("receive_raw")) == before

    def test_the_cloud_events_handshake(self, served):
        answer = served.client.options(
            served.host.webhook("receive_raw"), headers={"WebHook-Request-Origin": "eventgrid.azure.us"}
        )
        assert (answer.status_code, answer.headers["Webhook-Allowed-Origin"]) == (200, "eventgrid.azure.us")
        stranger = served.client.options(
            served.host.webhook("receive_raw"), headers={"WebHook-Request-Origin": "example.org"}
        )
        assert stranger.headers["Webhook-Allowed-Origin"] == "eventgrid.azure.net"

    @pytest.mark.parametrize(("kind", "status"), [("Unsubscribe", 202), ("Other", 400), ("", 400)])
    def test_other_kinds_of_requests(self, served, kind, status):
        assert served.deliver([event()], kind=kind).status_code == status

    def test_without_the_header_it_is_400(self, served):
        assert served.client.post(served.host.webhook("receive_raw"), json=[event()]).status_code == 400

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"not JSON",
            b'[{"id": ',
            b"7",
            b'"text"',
            b"null",
            b"[" * 100_000,
            b"\xff\xfe",
            b'[{"id": "1"}, 7]',
            b"[[]]",
        ],
    )
    def test_a_body_that_cannot_be_taken_apart_is_500_with_no_text(self, served, body):
        answer = served.deliver(body)
        assert (answer.status_code, answer.content) == (500, b"")

    def test_the_address_may_be_written_in_any_case(self, served):
        address = f"{served.host.url}/runtime/Webhooks/EventGrid?functionName=receive_raw"
        answer = served.client.post(address, json=event(), headers={"AEG-Event-Type": "NOTIFICATION"})
        assert answer.status_code == 202


class TestHttp:
    def test_route_query_and_headers_reach_the_function(self, served):
        answer = served.client.get(f"{served.host.url}/API/Things/5/part?x=1&y=2&x=3&z=", headers={"X-Test": "yes"})
        assert answer.json() == {"route": {"id": "5", "part": "part"}, "query": {"x": "1,3", "y": "2"}, "header": "yes"}
        assert (answer.headers["content-type"], answer.headers["x-answer"]) == ("application/json", "yes")

    def test_an_optional_part_may_be_left_out(self, served):
        assert served.client.get(f"{served.host.url}/api/things/5").json()["route"] == {"id": "5"}

    def test_a_literal_route_goes_before_a_parameter_and_text_is_an_answer(self, served):
        answer = served.client.get(f"{served.host.url}/api/probe/exact")
        assert (answer.text, answer.headers["content-type"]) == ("exact", "text/plain; charset=utf-8")

    def test_an_async_function_gets_the_body(self, served):
        answer = served.client.put(f"{served.host.url}/api/things/5", content=b"abc")
        assert (answer.status_code, answer.content) == (201, b"cba")

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "/api/things/5"),
            ("GET", "/api/things/five"),
            ("GET", "/things/5"),
            ("GET", "/api/nothing"),
            ("GET", "/admin/nothing"),
            ("DELETE", "/admin/functions/receive_raw"),
        ],
    )
    def test_what_is_not_routed_is_404(self, served, method, path):
        assert served.client.request(method, f"{served.host.url}{path}").status_code == 404

    @pytest.mark.parametrize("what", ["raise", "none"])
    def test_a_failing_function_is_500_with_no_text(self, served, what):
        answer = served.client.get(f"{served.host.url}/api/probe/{what}")
        assert (answer.status_code, answer.content) == (500, b"")

    def test_the_app_finds_its_modules_where_it_would_in_azure(self, served):
        facts = served.client.get(f"{served.host.url}/api/probe/path").json()
        assert facts["path"][-1] == str(APPS / "triggers")
        assert not {"", str(ROOT)} & set(facts["path"])
        assert facts["cwd"] == str(APPS / "triggers")
        assert facts["pid"] == served.host.pid


class TestAdmin:
    def test_the_status_and_the_list_of_functions(self, served):
        status = served.client.get(f"{served.host.url}/admin/host/status").json()
        assert (status["state"], "errors" in status) == ("Running", False)
        functions = {entry["name"]: entry for entry in served.client.get(f"{served.host.url}/admin/functions").json()}
        assert functions["tick"]["trigger"] == "timerTrigger"
        assert functions["work"]["isDisabled"]
        assert not functions["receive_raw"]["isDisabled"]

    def test_functions_can_be_started_by_hand(self, served):
        address = f"{served.host.url}/admin/functions"
        raw = json.dumps(event(by="hand"))
        assert served.client.post(f"{address}/receive_raw", json={"input": raw}).status_code == 202
        eventually(
            lambda: any(json.loads(r["raw"]).get("data") == {"by": "hand"} for r in served.records("receive_raw"))
        )
        assert served.client.post(f"{address}/tick", json={"input": ""}).status_code == 202
        record = eventually(lambda: served.records("tick"))[-1]
        assert record["past_due"] is False
        assert record["status"]["Next"] > datetime.now(UTC).isoformat()

    @pytest.mark.parametrize(
        ("name", "body", "status"),
        [("nobody", b'{"input": ""}', 404), ("tick", b"", 400), ("tick", b"[]", 400), ("latest", b"{}", 400)],
    )
    def test_what_cannot_be_started(self, served, name, body, status):
        assert served.client.post(f"{served.host.url}/admin/functions/{name}", content=body).status_code == status


class TestStart:
    def test_it_tells_what_it_found_and_where(self, served):
        log = served.host.log()
        assert f"show: [GET] {served.host.url}/api/things/{{id:int}}/{{part?}}" in log
        assert f"{served.host.url}/runtime/webhooks/eventgrid?functionName=receive_raw" in log
        assert "tick: timerTrigger" in log
        assert "Function work is disabled." in log

    def test_log_lines_name_their_level_and_function(self, served):
        served.deliver([event()])
        lines = served.host.log().splitlines()
        assert any(" INFO    receive_raw: triggers: received 1" in line for line in lines)

    def test_it_listens_on_one_address_of_this_machine_only(self, served):
        with socket.socket() as other, pytest.raises(ConnectionRefusedError):
            other.connect(("127.0.0.2", served.host.port))

    @pytest.mark.parametrize(
        ("app", "reason"),
        [
            ("import_error", "ModuleNotFoundError: No module named 'a_module_nobody_installed'"),
            ("two_apps", "More than one FunctionApp or other top level function app instances are defined."),
            ("duplicate_names", "health"),
        ],
    )
    def test_an_app_that_cannot_be_indexed_has_no_functions_at_all(self, start, app, reason):
        run = start(app)
        assert "Worker failed to index functions" in run.host.log()
        assert reason in run.host.log()
        assert run.client.get(f"{run.host.url}/admin/functions").json() == []
        assert reason in run.client.get(f"{run.host.url}/admin/host/status").json()["errors"][0]
        assert run.client.get(f"{run.host.url}/api/health").status_code == 404
        assert run.deliver([event()]).status_code == 404

    def test_a_function_without_its_connection_does_not_hinder_the_others(self, start):
        run = start()
        errors = run.client.get(f"{run.host.url}/admin/host/status").json()["errors"]
        assert [error.partition(":")[0] for error in errors] == [
            "The listener for function 'Functions.work' was unable to start",
            "The listener for function 'Functions.fail' was unable to start",
        ]
        assert "AppStorage__queueServiceUri" in errors[0]
        assert run.deliver([event()]).status_code == 202

    def test_a_wrong_host_json_ends_it(self, start):
        with pytest.raises(HostFailed, match=r"batchSize: 99 is out of range, allowed is 1 to 32"):
            start(AzureFunctionsJobHost__extensions__queues__batchSize="99")

    def test_a_port_in_use_ends_it(self, start, served):
        run = start(**NO_QUEUES)
        run.host.stop()
        run.host.port = served.host.port
        with pytest.raises(HostFailed, match="choose another --port"):
            run.host.start()

    def test_core_tools_are_asked_for_by_name(self, tmp_path):
        host = FunctionHost(APPS / "triggers", {"PATH": str(tmp_path)}, folder=tmp_path, core_tools=True)
        with pytest.raises(CoreToolsMissing, match="azure-functions-core-tools@4"):
            host.start()

    def test_core_tools_get_the_app_and_the_port(self, tmp_path):
        """With a stand-in for `func` that writes down how it was started: Core Tools themselves are not run here."""
        func = tmp_path / "func"
        func.write_text('#!/bin/sh\necho "$@" > "$RECORD"\npwd >> "$RECORD"\nexit 3\n')
        func.chmod(0o755)
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "RECORD": str(tmp_path / "record")}
        host = FunctionHost(APPS / "triggers", environment, folder=tmp_path, port=7099, core_tools=True)
        with pytest.raises(HostFailed):
            host.start()
        assert (tmp_path / "record").read_text().splitlines() == ["start --port 7099", str(APPS / "triggers")]


class TestEnd:
    def test_a_function_that_ends_the_process_takes_the_host_along(self, start):
        run = start(**NO_QUEUES)
        first = run.host.pid
        with pytest.raises(httpx.TransportError):
            run.client.get(f"{run.host.url}/api/probe/die")
        assert run.host.wait() == 7
        run.host.restart()
        assert run.host.pid != first
        assert run.client.get(f"{run.host.url}/api/things/latest").text == "latest"
        assert run.host.kill() == -signal.SIGKILL

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_running_functions_end_before_the_host_does(self, start, number):
        run = start(**NO_QUEUES)
        answers: list[int] = []
        asking = threading.Thread(
            target=lambda: answers.append(run.client.get(f"{run.host.url}/api/probe/slow").status_code)
        )
        asking.start()
        eventually(lambda: run.records("probe"))
        os.kill(run.host.pid, number)
        asking.join()
        assert answers == [200]
        assert run.host.wait() == 0

    def test_it_ends_with_whoever_started_it(self, tmp_path):
        command = [sys.executable, "-m", "local.host", "--app-root", str(APPS / "two_apps"), "--leash", "--port"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        ended = subprocess.run(
            [*command, str(port)], cwd=ROOT, env=scrubbed(os.environ), stdin=subprocess.DEVNULL, capture_output=True,
            timeout=30, check=False,
        )  # fmt: skip
        assert ended.returncode == 0

    def test_a_function_that_runs_too_long_costs_the_worker(self, start):
        run = start(AzureFunctionsJobHost__functionTimeout="00:00:01", **NO_QUEUES)
        pid = run.host.pid
        answer = run.client.get(f"{run.host.url}/api/probe/hang")
        assert answer.status_code == 500
        eventually(lambda: "restarting: a function ran into functionTimeout" in run.host.log())

        def answers() -> bool:
            try:
                return run.client.get(f"{run.host.url}/api/things/latest").text == "latest"
            except httpx.TransportError:
                return False

        eventually(answers)
        assert run.host.pid == pid
        assert "Timeout value of 0:00:01 was exceeded by function: Functions.probe" in run.host.log()


class TestTimer:
    def test_it_ticks_and_never_twice_at_once(self, start):
        run = start(TICK="* * * * * *", **NO_QUEUES)
        first, second = eventually(lambda: run.records("tick")[:2] if len(run.records("tick")) > 1 else None)
        assert (first["past_due"], second["past_due"]) == (False, False)
        assert first["status"] == {}  # no status is kept of a timer that runs more than once a minute

    def test_what_was_missed_runs_once_at_the_start_as_past_due(self, start):
        run = start(**NO_QUEUES)
        file = run.host.folder / "timers" / "local" / "tick.json"
        status = json.loads(file.read_text())
        assert status["Next"] == schedules.parse(DAILY).next(datetime.now(UTC)).isoformat()
        assert run.records("tick") == []
        run.host.stop()

        last = datetime.fromisoformat(status["Next"]) - timedelta(days=5)
        missed = {"Last": last, "Next": last + timedelta(days=1), "LastUpdated": last}
        file.write_text(json.dumps({name: moment.isoformat() for name, moment in missed.items()}))
        run.host.restart()
        (record,) = eventually(lambda: run.records("tick"))
        assert record["past_due"] is True
        assert record["status"]["Next"] == missed["Next"].isoformat()
        eventually(lambda: json.loads(file.read_text())["Next"] == status["Next"])

        run.host.restart()
        assert len(run.records("tick")) == 1
